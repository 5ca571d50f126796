"""Empties the development stage's archive: CloudFormation deletes no bucket that holds anything."""

import sys
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.settings import DEVELOPMENT_STAGE
from shared import contract

STACK: Final = f"kith-{DEVELOPMENT_STAGE}"


def main(stage: str, confirmed: str = "") -> None:
    """Ask, then delete every version of every object; SystemExit unless all is as it should be.

    Nothing is asked if what would be typed is given: the stack's name, `confirmed` before.
    """
    if stage != DEVELOPMENT_STAGE:
        sys.exit(
            f"Only the stage {DEVELOPMENT_STAGE} is removed like this, and {stage or 'an empty name'} is"
            " protected: docs/infrastructure.md says how to remove it. Nothing was deleted."
        )
    try:
        stack = boto3.resource("cloudformation").Stack(STACK)
        archive = _archive(stack)
        deleted = f"{stack.stack_id}, its profiles and its archive {archive or '(not made yet)'}"
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{STACK} cannot be found: {error}")
    if (confirmed or _typed(f"This deletes {deleted}.\nType {STACK} to go on: ")) != STACK:
        sys.exit("Nothing was deleted.")
    if archive:
        boto3.resource("s3").Bucket(archive).object_versions.delete()


def _archive(stack: Any) -> str | None:
    """Name the stack's bucket; None if its first deploy did not get so far."""
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.outputs or []}
    return outputs.get(contract.OUTPUT_ARCHIVE_BUCKET)


def _typed(question: str) -> str:
    """Return what somebody types; nothing where nobody can."""
    try:
        return input(question).strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    main(*sys.argv[1:3] or [""])
