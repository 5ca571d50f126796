"""All that is fuzzed, by name: what reads, and well-formed input to begin with."""

import gzip
import json
import os
from dataclasses import asdict
from pathlib import Path

import msgspec

from shared.adapters.dynamo.items import BULKY
from shared.app.functions.failing import Failing
from shared.app.rebuild.formats import compress, write_links
from shared.app.registry import Status, Version
from shared.contract import registry_version
from shared.core.history import chain, pieces_of
from shared.runtime.settings import RunSettings
from tests.fuzz import commands, kept, outside, services, stored, told
from tests.fuzz.target import Target
from tests.golden.made import FILES
from tests.golden.release import objects_of, releases, tables_of
from tests.kinesis import (
    aggregate_of,
    array_of,
    envelope,
    gzip_of,
    json_of,
    lines_of,
    sizeless_zstd_of,
    zstd_of,
)

ROOT = Path(__file__).parents[2]


def _texts():
    lines = (ROOT / "builders/customers/samples/events.jsonl").read_bytes().splitlines()
    odd = {
        "messageId": None,
        "type": "identify",
        "timestamp": "2026-01-02T03:04:05+02:00",
        "sentAt": 1767323050,
        "originalTimestamp": " ",
        "userId": 17,
        "anonymousId": "\ud83d\ude00",
        "traits": {"email": "A@example.com", "a": {"b": [1, 1.50, None, {"": {}}], "c.d": 1e30}, "a.b": -0.0},
        "properties": {"total": "1e37", "tags": ["x", 1, True, []], "page": " ", "pages": [["/a"], "/b"]},
        "context": {"anonymous": False},
    }
    return [*lines[:3], json.dumps(odd).encode(), b'{"userId":1E+9999999999999999999,"a":-0,"a":1}', b"{}"]


def _records():
    texts = _texts()
    return [
        *texts,
        array_of(texts),
        lines_of(texts),
        gzip_of(texts[0]),
        zstd_of(lines_of(texts)),
        sizeless_zstd_of(texts[0]),
        aggregate_of([texts[0], gzip_of(texts[1]), b"", b"[7]"]),
    ]


def _envelopes():
    whole = envelope(json_of({"userId": "u"}))
    part = whole | {"kith": {"index": 3, "attempt": 1}}
    parts = whole | {"kith": {"index": 1, "parts": [{"index": 1, "data": "e30="}]}}
    return [whole, part, parts]


def _failed_batches():
    document = {
        "requestContext": {
            "functionArn": "arn:aws:lambda:eu-central-1:1:function:i:people-v1",
            "condition": "RetryAttemptsExhausted",
        },
        "payload": {"Records": _envelopes()},
    }
    return [json_of(document), json_of(document | {"payload": json.dumps({"Records": []})})]


def _object(name):
    return lambda: [objects_of(releases()[-1])[name]]


def _items():
    return [msgspec.msgpack.encode(one) for each in releases() for one in tables_of(each)["profiles"]]


def _states():
    return [
        bytes([number]) + one["state"]["B"] for number, one in enumerate(stored.profiles()) if "state" in one
    ]


def _deltas():
    return [
        one["state"]["B"]
        for one in tables_of(releases()[-1])["profiles"]
        if one["sk"]["S"].startswith("delta")
    ]


def _chunks():
    items = tables_of(releases()[-1])["profiles"]
    parts = [one["state"]["B"] for one in items if one["sk"]["S"].startswith("body#overflow")]
    bulk = {name: value for name, value in stored.profiles()[0].items() if name in BULKY}
    return [*parts, msgspec.msgpack.encode(bulk)]


def _history():
    events = [(time, f"m{time}", text) for time, text in enumerate(_texts(), 1)]
    piece = msgspec.msgpack.encode(([1, 1], ["a", "b"], _texts()[:2]))
    return [piece, *(one.data for one in chain("0" * 32, 5, [], pieces_of(events, 9), 0))]


def _answers():
    texts = [
        json_of({"number": 0, "made": [["#0", {"userId": "u"}]]}),
        json_of({"number": 1, "failure": {"reason": "transform_error", "detail": "at line 3"}, "worn": True}),
        json_of({"number": 2, "lines": [["info", "x"]], "counts": {"a": 1}}),
    ]
    return [b"".join(len(one).to_bytes(4, "big") + one for one in texts)]


def _lines():
    text = gzip.decompress(objects_of(releases()[-1])["archive.jsonl.gz"])
    return text.splitlines()


_CODE = b"""import json
from kith import RetryError

def tidy(event, context):
    if not event.get("userId"):
        raise RetryError("x", delay_s=3)
    return [event, {**event, "type": "track"}]

chain = [tidy, lambda event, context: None]
"""


def _commands():
    folded = ("fold", "events.jsonl", "--builder", "b", "--out", "x")
    more = (("validate", "b", "--json"), ("init", "new"), ("get", "user_id", "u", "--stage", "dev"))
    some = [folded, *more, *((*one, word) for one in commands.COMMANDS for word in commands.WORDS[::25])]
    return [b"\0".join(map(os.fsencode, one)) for one in some]


_MANIFEST = {
    "source": "x.jsonl",
    "sha256": "0" * 64,
    "added_at": "2026-01-02T03:04:05Z",
    "records": 1,
    "bytes": 50,
    "rejected": {},
    "first_arrival": None,
    "last_arrival": None,
    "objects": [],
}
_ENVIRONMENT = "\n".join(
    f"{one.encode_name}={5 if one.type is int else 'x'}" for one in msgspec.structs.fields(RunSettings)
).encode()
_FUNCTION_ERROR = {
    "due": {"builder": "people", "version": 1, "profile_id": "x", "rev": 5},
    "reason": "function_error",
    "detail": "ValueError in line 3",
    "attempts": 6,
    "failed_at": 1_700_000_000_000,
}


_CONNECTION = {
    "endpoint_url": "http://127.0.0.1:9",
    "region": "us-east-1",
    "stage": "local",
    "outputs": {"StreamName": "s"},
    "access_key_id": "k",
    "secret_access_key": "s",
}


def _pages():
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Length: 9\r\n\r\n"
    chunked = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\xffab\r\n0\r\n\r\n"
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://other.example.com/a?b\r\nContent-Length: 0\r\n\r\n"
    return [page + b'{"a":1.5}', chunked, moved, b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n"]


def _folders():
    yaml = (ROOT / "builders/customers/builder.yaml").read_bytes()
    function = b"def profile(events, user, context):\n    return {'traits': {'n': sum(1 for _ in events)}}\n"
    return [yaml, yaml + b"\0" + _CODE, yaml + b"\0\0" + function]


def _item(wire):
    return msgspec.msgpack.encode(wire)


def _rows():
    version = Version(
        builder="people",
        version=1,
        status=Status.BUILDING,
        definition_key="key",
        sha256="0" * 64,
        t0=5,
        created_at=6,
        created_by="somebody",
    )
    shown = asdict(version) | {"version": registry_version(1), "status": "building"}
    return [_item({name: _wire(one) for name, one in shown.items()}), _item({"scan.parts": {"N": "3"}})]


def _wire(value):
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


TARGETS = {
    "record": Target(outside.record, _records),
    "event": Target(outside.event, _texts),
    "values": Target(
        outside.values,
        lambda: [
            b"2026-01-02T03:04:05.678Z",
            b"1767323050123",
            b"-12.50e3",
            b"true",
            b"2001:db8::1",
            b"+49 (30) 901820",
            b"A.B+c@EXAMPLE.com",
            b"2026-W01-1",
            b"1e-20",
        ],
    ),
    "arguments": Target(outside.arguments, lambda: [b"a@example.com", b"2026-01-31", b"24h", b"+4930901820"]),
    "command": Target(commands.command, _commands),
    "envelope": Target(outside.envelope, lambda: [json_of(one) for one in _envelopes()]),
    "failed_batch": Target(outside.failed_batch, _failed_batches),
    "waiting": Target(outside.waiting, _object("waiting.json")),
    "control": Target(outside.control, _object("control")),
    "archive_line": Target(outside.archive_line, _lines),
    "archive_object": Target(
        outside.archive_object, lambda: [b"\n".join(_lines()), *_object("archive.jsonl.gz")()]
    ),
    "definition": Target(
        outside.definition,
        lambda: [FILES["builder.yaml"].encode(), (ROOT / "builders/customers/builder.yaml").read_bytes()],
    ),
    "transformation": Target(outside.transformation, lambda: [_CODE]),
    "made_of_event": Target(outside.made_of_event, _texts),
    "backfill": Target(outside.backfill, lambda: [lines_of(_texts()), b"\n \n".join(_texts())]),
    "item": Target(stored.item, _items),
    "state": Target(stored.state, _states),
    "chunks": Target(stored.chunks, _chunks),
    "delta": Target(stored.delta, lambda: [*_deltas(), *_object("frame")()]),
    "frame": Target(stored.frame, _object("frame")),
    "history": Target(stored.history, _history),
    "spool": Target(stored.spool, lambda: [*_object("spool.zst")(), b"\x03\0\0\0abc"]),
    "rebuild": Target(stored.rebuild, lambda: [*_object("shuffled")(), bytes(16), b'{"parts": 3}']),
    "frozen": Target(stored.frozen, _object("definition.json")),
    "quarantined": Target(stored.quarantined, _object("quarantine.json")),
    "answers": Target(stored.answers, _answers),
    "row": Target(kept.row, _rows),
    "owner": Target(
        kept.owner,
        lambda: [
            *map(_item, stored.profiles()),
            *(_item(one) for one in tables_of(releases()[-1])["identifiers"][:3]),
            _item({"redirect": {"N": "5"}, "kind": {"S": "redirect"}, "rev": {"N": "1"}}),
        ],
    ),
    "names": Target(
        kept.names,
        lambda: [compress(msgspec.msgpack.encode([("user_id", "u", 1_700_000_000_000, "0" * 32)]))],
    ),
    "links": Target(kept.links, lambda: [write_links([3, 5], [[1, 2], [2]]), write_links([], [])]),
    "change": Target(
        kept.change,
        lambda: [_item({"pk": {"S": "people#1#x"}, "due": {"N": "30"}, "rev": {"N": "17"}})],
    ),
    "message": Target(kept.message, lambda: [json_of(_FUNCTION_ERROR["due"])]),
    "failing": Target(kept.failing, lambda: [_item({one: {"N": "5"} for one in Failing.__struct_fields__})]),
    "function_error": Target(kept.function_error, lambda: [json_of(_FUNCTION_ERROR)]),
    "manifest": Target(kept.manifest, lambda: [json_of(_MANIFEST)]),
    "fetched": Target(told.fetched, _pages),
    "secret": Target(
        told.secret, lambda: [b'{"key": "a secret of some length"}', b"postgresql://u:p%20ss@h/d"]
    ),
    "warehouse": Target(told.warehouse, lambda: [b"sqlite://", b"postgresql+pg8000://u:p@host:5432/d?a=b"]),
    "folder": Target(told.folder, _folders),
    "names_of_objects": Target(
        told.names_of_objects,
        lambda: [b"2026-01-02T03:04:05.678Z/people/x.json\npeople-v1", b"dt=2026-01-02/hour=03/x.jsonl.gz"],
    ),
    "connection": Target(told.connection, lambda: [json_of(_CONNECTION)]),
    "rows": Target(services.rows, lambda: [b"text", b"\x7f" * 8, b"\xff\xfe\0", "\u20ac".encode()]),
    "behind_url": Target(services.behind_url, _pages),
    "resource": Target(
        services.resource, lambda: [b"customers\naccounts", "\u043a\u043b\u044e\u0447\n".encode() * 400]
    ),
    "stack": Target(services.stack, lambda: [b"", b"StreamName=events\nArchiveBucketName=archive"]),
    "delivered": Target(services.delivered, lambda: [b"key", b"s\xed\xa0\x80", b"\0\xff", *_records()]),
    "answered": Target(
        services.answered,
        lambda: [
            b"",
            b"null",
            b'{"batchItemFailures": [{"itemIdentifier": "2"}]}',
            b'{"batchItemFailures": [{"itemIdentifier": null}, 3]}',
        ],
    ),
    "pattern": Target(
        services.pattern,
        lambda: [
            b'{"dynamodb": {"NewImage": {"due": {"N": [{"exists": true}]}}}}',
            b'{"eventName": ["INSERT", "MODIFY"]}',
        ],
    ),
    "checkpoints": Target(
        services.checkpoints,
        lambda: [
            json_of({"s": {"position": {"kind": "TRIM_HORIZON"}, "done": {"1": "17"}, "incarnation": "5"}})
        ],
    ),
    "settings": Target(kept.settings, lambda: [_ENVIRONMENT, b'{"MaximumRecordAgeInSeconds": 60}']),
}
