"""The `ProfileFunction` port in this process, for commands and tests; what never returns is not stopped."""

from collections.abc import Mapping, Sequence

from shared.app.frozen import PROFILE_FILE
from shared.app.functions.ports import FunctionInput, ProfileFunction
from shared.app.local_code import LocalCode, Reach
from shared.core.containers import decode_any
from shared.core.definition import Definition
from shared.core.functions import FunctionFailure, FunctionOutcome, User, result_of
from shared.core.profile_code import ProfileCode
from shared.core.sandbox import read_run, run_frame
from shared.core.user_context import Sink


class LocalProfileFunction:
    """Runs a profile function. `log` takes each line that it logs; `counts` what it counts.

    UserCodeError if the file has none that can be run.
    """

    def __init__(
        self,
        source: str,
        definition: Definition,
        log: Sink,
        counts: dict[str, int],
        reach: Reach | None = None,
    ) -> None:
        self._local = LocalCode(ProfileCode, source, definition, log, counts, reach)

    def run(self, inputs: Sequence[FunctionInput], time_s: float | None = None) -> list[FunctionOutcome]:
        """Run the function for each profile alone; what became of each, in their order."""
        del time_s
        with self._local.running() as code:
            return [self._outcome(code.run(_own(one.user), one.chunks, one.since_ms)) for one in inputs]

    def _outcome(self, result: bytes | FunctionFailure | None) -> FunctionOutcome:
        if isinstance(result, FunctionFailure):
            return FunctionFailure(result.reason, self._local.mask(result.detail))
        return None if result is None else result_of(decode_any(result))


def _own(user: User) -> User:
    """Return a user as a process of its own is given it: what code does to it changes no profile."""
    run, _ = read_run(run_frame(user, 0, []))
    return run.user


def local_profile_function(
    files: Mapping[str, str], definition: Definition, log: Sink, reach: Reach | None = None
) -> ProfileFunction | None:
    """Make the profile function of a builder's folder, if it has one; UserCodeError if that cannot be run."""
    source = files.get(PROFILE_FILE)
    return None if source is None else LocalProfileFunction(source, definition, log, {}, reach)
