"""Starts the local engine with the few changes that this app needs; runs inside `.venv-engine`.

- Its event source mappings for Kinesis and the streams of tables ignore most of what a mapping says, so
  `local.event_sources` runs them instead. Switching the engine's pollers off where they live,
  rather than disabling the mappings, leaves `Enabled` to the user, also across deployments, and
  there is no moment in which both of them consume. Those for SQS it runs well enough itself.
- It drops StartingPositionTimestamp of mappings.
- It unpacks the code of a function anew for each process that runs it, which takes longer than the start.
- A process that runs a function may start with settings of before they were changed, and stay.
- It refuses alarms on metric math, which would fail the whole deployment.
- It checks the permission to invoke an alias against the function, if the alias is a Qualifier.
- It knows no resource of what is asked of a table's stream, but for `*`.
- It checks batches of a queue under names that IAM does not know.
- It checks PartiQL statements against the name of the call; IAM knows only what each statement does.
- It knows no condition on the function of an event source mapping, and takes whatever is done to an alias
  for listing them.
- It speaks plain HTTP, which the policies of our buckets deny; on 127.0.0.1 that counts as secure.

The names below are the engine's private ones: its version is pinned, and a name that is gone ends
the start with a message rather than with half of the changes.
"""

import base64
import contextlib
import hashlib
import importlib
import json
import re
import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

HTTP_ERROR_MIN = 300
STATEMENT = re.compile(r'\s*(INSERT|UPDATE|DELETE|SELECT)\b[^"]*"([^"]+)"', re.IGNORECASE)
"""What a statement of PartiQL does, and to which table."""
MAPPED: ContextVar[str | None] = ContextVar("MAPPED", default=None)
"""The function whose event source mapping the request that is being checked is about."""


def main() -> None:
    """Run the engine until SIGTERM; its settings come from the environment (local/engine.py)."""
    permissions: Any = importlib.import_module("ministack.core.iam_evaluator")
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    templates: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
    mappings = functions._esms  # noqa: SLF001
    change(permissions, "_resolve_condition_key", trust_loopback)
    change(permissions, "_resolve_condition_key", tell_the_mapped)
    change(actions, "_lambda_action", tell_aliases_apart)
    change(actions, "extract_resource_arn", name_the_alias)
    change(actions, "extract_resource_arn", lambda extract: note_the_mapped(extract, mappings))
    change(actions, "extract_resource_arn", name_the_stream)
    change(actions, "extract_iam_action", take_batches_for_what_they_do)
    change(actions, "dynamodb_transaction_checks", check_statements)
    for poller in ("_poll_kinesis", "_poll_dynamodb_streams"):
        change(functions, poller, lambda _: lambda: False)
    change(functions, "_create_esm", lambda create: keep_start(create, mappings))
    change(runtime, "zipfile", unpack_once)
    change(functions, "acquire_worker", lambda lease: lease_as_invoked(lease, runtime.kill_workers))
    change(templates, "_cw_metric_alarm_record", accept_metric_math)
    importlib.import_module("ministack.app").main()


def change(module: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a function of the engine by what `wrap` makes of it."""
    original = getattr(module, name, None)
    if original is None:
        raise SystemExit(f"this version of the engine has no {name}: local/engine_main.py must follow it")
    setattr(module, name, wrap(original))


def keep_start(create: Callable[[dict[str, Any]], Any], mappings: Any) -> Callable[[dict[str, Any]], Any]:
    """Keep StartingPositionTimestamp of a mapping that is created."""

    def create_and_keep(data: dict[str, Any]) -> Any:
        response = create(data)
        status, _, body = response
        if status < HTTP_ERROR_MIN and "StartingPositionTimestamp" in data:
            mappings[json.loads(body)["UUID"]]["StartingPositionTimestamp"] = data[
                "StartingPositionTimestamp"
            ]
        return response

    return create_and_keep


def unpack_once(zipfile: Any) -> Any:
    """Give `zipfile` with a ZipFile that leads to what it holds, unpacked once: nobody writes to code."""

    class UnpackedOnce(ZipFile):
        def extractall(self, path: Any = None, *_: Any, **__: Any) -> None:
            with Path(str(self.filename)).open("rb") as packed:
                digest = hashlib.file_digest(packed, "sha256").hexdigest()
            unpacked = Path(tempfile.gettempdir()) / "unpacked" / digest
            if not unpacked.exists():
                unpacked.parent.mkdir(exist_ok=True)
                unfinished = tempfile.mkdtemp(dir=unpacked.parent)
                super().extractall(unfinished)
                with contextlib.suppress(OSError):  # somebody else was faster, and unpacked the same
                    Path(unfinished).rename(unpacked)
            Path(path).rmdir()
            Path(path).symlink_to(unpacked)

    return SimpleNamespace(**vars(zipfile) | {"ZipFile": UnpackedOnce})


def lease_as_invoked(lease: Callable[..., Any], kill: Callable[[list[Any]], None]) -> Callable[..., Any]:
    """Lease a function's process with the settings and the code that are invoked.

    All processes of a function end when these change. But an invocation that began before has a copy of the
    old ones, and may start a process after.
    """

    def lease_one(name: str, config: dict[str, Any], code: bytes, *request: Any, **more: Any) -> Any:
        worker, reason = lease(name, config, code, *request, **more)
        if worker is not None and worker.config.get("RevisionId") != config.get("RevisionId"):
            kill([worker])
            worker.config, worker.code_zip = config, code
        return worker, reason

    return lease_one


def trust_loopback(resolve: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Let requests meet the condition that they are encrypted: nobody can listen in on 127.0.0.1."""

    def resolve_any(key: str, context: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else resolve(key, context)

    return resolve_any


def name_the_alias(extract: Callable[..., str]) -> Callable[..., str]:
    """Name the alias in the resource whose permission is checked, as Lambda does."""

    def extract_qualified(*request: Any) -> str:
        resource = extract(*request)
        qualifiers = [part["Qualifier"] for part in request if isinstance(part, dict) and "Qualifier" in part]
        if not qualifiers or not re.fullmatch(r"arn:[^:]+:lambda:[^:]+:\d+:function:[^:]+", resource):
            return resource
        qualifier = qualifiers[0]
        return f"{resource}:{qualifier[0] if isinstance(qualifier, list) else qualifier}"

    return extract_qualified


def name_the_stream(extract: Callable[..., str]) -> Callable[..., str]:
    """Name the stream of a table in the resource whose permission is checked, as DynamoDB does."""

    def extract_stream(*request: Any) -> str:
        service, _, _, _, body, *_ = request
        if service != "dynamodbstreams":
            return extract(*request)
        call = json.loads(body or b"{}")
        if "ShardIterator" in call:  # one of the engine's own, which names its stream
            call = {"StreamArn": json.loads(base64.urlsafe_b64decode(call["ShardIterator"])).get("arn")}
        return str(call.get("StreamArn") or "*")

    return extract_stream


def take_batches_for_what_they_do(name: Callable[..., str | None]) -> Callable[..., str | None]:
    """Check a batch of messages as what is done to each: `sqs:SendMessage` for `SendMessageBatch`."""

    def name_one(*request: Any, **more: Any) -> str | None:
        found = name(*request, **more)
        return found.removesuffix("Batch") if found and found.startswith("sqs:") else found

    return name_one


def tell_aliases_apart(name: Callable[[str, str], str | None]) -> Callable[[str, str], str | None]:
    """Name what is done to one alias as IAM does."""

    def name_any(method: str, path: str) -> str | None:
        if re.search(r"/functions/[^/]+/aliases/[^/]+/?$", path):
            return {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}.get(method)
        return name(method, path)

    return name_any


def note_the_mapped(extract: Callable[..., str], mappings: Any) -> Callable[..., str]:
    """Note which function an event source mapping is for, when it is made and later."""

    def extract_and_note(*request: Any) -> str:
        service, _, path, _, body, *_ = request
        mapped = None
        if service == "lambda" and "event-source-mappings" in path:
            known = mappings.get(path.rstrip("/").rpartition("/")[2])
            mapped = known["FunctionArn"] if known else _function_of(body)
        MAPPED.set(mapped)
        return extract(*request)

    return extract_and_note


def _function_of(body: bytes) -> str | None:
    """Return the function that the body of a request names."""
    try:
        return str(json.loads(body)["FunctionName"])
    except (ValueError, KeyError, TypeError):
        return None


def tell_the_mapped(resolve: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Let requests meet the condition that an event source mapping is one of a function's."""

    def resolve_any(key: str, context: Any) -> Any:
        return MAPPED.get() if key.lower() == "lambda:functionarn" else resolve(key, context)

    return resolve_any


def check_statements(check: Callable[..., Any]) -> Callable[..., Any]:
    """Check each statement of PartiQL as the action that it is, on its table, as IAM does."""

    def check_each(action: str, body: bytes, region: str, account: str) -> Any:
        if action not in {"dynamodb:ExecuteStatement", "dynamodb:BatchExecuteStatement"}:
            return check(action, body, region, account)
        call = json.loads(body)
        found = [STATEMENT.match(one["Statement"]) for one in call.get("Statements", [call])]
        if None in found:
            return []
        return [
            (f"dynamodb:PartiQL{one[1].title()}", f"arn:aws:dynamodb:{region}:{account}:table/{one[2]}")
            for one in found
            if one
        ]

    return check_each


def accept_metric_math(
    record: Callable[[str, dict[str, Any]], dict[str, Any]],
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Keep alarms on metric math as alarms without data: the engine could not evaluate them."""

    def record_any(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        if not properties.get("Metrics"):
            return record(name, properties)
        plain = {key: value for key, value in properties.items() if key != "Metrics"}
        return record(name, plain | {"MetricName": "MetricMath", "Namespace": "NotEvaluatedLocally"})

    return record_any


if __name__ == "__main__":
    main()
