"""Ingestion: the function that folds events into profiles, and the drain of what it gave up on.

There is no event source mapping here: each version of a builder consumes the stream through its
own alias and mapping, which publishing makes (infra/publishing.py).
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.archive import Archive
from infra.function import Function
from infra.settings import Settings
from infra.storage import Storage
from infra.stream import Stream
from infra.transform import Transform
from shared import contract

INGEST_TIMEOUT: Final = Duration.minutes(2)
DRAIN_EVERY: Final = Duration.minutes(5)
DRAIN_TIMEOUT: Final = Duration.seconds(280)
"""Over the time of one ingestion, and short of the next run: two drains never work at once."""


class Ingestion(Construct):
    """Folds records of the stream into profiles; retries what the stream gave up on."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        stream: Stream,
        storage: Storage,
        archive: Archive,
        transform: Transform,
    ) -> None:
        super().__init__(scope, "Ingestion")
        self.ingest = self._ingest(settings, stream, storage, archive)
        transform.allow_calls(self.ingest)
        self.drain = self._drain(settings, storage, archive)
        events.Rule(
            self,
            "DrainSchedule",
            description="Drains batches that ingestion gave up on",
            schedule=events.Schedule.rate(DRAIN_EVERY),
            targets=[targets.LambdaFunction(self.drain.resource, retry_attempts=0)],
        )

    def _ingest(self, settings: Settings, stream: Stream, storage: Storage, archive: Archive) -> Function:
        ingest = Function(
            self,
            "ingest",
            settings,
            description="Folds events into profiles; one alias per version of a builder",
            timeout=INGEST_TIMEOUT,
            memory_mb=settings.memory_mb,
            concurrency=settings.ingest_concurrency,
            environment={
                contract.ENV_PROFILES_TABLE: storage.profiles.table_name,
                contract.ENV_IDENTIFIERS_TABLE: storage.identifiers.table_name,
                contract.ENV_REGISTRY_TABLE: storage.registry.table_name,
                contract.ENV_ARCHIVE_BUCKET: archive.bucket.bucket_name,
            },
        )
        stream.allow_reading(ingest)
        storage.allow_folding(ingest)
        ingest.allow("dynamodb:GetItem", on=[storage.registry.table_arn])
        archive.allow_objects(ingest, "s3:GetObject", prefix=contract.PREFIX_DEFINITIONS)
        archive.allow_objects(ingest, "s3:PutObject", prefix=contract.PREFIX_QUARANTINE)
        archive.allow_objects(ingest, "s3:PutObject", prefix=contract.PREFIX_MARKERS)
        archive.allow_objects(ingest, "s3:PutObject", prefix=contract.PREFIX_RETRIES)
        # Lambda writes batches it gave up on in the name of the function they were meant for.
        archive.allow_objects(ingest, "s3:PutObject", prefix=contract.PREFIX_FAILED)
        archive.allow_listing(ingest)
        return ingest

    def _drain(self, settings: Settings, storage: Storage, archive: Archive) -> Function:
        drain = Function(
            self,
            "drain",
            settings,
            description="Takes batches that ingestion gave up on through ingestion again, or to quarantine",
            timeout=DRAIN_TIMEOUT,
            memory_mb=512,
            environment={
                contract.ENV_REGISTRY_TABLE: storage.registry.table_name,
                contract.ENV_ARCHIVE_BUCKET: archive.bucket.bucket_name,
                contract.ENV_INGEST_FUNCTION: self.ingest.arn,
            },
        )
        drain.allow("dynamodb:GetItem", on=[storage.registry.table_arn])
        drain.allow(
            "lambda:InvokeFunction",
            on=[self.ingest.versions],
            because="Every version of a builder has its own alias, made when it is published.",
        )
        drain.allow(
            "lambda:GetEventSourceMapping",
            on=["*"],
            when=self.ingest.only_mappings,
            because="A failed batch may name only its mapping, which says whose it was; the condition holds "
            "it to ingestion.",
        )
        archive.allow_listing(drain)
        archive.allow_objects(drain, "s3:GetObject", "s3:DeleteObject", prefix=contract.PREFIX_FAILED)
        archive.allow_objects(drain, "s3:GetObject", "s3:DeleteObject", prefix=contract.PREFIX_RETRIES)
        archive.allow_objects(drain, "s3:PutObject", prefix=contract.PREFIX_QUARANTINE)
        return drain
