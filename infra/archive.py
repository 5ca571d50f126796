"""Archive: the bucket of events and all else that is kept in objects, and what archives the stream in it."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import nag
from infra.archive_table import ArchiveTable
from infra.function import Function
from infra.settings import Settings
from infra.stream import Stream
from shared import contract

COLDER_CLASSES: Final = (
    (s3.StorageClass.INFREQUENT_ACCESS, 30),
    (s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, 90),
)
"""Storage classes of archived events, by days since they were written; each reads at once."""

ARCHIVE_TIMEOUT: Final = Duration.minutes(2)
ARCHIVE_BATCH_SIZE: Final = 10_000
"""The most that Lambda delivers at once; 6 MB end a batch as well."""
FOR_EVER: Final = -1
"""How often, and how long, Lambda delivers a failing batch again."""

OVERWRITTEN_DAYS: Final = 30
"""How long an overwritten or deleted object can be brought back."""

PASSING: Final = {
    "Markers": contract.PREFIX_MARKERS,
    "Rebuild": contract.PREFIX_REBUILD,
    "FunctionInputs": contract.PREFIX_FUNCTION_INPUTS,
}
"""What a rebuild or a profile function needs while it runs, by the names of the rules that end it."""
PASSING_DAYS: Final = 14
"""As long as a failed execution can be redriven."""


class Archive(Construct):
    """A private, versioned bucket, and what archives the stream in it.

    No event in it expires unless `archive_retention` says so.
    """

    def __init__(self, scope: Construct, settings: Settings, *, stream: Stream) -> None:
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
        self.table = ArchiveTable(self, settings, self.bucket)
        self.archive = self._archive(settings, stream)
        self._consume(settings, stream)

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

    def _archive(self, settings: Settings, stream: Stream) -> Function:
        archive = Function(
            self,
            "archive",
            settings,
            description="Archives every record of the stream, unchanged",
            timeout=ARCHIVE_TIMEOUT,
            memory_mb=512,
            concurrency=settings.archive_concurrency,
            environment={contract.ENV_ARCHIVE_BUCKET: self.bucket.bucket_name},
        )
        stream.allow_reading(archive)
        self.allow_objects(archive, "s3:PutObject", prefix=contract.PREFIX_EVENTS)
        self.allow_objects(archive, "s3:PutObject", prefix=contract.PREFIX_MARKERS)
        return archive

    def _consume(self, settings: Settings, stream: Stream) -> None:
        """Have the stream archived in its order, one batch after the other, and nothing ever given up."""
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Stream",
            event_source_arn=stream.stream.stream_arn,
            function_name=self.archive.arn,
            starting_position="TRIM_HORIZON",
            batch_size=ARCHIVE_BATCH_SIZE,
            maximum_batching_window_in_seconds=settings.archive_window_s,
            parallelization_factor=1,
            bisect_batch_on_function_error=False,
            maximum_retry_attempts=FOR_EVER,
            maximum_record_age_in_seconds=FOR_EVER,
        )
        mapping.node.add_dependency(self.archive, stream)  # its role may read before the first batch


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
