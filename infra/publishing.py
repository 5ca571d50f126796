"""Publishing: at the first deploy every folder under `builders/` becomes version 1 of its builder."""

from typing import Any, Final

from aws_cdk import CustomResource, Duration, Stack
from constructs import Construct

from infra.archive import Archive
from infra.bundle import digest_of
from infra.function import Function
from infra.ingestion import Ingestion
from infra.settings import Settings
from infra.storage import Storage
from infra.stream import Stream
from infra.transform import Transform
from shared import contract

TIMEOUT: Final = Duration.minutes(10)
"""A consumer takes some seconds to settle after each change, and there may be many."""


class Publishing(Construct):
    """Gives each new builder its first version and that its consumer; keeps later changes as drafts."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        stream: Stream,
        storage: Storage,
        archive: Archive,
        ingestion: Ingestion,
        transform: Transform,
    ) -> None:
        super().__init__(scope, "Publishing")
        self.consumer = _consumer(settings, stream, archive)
        self.publish = Function(
            self,
            "publish",
            settings,
            description="Publishes builders and makes the consumers of their versions",
            timeout=TIMEOUT,
            memory_mb=512,
            folders=(contract.BUNDLED_BUILDERS,),
            environment={
                contract.ENV_REGISTRY_TABLE: storage.registry.table_name,
                contract.ENV_ARCHIVE_BUCKET: archive.bucket.bucket_name,
                contract.ENV_INGEST_FUNCTION: ingestion.ingest.arn,
                contract.ENV_CONSUMER: Stack.of(self).to_json_string(self.consumer),
            },
        )
        self._allow_publishing(storage, archive)
        self._allow_consumers(ingestion.ingest)
        published = CustomResource(
            self,
            "Builders",
            resource_type="Custom::KithBuilders",
            service_token=self.publish.arn,
            service_timeout=TIMEOUT,
            properties={
                "Builders": digest_of(contract.BUNDLED_BUILDERS),
                "Ingestion": ingestion.ingest.digest,
                "Consumer": self.consumer,
            },
        )
        # Roles are attached before a consumer starts, and detached after the last one is gone.
        published.node.add_dependency(self.publish, ingestion, transform, storage, archive, stream)

    def _allow_publishing(self, storage: Storage, archive: Archive) -> None:
        self.publish.allow(
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            on=[storage.registry.table_arn],
        )
        archive.allow_objects(self.publish, "s3:PutObject", prefix=contract.PREFIX_DEFINITIONS)

    def _allow_consumers(self, ingest: Function) -> None:
        self.publish.allow(
            "lambda:CreateAlias",
            "lambda:DeleteAlias",
            "lambda:ListAliases",
            on=[ingest.arn, ingest.versions],
            because="Every version of a builder has its own alias, made when it is published.",
        )
        self.publish.allow(
            "lambda:CreateEventSourceMapping",
            "lambda:DeleteEventSourceMapping",
            "lambda:UpdateEventSourceMapping",
            on=["*"],
            when=ingest.only_mappings,
            because="Mappings have no ARN before they exist; the condition holds them to ingestion.",
        )
        self.publish.allow(
            "lambda:ListEventSourceMappings",
            on=["*"],
            because="Lambda knows neither a resource nor a condition for listing mappings.",
        )


def _consumer(settings: Settings, stream: Stream, archive: Archive) -> dict[str, Any]:
    """Describe how a version consumes the stream: CreateEventSourceMapping's arguments."""
    return {
        "EventSourceArn": stream.stream.stream_arn,
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": settings.batch_size,
        "MaximumBatchingWindowInSeconds": settings.window_s,
        "ParallelizationFactor": settings.parallelization,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": settings.retries,
        "MaximumRecordAgeInSeconds": settings.record_age_h * 3600,
        "DestinationConfig": {"OnFailure": {"Destination": archive.bucket.bucket_arn}},
    }
