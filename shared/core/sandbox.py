"""What is said between whoever has events transformed and the process that runs user code."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.core.chain import Failure, Made, Outcome
from shared.core.containers import decode_value
from shared.core.definition import Secret
from shared.core.fetch_rules import FetchRules
from shared.core.functions import FunctionFailure, FunctionOutcome, User, result_of
from shared.core.user_code import TRANSFORM_FILE

RUN_S: Final = 10.0
"""How long a profile function may run for one profile, unless its builder says otherwise."""


class Program(msgspec.Struct, frozen=True):
    """A file of user code of one version of a builder, and what its context says.

    `fetch` is None if it may not. A profile function may run for `run_s` seconds.
    """

    builder: str
    version: int
    source: str
    env: dict[str, str | Secret]
    file: str = TRANSFORM_FILE
    fetch: FetchRules | None = None
    warehouses: dict[str, str | Secret] = {}
    run_s: float = RUN_S


class Start(msgspec.Struct, frozen=True):
    """What a process is started with: a program, without secrets, and what its secrets are.

    `secrets` are all that must be seen in nothing that it writes, beside values of `env`.
    """

    builder: str
    version: int
    source: str
    file: str
    env: dict[str, str]
    fetch: FetchRules | None
    warehouses: dict[str, str]
    secrets: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True):
    """What a profile function is run on; the frame goes on with the chunks, of these sizes."""

    user: User
    since_ms: int
    chunk_bytes: list[int]


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


class FunctionAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one run of a profile function: the `value` that it returned, or the `failure`.

    All else is as in `Answer`. One that was `unreached` was never begun.
    """

    value: msgspec.Raw = msgspec.Raw(b"null")
    failure: FunctionFailure | None = None
    lines: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    worn: bool = False
    number: int = 0
    unreached: bool = False

    @property
    def outcome(self) -> FunctionOutcome:
        """What is to be kept of it."""
        if self.failure is not None:
            return self.failure
        try:
            return result_of(decode_value(self.value))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return FunctionFailure("function_result", f"the result cannot be kept: {type(error).__name__}")


class Loaded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a program: why it cannot be run, or nothing."""

    error: str | None = None


class Request(msgspec.Struct, frozen=True):
    """A call of the function that transforms. `events` is a JSON array, as text.

    As text, because the runtime of the function would make floats of its numbers.
    """

    program: Program
    events: str


class FunctionRequest(msgspec.Struct, frozen=True):
    """A call of the function that runs profile functions, each at most `run_s` seconds.

    `inputs` is a JSON array, as text for its numbers; where it is too large for a call, `url` leads to it.
    """

    program: Program
    inputs: str | None = None
    url: str | None = None
    run_s: float | None = None


class Response(msgspec.Struct, frozen=True):
    """Its answer: a JSON array of `Answer`, as text, one for each event and in their order."""

    answers: str


def answer_of(outcome: Outcome, **more: Any) -> Answer:
    """Make the answer that carries an outcome."""
    if isinstance(outcome, Failure):
        return Answer(failure=outcome, **more)
    return Answer(made=outcome, **more)


events_json = msgspec.json.Encoder().encode
_encode_run: Final = msgspec.json.Encoder(decimal_format="number").encode
_decode_run: Final = msgspec.json.Decoder(Run, float_hook=Decimal).decode


def run_frame(user: User, since_ms: int, chunks: Sequence[bytes]) -> bytes:
    """Write what a profile function is run on: the length of `Run`, it, and the chunks."""
    head = _encode_run(Run(user, since_ms, [len(one) for one in chunks]))
    return b"".join([len(head).to_bytes(4, "big"), head, *chunks])


def read_run(frame: bytes) -> tuple[Run, list[bytes]]:
    """Read what `run_frame` wrote."""
    at = 4 + int.from_bytes(frame[:4], "big")
    run = _decode_run(frame[4:at])
    chunks: list[bytes] = []
    for size in run.chunk_bytes:
        chunks.append(frame[at : at + size])
        at += size
    return run, chunks
