"""Empties the development stage's archive: CloudFormation deletes no bucket that holds anything."""

import sys
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.settings import DEVELOPMENT_STAGE
from shared import contract

STACK: Final = f"kith-{DEVELOPMENT_STAGE}"


def main() -> None:
    """Ask, then delete every version of every object."""
    try:
        stack = boto3.resource("cloudformation").Stack(STACK)
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.outputs or []}
        name = outputs[contract.OUTPUT_ARCHIVE_BUCKET]
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{STACK} cannot be found: {error}")
    if input(f"Delete {STACK} in {stack.stack_id}, its profiles and its archive {name}? [y/N] ") != "y":
        sys.exit("Nothing was deleted.")
    boto3.resource("s3").Bucket(name).object_versions.delete()


if __name__ == "__main__":
    main()
