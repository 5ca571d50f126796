"""How a command fails as expected: a message on stderr, exit code 1, no traceback."""

import errno
import os
import re
import sys
from typing import Final

import typer
from typer.core import TyperGroup

_NO_UTF_8: Final = re.compile("[\udc80-\udcff]")
"""What Python has for each byte of an argument, or of a file's name, that is none of UTF-8."""


class Failure(Exception):  # noqa: N818 - a command's end, not a mistake in the program
    """What went wrong, and what to do next."""


class Commands(TyperGroup):
    """The commands of `kith`: what fails as expected is said in a sentence."""

    def invoke(self, ctx):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201 - typer hides click's types
        """Run the command; end with a message and exit code 1 if it fails as expected."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # what does not fit is told of below, and not by Python as it ends
        except Failure as failure:
            message = str(failure)
        except Exception as error:
            told = _told(error)
            if told is None:
                raise
            message = told
        else:
            return result
        typer.echo(f"kith: {message}", err=True)
        raise typer.Exit(1)


def _told(error: Exception) -> str | None:
    """Return what to tell of an error that may be expected; None for any other."""
    # These take longer to import than most commands take to run: only look if they were used.
    told = _told_by_registry(error) if "shared.app.registry" in sys.modules else None
    if told is None and "botocore" in sys.modules:
        told = _told_by_aws(error)
    return _told_by_system(error) if told is None else told


def _told_by_system(error: Exception) -> str | None:
    """Return what to tell of a file, or of a name that is none; None for any other error."""
    if isinstance(error, UnicodeEncodeError) and _NO_UTF_8.search(error.object):
        return "an argument, or the name of a file, is no UTF-8"
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENOSPC:
        _give_up_output()
        return f"what was to be written is not written whole: {error.strerror}"
    return None if error.filename is None else f"{error.filename}: {error.strerror}"


def _give_up_output() -> None:
    """Drop what stdout cannot take: Python would try once more as it ends, and fail in words of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told_by_registry(error: Exception) -> str | None:
    from shared.app.registry import DamagedRowError

    return str(error) if isinstance(error, DamagedRowError) else None


def is_out_of_reach(error: Exception) -> bool:
    """Tell whether an error says that nothing answers where AWS, or the local cloud, should be."""
    from botocore import exceptions as aws

    return isinstance(
        _of_aws(error), aws.EndpointConnectionError | aws.ConnectionClosedError | aws.ConnectTimeoutError
    )


def _of_aws(error: Exception) -> Exception | None:
    """Return the error of botocore that an error came of; None if it came of no such."""
    from botocore import exceptions as aws

    cause = error
    while not isinstance(cause, aws.BotoCoreError | aws.ClientError):
        # PynamoDB names the cause of some of its errors in a way of its own.
        further = cause.__cause__ or getattr(cause, "cause", None)
        if not isinstance(further, Exception):
            return None
        cause = further
    return cause


def _told_by_aws(error: Exception) -> str | None:
    """Return what to tell of an error that AWS, or the way to it, raised; None for any other."""
    from botocore import exceptions as aws

    cause = _of_aws(error)
    if cause is None:
        return None
    if is_out_of_reach(cause):
        return f"{_sentence(cause)} If this is the local cloud: `make run` starts it."
    if isinstance(cause, aws.NoCredentialsError | aws.NoRegionError):
        advice = "Set up credentials and a region as for the `aws` command (AWS_PROFILE, AWS_REGION)."
        return f"{_sentence(cause)} {advice}"
    return str(cause)


def _sentence(error: Exception) -> str:
    """Return an error's message with one full stop: botocore ends some of its own with one."""
    return f"{str(error).rstrip('.')}."
