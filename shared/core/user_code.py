"""Python files of a builder: running them, and telling what they raise without what it may quote."""

import sys
from itertools import count
from types import ModuleType
from typing import Any, Final

TRANSFORM_FILE: Final = "transform.py"
PROFILE_FILE: Final = "profile.py"
"""What tracebacks call them."""

TOO_DEEP: Final = "nests too deep to be read"
"""What is wrong with a file that is more than Python's parser or its stack can take."""

_numbers: Final = count()


class UserCodeError(Exception):
    """A file that is not what it should be; `line` counts from 1. The message is for its writer."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


def run_file(source: str, file: str) -> dict[str, Any]:
    """Run a file and return what it defines; UserCodeError if that fails."""
    # Dataclasses and the like look their module up; no two loads may share what they keep in it.
    module = ModuleType(f"kith_{file.partition('.')[0]}_{next(_numbers)}")
    module.__file__ = file
    try:
        code = compile(source, file, "exec")
    except SyntaxError as error:
        raise UserCodeError(error.msg, error.lineno or 1) from None
    except ValueError as error:  # NUL bytes, before Python 3.12
        raise UserCodeError(str(error)) from None
    except (RecursionError, MemoryError):
        raise UserCodeError(TOO_DEEP) from None
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - running the user's code is what this is for
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # There is no event yet that the text could quote.
        message = f"cannot be run: {type(error).__qualname__}: {error}"
        raise UserCodeError(message, _line(error, file) or 1) from error
    return module.__dict__


def told(error: BaseException, file: str) -> str:
    """Say what was raised and where in the file; the message stays out, for it may quote an event."""
    try:
        # Half a surrogate pair is no text, and could not leave the process.
        name = type(error).__qualname__.encode(errors="replace").decode()
        line = _line(error, file)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - its class is user code as well
        return "an error that does not tell what it is"
    return f"{name} at {file}:{line}" if line else name


def kind_of(value: Any) -> str:
    """Say what a value is, and nothing of what it holds."""
    return f"a value of type {type(value).__qualname__}"


def unfit(error: Exception) -> str:
    """Say why a result is no JSON, but not by the error's own text, which may quote it."""
    detail = type(error).__qualname__
    if isinstance(error, RecursionError):
        detail = "it holds itself, or is nested too deep"
    elif isinstance(error, TypeError):  # its text names types and nothing else
        detail = "keys must be text" if "str keys" in str(error) else str(error)
    return f"the result cannot become JSON: {detail}"


def _line(error: BaseException, file: str) -> int | None:
    """Return the last line of the file that an error came through."""
    line = None
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == file:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line
