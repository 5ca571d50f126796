"""What the tests of a builder get from `kith test`: a plugin of pytest."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from cli.folders import ReadBuilder, read_builder
from cli.reach import local_reach
from kith import Context
from shared.app.fold import Scan, fold_people, link, scan
from shared.app.frozen import TRANSFORM_FILE
from shared.app.functions.local import local_profile_function
from shared.app.functions.ports import ProfileFunction
from shared.app.functions.samples import Sample, sample_input
from shared.app.local_code import Reach
from shared.app.reading import Transformer
from shared.app.transform import local_transformer
from shared.core.canonical import canonical_json
from shared.core.chain import Chain, Failure, made_id
from shared.core.compile import Builder
from shared.core.containers import decode_object
from shared.core.event import message_id
from shared.core.functions import FunctionFailure
from shared.core.user_context import UserContext

FOLDER: Final = "KITH_TEST_FOLDER"
EVENTS: Final = "KITH_TEST_EVENTS"

ARRIVAL: Final = "2026-01-01T00:00:00Z"
"""When events arrive that do not say it."""

JsonEvent = Mapping[str, Any]


class TransformationError(AssertionError):
    """The chain failed on an event."""


class FunctionError(AssertionError):
    """The profile function failed, or there is none."""


@pytest.fixture(scope="session")
def builder() -> ReadBuilder:
    """Return the builder's folder, read."""
    return read_builder(Path(os.environ[FOLDER]))


@pytest.fixture
def kith_reach() -> Reach:
    """Return what code reaches: one store for all that a test runs, and for no other test."""
    return local_reach()


@pytest.fixture
def context(builder: ReadBuilder, kith_reach: Reach) -> Context:
    """Return a context as functions get it; what it logs is shown for a test that fails."""
    return _context(builder, kith_reach)


@pytest.fixture
def transform(builder: ReadBuilder, kith_reach: Reach) -> Callable[[JsonEvent], list[dict[str, Any]]]:
    """Run the chain on an event: the events that it becomes, none if it is dropped.

    TransformationError if it fails, or asks to be tried again.
    """
    chain = _chain(builder, kith_reach)

    def run(event: JsonEvent) -> list[dict[str, Any]]:
        return [one.body for one in _made(chain, event)]

    return run


@pytest.fixture
def profile(builder: ReadBuilder, kith_reach: Reach) -> Callable[..., dict[str, Any] | None]:
    """Run the profile function on events, through the chain, as if they were all of one profile.

    What it returns: `traits`, and `profile_id`, `destination_id` and `table_name` if it names them; None if
    it returns nothing. FunctionError if it fails. What is named is told to it of its user: `traits={...}`.
    """
    chain, function = _chain(builder, kith_reach), _function(builder, kith_reach)
    if function is None:
        raise FunctionError(f"{builder.folder} has no profile.py")

    def run(events: Iterable[JsonEvent], **user: Any) -> dict[str, Any] | None:
        made = [one for event in events for one in _made(chain, event)]
        [outcome] = function.run([sample_input(made, user)])
        if isinstance(outcome, FunctionFailure):
            raise FunctionError(f"{outcome.reason}: {outcome.detail}")
        if outcome is None:
            return None
        named = {
            "profile_id": outcome.published_id,
            "destination_id": outcome.destination_id,
            "table_name": outcome.table_name,
        }
        return {"traits": outcome.traits, **{name: one for name, one in named.items() if one is not None}}

    return run


@pytest.fixture
def profiles(
    builder: ReadBuilder, kith_reach: Reach
) -> Callable[[Iterable[JsonEvent]], list[dict[str, Any]]]:
    """Fold events, with the builder's code: the profiles in canonical form, by profile_id.

    Events arrive in their order: at `receivedAt`, else `timestamp`, else on 1 January 2026.
    """
    compiled = Builder(builder.definition)

    def run(events: Iterable[JsonEvent]) -> list[dict[str, Any]]:
        lines = [canonical_json({"timestamp": ARRIVAL, **event}) for event in events]
        scanned = Scan()
        scan(compiled, lines, scanned, _transformer(builder, kith_reach))
        if scanned.rejected:
            raise TransformationError("\n".join(f"{one.reason}: {one.detail}" for one in scanned.rejected))
        groups = scanned.groups
        people = ([each for group in person for each in groups[group]] for person in link(groups))
        finished = fold_people(compiled, people, Counter(), _function(builder, kith_reach))
        return [decode_object(one.line) for one in sorted(finished)]

    return run


@pytest.fixture
def samples() -> list[dict[str, Any]]:
    """Return the events in samples/*.jsonl, or of the files given by --events."""
    given = os.environ.get(EVENTS, "")
    files = [Path(one) for one in given.split(os.pathsep)] if given else _samples()
    lines = [line for file in files for line in file.read_bytes().splitlines() if line.strip()]
    return [decode_object(line) for line in lines]


def _samples() -> list[Path]:
    return sorted((Path(os.environ[FOLDER]) / "samples").glob("*.jsonl"))


def _chain(builder: ReadBuilder, reach: Reach) -> Chain:
    source = builder.files.get(TRANSFORM_FILE, "def transform(event, context): pass")
    return Chain(source, _context(builder, reach))


def _made(chain: Chain, event: JsonEvent) -> list[Sample]:
    """Run the chain on an event: the events that it becomes, by the ids that tell them apart."""
    text = canonical_json(dict(event))
    outcome = chain.run(text)
    if isinstance(outcome, Failure):
        raise TransformationError(f"{outcome.reason}: {outcome.detail}")
    given = message_id(event.get("messageId"))
    if outcome is None:
        return [Sample(given, decode_object(text))]
    bodies = [(one.suffix, decode_object(bytes(one.text))) for one in outcome]
    return [Sample(made_id(given, given, suffix, body), body) for suffix, body in bodies]


def _transformer(builder: ReadBuilder, reach: Reach) -> Transformer | None:
    return local_transformer(builder.files, builder.definition, _print, _wait, reach)


def _function(builder: ReadBuilder, reach: Reach) -> ProfileFunction | None:
    return local_profile_function(builder.files, builder.definition, _print, reach)


def _context(builder: ReadBuilder, reach: Reach) -> UserContext:
    return reach.context(builder.definition, _print, {})


def _print(level: str, text: str) -> None:
    print(f"{level}: {text}")  # noqa: T201 - pytest shows it where it helps


def _wait(_attempt: int) -> None:
    """Never wait: nothing that tests ask for is busy."""


__all__ = ["builder", "context", "kith_reach", "profile", "profiles", "samples", "transform"]
