"""Archive: the bucket of events, frozen definitions, and whatever could not be folded."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import nag
from infra.function import Function
from infra.settings import Settings
from shared import contract

COLDER_CLASSES: Final = (
    (s3.StorageClass.INFREQUENT_ACCESS, 30),
    (s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, 90),
)
"""Storage classes of archived events, by days since they were written; each reads at once."""

OVERWRITTEN_DAYS: Final = 30
"""How long an overwritten or deleted object can be brought back."""

PASSING: Final = {"Markers": contract.PREFIX_MARKERS, "Rebuild": contract.PREFIX_REBUILD}
"""What a rebuild needs while it runs, by the names of the rules that end it."""
PASSING_DAYS: Final = 14
"""As long as a failed execution can be redriven."""


class Archive(Construct):
    """A private, versioned bucket; nothing in it expires unless `archive_retention` says so."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "Archive")
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,
            removal_policy=settings.removal_policy,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Overwritten",
                    noncurrent_version_expiration=Duration.days(OVERWRITTEN_DAYS),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                ),
                *_aging(settings.archive_days),
                *(_passing(name, prefix) for name, prefix in PASSING.items()),
            ],
        )
        nag.acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            "Readers are the functions' roles alone; accounts that audit objects use CloudTrail data events.",
        )

    def allow_listing(self, function: Function) -> None:
        """Let a function list keys; it is also what tells a missing object from a forbidden one."""
        function.allow("s3:ListBucket", on=[self.bucket.bucket_arn])

    def allow_objects(self, function: Function, *actions: str, prefix: str) -> None:
        """Let a function do the actions on the objects under a prefix."""
        function.allow(
            *actions,
            on=[self.bucket.arn_for_objects(f"{prefix}*")],
            because=f"An object's ARN is its key, and keys under {prefix} are made at run time.",
        )


def _aging(kept_days: int | None) -> list[s3.LifecycleRule]:
    """Let events grow colder and, unless they are kept for good, end with what waits in quarantine."""
    events = s3.LifecycleRule(
        id="Events",
        prefix=contract.PREFIX_EVENTS,
        expiration=Duration.days(kept_days) if kept_days else None,
        transitions=[
            s3.Transition(storage_class=storage_class, transition_after=Duration.days(after_days))
            for storage_class, after_days in COLDER_CLASSES
            if kept_days is None or after_days < kept_days
        ],
    )
    if kept_days is None:
        return [events]
    quarantine = s3.LifecycleRule(
        id="Quarantine", prefix=contract.PREFIX_QUARANTINE, expiration=Duration.days(kept_days)
    )
    return [events, quarantine]


def _passing(name: str, prefix: str) -> s3.LifecycleRule:
    """End what nobody needs for long, and never bring it back."""
    return s3.LifecycleRule(
        id=name,
        prefix=prefix,
        expiration=Duration.days(PASSING_DAYS),
        noncurrent_version_expiration=Duration.days(1),
    )
