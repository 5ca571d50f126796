"""What one input may take, where no fuzzer watches: time of the processor, and memory that it adds."""

import signal
from contextlib import contextmanager
from pathlib import Path

CPU_S_MAX = 5
MEMORY_BYTES_MAX = 512 * 2**20
"""Far more than the largest record takes that is accepted, decoded; far less than a function has."""
_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"


class TooMuchError(AssertionError):
    """An input took more than it may."""


class _StopError(BaseException):
    """Stops what goes on and on: no code under test takes it for an error of its own."""


def run(target, data, cpu_s_max=CPU_S_MAX, memory_bytes_max=MEMORY_BYTES_MAX):
    """Run a target; TooMuchError if it takes too much of either."""
    held = _peak_bytes(anew=True)
    try:
        with _stopped_after(cpu_s_max):
            target.run(data)
    except _StopError:
        raise TooMuchError(f"it took longer than {cpu_s_max} s") from None
    took = _peak_bytes() - held
    if took > memory_bytes_max:
        raise TooMuchError(f"it took {took // 2**20} MB of memory")


@contextmanager
def _stopped_after(seconds):
    """Stop the main thread after so much time of the processor, also within a regular expression."""

    def stop(_number, _frame):
        raise _StopError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak_bytes(*, anew=False):
    """Return the most memory that this process has held, `anew` from now on; 0 where no system tells."""
    try:
        if anew:
            _RESET.write_text(_RESET_PEAK)
        told = _STATUS.read_text()
    except OSError:
        return 0
    kilobytes = told.partition("VmHWM:")[2].split(maxsplit=1)[0]
    return int(kilobytes) * 1024
