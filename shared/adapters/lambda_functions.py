"""The `ProfileFunction` port on the function that runs user code."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from shared.app.functions.ports import FunctionInput
from shared.app.sandboxes import inputs_json
from shared.core.functions import FunctionFailure, FunctionOutcome
from shared.core.sandbox import FunctionAnswer, FunctionRequest, Program, Response

REQUEST_BYTES_MAX: Final = 4_000_000
"""JSON text of the inputs of one call, of which Lambda takes 6 MB; a larger one goes another way."""
INPUTS_MAX: Final = 100
"""Of one call: their results must fit its answer."""

_decode_answers: Final = msgspec.json.Decoder(list[FunctionAnswer]).decode


class FunctionUnavailableError(Exception):
    """The function that runs profile functions cannot be called now, or fails whatever it is given."""


class LambdaProfileFunction:
    """Has the profile function of one version run by calls of the function; `function` is its ARN.

    `large` keeps what is too large for a call, and returns a URL of it.
    """

    def __init__(self, client: Any, function: str, program: Program, large: Callable[[bytes], str]) -> None:
        self._client = client
        self._function = function
        self._program = program
        self._large = large

    def run(self, inputs: Sequence[FunctionInput], time_s: float | None = None) -> list[FunctionOutcome]:
        """Run the function for each profile alone; what became of each, in their order.

        Raises FunctionUnavailableError if it cannot be run at all now.
        """
        texts = [inputs_json([one]) for one in inputs]
        outcomes: list[FunctionOutcome] = []
        for start, end in _cut(texts):
            outcomes += self._run(inputs[start:end], time_s)
        return outcomes

    def _run(self, inputs: Sequence[FunctionInput], run_s: float | None) -> list[FunctionOutcome]:
        """Run some together: again those that were not reached, and by halves where that fails."""
        answers = self._call(inputs, run_s)
        if answers is None:
            return self._halves(inputs, run_s)
        reached = [one.outcome for one in answers if not one.unreached]
        if len(reached) == len(inputs):
            return reached
        if not reached:
            raise FunctionUnavailableError("no run was begun")
        return reached + self._run(inputs[len(reached) :], run_s)

    def _halves(self, inputs: Sequence[FunctionInput], run_s: float | None) -> list[FunctionOutcome]:
        if self._call((), run_s) is None:
            raise FunctionUnavailableError("the function fails, whatever it is given")
        if len(inputs) == 1:
            return [FunctionFailure("function_crash", "the function failed, or its answer is too large")]
        middle = len(inputs) // 2
        return [*self._run(inputs[:middle], run_s), *self._run(inputs[middle:], run_s)]

    def _call(self, inputs: Sequence[FunctionInput], run_s: float | None) -> list[FunctionAnswer] | None:
        """Call the function; None if it fails on these inputs."""
        data = inputs_json(inputs)
        if len(data) > REQUEST_BYTES_MAX:
            request = FunctionRequest(self._program, url=self._large(data), run_s=run_s)
        else:
            request = FunctionRequest(self._program, data.decode(), run_s=run_s)
        try:
            answer = self._client.invoke(FunctionName=self._function, Payload=msgspec.json.encode(request))
            body = answer["Payload"].read()
        except (BotoCoreError, ClientError) as error:
            raise FunctionUnavailableError(type(error).__name__) from error
        if answer.get("FunctionError"):
            return None
        return _decode_answers(msgspec.json.decode(body, type=Response).answers)


def _cut(texts: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield from where to where inputs go in one call; a larger one goes alone."""
    start = held_bytes = 0
    for number, text in enumerate(texts):
        if number > start and (held_bytes + len(text) > REQUEST_BYTES_MAX or number - start == INPUTS_MAX):
            yield start, number
            start, held_bytes = number, 0
        held_bytes += len(text)
    if texts:
        yield start, len(texts)
