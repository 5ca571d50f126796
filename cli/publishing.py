"""What the commands that publish share: the use cases on a target, who asks, and how they are refused."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.errors import Failure
from cli.target import Target
from shared import contract

if TYPE_CHECKING:
    from rich.text import Text

    from shared.adapters.registry import DynamoRegistry
    from shared.app.builds import Builds
    from shared.app.executions import Executions
    from shared.app.publish import Asked, Publisher

GRACE_H_MAX: Final = 168
_UNITS_S: Final = {"": 3600, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLOURS: Final = {"active": "green", "building": "cyan", "failed": "red", "retired": "dim"}

BuilderArgument = Annotated[
    str | None,
    typer.Argument(metavar="BUILDER", help="Name of the builder. Default: the only one.", show_default=False),
]
Watch = Annotated[bool, typer.Option("--watch", help="Stay, and show how the build goes on.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="If another version is building, cancel that one first.")
]
Grace = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Keep the version that is replaced for so long, like 30m, 24h or 7d; versions before it that "
        "are still kept go with it, whatever grace they had. Default: the stack's setting `cleanup_grace_h`.",
        show_default=False,
    ),
]
AcceptLoss = Annotated[
    bool,
    typer.Option(
        "--accept-loss",
        help="Publish even if profiles began before the archive does: what they had before that is lost.",
    ),
]


def registry_of(target: Target) -> "DynamoRegistry":
    """Return the registry of a stack."""
    from shared.adapters.registry import DynamoRegistry

    region = target.client("dynamodb").meta.region_name
    return DynamoRegistry(target.output(contract.OUTPUT_REGISTRY_TABLE), region)


def executions_of(target: Target) -> "Executions":
    """Return the executions of a stack's state machine."""
    from shared.adapters.step_functions import StepFunctions

    return StepFunctions(target.client("stepfunctions"), target.output(contract.OUTPUT_REBUILD))


def publisher_of(target: Target) -> "Publisher":
    """Return what publishes on a stack."""
    from shared.app.publish import Publisher

    objects = target.bucket()
    return Publisher(registry_of(target), objects, executions_of(target))


def builds_of(target: Target) -> "Builds":
    """Return what reads the builds of a stack."""
    from shared.adapters.registry import DynamoProgress
    from shared.app.builds import Builds

    region = target.client("dynamodb").meta.region_name
    progress = DynamoProgress(target.output(contract.OUTPUT_REGISTRY_TABLE), region)
    return Builds(registry_of(target), progress, executions_of(target))


def builder_name(target: Target, name: str | None) -> str:
    """Return the builder that a command is about; Failure if none is named and there is not just one."""
    known = registry_of(target).builders()
    if name is None:
        if len(known) == 1:
            return known[0]
        if not known:
            raise Failure("there is no builder yet; if the deploy has just ended, try again")
        raise Failure(f"there are several builders: name one ({', '.join(known)})")
    return name


def who(target: Target) -> str:
    """Return who asks, for the registry: the caller's identity on AWS, the user of this machine locally."""
    if target.is_local:
        import getpass

        from shared.app.deploy import DEPLOYED_BY

        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # somebody without a name, as in a container
            user = "nobody"
        return user if user != DEPLOYED_BY else f"user {user}"
    arn: str = target.client("sts").get_caller_identity()["Arn"]
    return arn.rpartition(":")[2]


def asked(target: Target, *, grace: str | None, replace: bool) -> "Asked":
    """Return how a version is asked for."""
    from shared.app.publish import Asked

    return Asked(by=who(target), now=now_ms(), grace_s=grace_of(grace), replaces=replace)


def now_ms() -> int:
    """Return the time, ms UTC."""
    return time.time_ns() // 1_000_000


@contextmanager
def refusals() -> Iterator[None]:
    """Tell in a sentence why nothing is published."""
    from shared.app.frozen import DamagedDefinitionError
    from shared.app.publish import CannotPublishError

    try:
        yield
    except (CannotPublishError, DamagedDefinitionError) as error:
        raise Failure(str(error)) from None


def coloured(status: str) -> "Text":
    """Return a status in its colour."""
    from rich.text import Text

    return Text(status, _COLOURS.get(status, ""))


def grace_of(text: str | None) -> int | None:
    """Return the seconds that somebody typed; None if none were given."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,7})([smhd]?)", text.strip())
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else -1
    if not 0 <= seconds <= GRACE_H_MAX * 3600:
        raise typer.BadParameter("--grace takes a time up to 7d, like 30m, 24h or 7d")
    return seconds
