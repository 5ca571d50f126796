"""AWS Lambda in memory, behind a real botocore client: its parameters, errors and pages are the real ones.

Only what consumers and deliveries need. Unlike other engines in memory it keeps a mapping's alias.
"""

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.config import Config

REGION = "eu-central-1"
_SESSION = botocore.session.Session()
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:ingest"
OPERATIONS = (
    "CreateAlias",
    "ListAliases",
    "DeleteAlias",
    "CreateEventSourceMapping",
    "ListEventSourceMappings",
    "GetEventSourceMapping",
    "UpdateEventSourceMapping",
    "DeleteEventSourceMapping",
    "Invoke",
)


def mapping_uuid(number: int) -> str:
    """Name the n-th mapping that was made, from 1."""
    return f"00000000-0000-0000-0000-{number:012}"


class ServiceError(Exception):
    """Answer an operation with this error."""


class LambdaService:
    """The service; `invoke` is the function: (alias, payload) to (payload, whether it failed)."""

    def __init__(self, invoke: Callable[[str, bytes], tuple[bytes, bool]] | None = None) -> None:
        self.aliases: dict[str, dict[str, Any]] = {}
        self.mappings: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[tuple[str, str]] = []
        """Errors still to be given: (operation, code)."""
        self._invoke = invoke
        self._numbers = count(1)

    def client(self) -> Any:
        """Return a botocore client whose calls end here."""
        client = _SESSION.create_client(
            "lambda",
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}),
        )
        for name in OPERATIONS:
            client.meta.events.register_first(f"before-parameter-build.lambda.{name}", _remember)
            client.meta.events.register_first(f"before-call.lambda.{name}", self._answer)
        return client

    def _answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        name, params = model.name, context["kith_params"]
        self.calls.append((name, params))
        told = next((error for error in self.errors if error[0] == name), None)
        if told is not None:
            self.errors.remove(told)
            return _error(told[1])
        try:
            answer = getattr(self, f"_{name}")(**params)
        except ServiceError as error:
            return _error(str(error))
        return SimpleNamespace(status_code=200), answer or {}

    def _CreateAlias(self, FunctionName: str, Name: str, **more: Any) -> dict[str, Any]:  # noqa: N802, N803
        assert FunctionName == FUNCTION
        if Name in self.aliases:
            raise ServiceError("ResourceConflictException")
        self.aliases[Name] = {"AliasArn": f"{FUNCTION}:{Name}", "Name": Name, **more}
        return self.aliases[Name]

    def _ListAliases(self, **_: Any) -> dict[str, Any]:  # noqa: N802
        return {"Aliases": list(self.aliases.values())}

    def _DeleteAlias(self, Name: str, **_: Any) -> None:  # noqa: N802, N803
        assert all(not one["FunctionArn"].endswith(f":{Name}") for one in self.mappings.values())
        self.aliases.pop(Name, None)

    def _CreateEventSourceMapping(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        function = settings.pop("FunctionName")
        self._require_alias(function.removeprefix(f"{FUNCTION}:"))
        for one in self.mappings.values():
            if (one["FunctionArn"], one["EventSourceArn"]) == (function, settings["EventSourceArn"]):
                raise ServiceError("ResourceConflictException")
        uuid = mapping_uuid(next(self._numbers))
        enabled = settings.pop("Enabled", True)
        state = "Enabled" if enabled else "Disabled"
        self.mappings[uuid] = {"UUID": uuid, "FunctionArn": function, "State": state, **settings}
        self.mappings[uuid].setdefault("DestinationConfig", {})["OnSuccess"] = {}
        return self.mappings[uuid]

    def _ListEventSourceMappings(self, FunctionName: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        found = [one for one in self.mappings.values() if one["FunctionArn"] == FunctionName]
        return {"EventSourceMappings": found}

    def _GetEventSourceMapping(self, UUID: str) -> dict[str, Any]:  # noqa: N802, N803
        if UUID not in self.mappings:
            raise ServiceError("ResourceNotFoundException")
        return self.mappings[UUID]

    def _UpdateEventSourceMapping(self, UUID: str, **settings: Any) -> dict[str, Any]:  # noqa: N802, N803
        self.mappings[UUID].update(settings)
        return self.mappings[UUID]

    def _DeleteEventSourceMapping(self, UUID: str) -> None:  # noqa: N802, N803
        del self.mappings[UUID]

    def _Invoke(self, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:  # noqa: N802, N803
        assert FunctionName == FUNCTION
        assert self._invoke is not None
        self._require_alias(Qualifier)
        payload, failed = self._invoke(Qualifier, Payload)
        answer = {"StatusCode": 200, "Payload": SimpleNamespace(read=lambda: payload)}
        return {**answer, "FunctionError": "Unhandled"} if failed else answer

    def _require_alias(self, name: str) -> None:
        if name not in self.aliases:
            raise ServiceError("ResourceNotFoundException")


def _error(code: str) -> tuple[Any, dict[str, Any]]:
    return SimpleNamespace(status_code=400), {"Error": {"Code": code, "Message": "told to fail"}}


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["kith_params"] = dict(params)
