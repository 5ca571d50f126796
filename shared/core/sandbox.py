"""What is said between whoever has events transformed and the process that runs user code."""

from typing import Any

import msgspec

from shared.core.chain import Failure, Made, Outcome


class Program(msgspec.Struct, frozen=True):
    """The user code of one version of a builder, and what its context says."""

    builder: str
    version: int
    source: str
    env: dict[str, str]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event: `made` of it, or the `failure`; neither if it stays as it is.

    `lines` are what it logged (level and text), `counts` what it counted. A `worn` process must not go on.
    `number` counts the answers of a process. An `unreached` event was never given to the chain.
    """

    made: list[Made] | None = None
    failure: Failure | None = None
    lines: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    worn: bool = False
    number: int = 0
    unreached: bool = False

    @property
    def outcome(self) -> Outcome:
        """What the chain made of the event."""
        return self.made if self.failure is None else self.failure


class Loaded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a program: why it cannot be run, or nothing."""

    error: str | None = None


class Request(msgspec.Struct, frozen=True):
    """A call of the function that transforms. `events` is a JSON array, as text.

    As text, because the runtime of the function would make floats of its numbers.
    """

    program: Program
    events: str


class Response(msgspec.Struct, frozen=True):
    """Its answer: a JSON array of `Answer`, as text, one for each event and in their order."""

    answers: str


def answer_of(outcome: Outcome, **more: Any) -> Answer:
    """Make the answer that carries an outcome."""
    if isinstance(outcome, Failure):
        return Answer(failure=outcome, **more)
    return Answer(made=outcome, **more)


events_json = msgspec.json.Encoder().encode
