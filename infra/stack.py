"""The stack of one stage: what Kith is made of, and the names under which others find it."""

from typing import Final

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from infra.archive import Archive
from infra.functions import Functions
from infra.ingestion import Ingestion
from infra.observability import Observability
from infra.publishing import Publishing
from infra.rebuild import Rebuild
from infra.settings import Settings
from infra.storage import Storage
from infra.stream import Stream
from infra.transform import Transform
from shared import contract

DESCRIPTION: Final = "Kith: customer profiles from a stream of events"


class KithStack(Stack):
    """Events come in by the stream, are folded by ingestion, and are read from storage."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(
            scope,
            f"kith-{settings.stage}",
            description=DESCRIPTION,
            termination_protection=not settings.is_development,
        )
        stream = Stream(self, settings)
        storage = Storage(self, settings)
        archive = Archive(self, settings, stream=stream)
        transform = Transform(self, settings, storage=storage)
        ingestion = Ingestion(
            self, settings, stream=stream, storage=storage, archive=archive, transform=transform
        )
        functions = Functions(self, settings, storage=storage, archive=archive)
        publishing = Publishing(
            self,
            settings,
            stream=stream,
            storage=storage,
            archive=archive,
            ingestion=ingestion,
            transform=transform,
        )
        rebuild = Rebuild(
            self,
            settings,
            stream=stream,
            storage=storage,
            archive=archive,
            ingestion=ingestion,
            publishing=publishing,
            transform=transform,
            functions=functions,
        )
        observability = Observability(
            self,
            settings,
            stream=stream,
            ingest=ingestion.ingest,
            archive=archive.archive,
            others=[ingestion.drain, publishing.publish, transform.transform],
            rebuild=rebuild,
            functions=functions,
        )
        outputs = {
            contract.OUTPUT_STREAM: stream.stream.stream_name,
            contract.OUTPUT_PROFILES_TABLE: storage.profiles.table_name,
            contract.OUTPUT_IDENTIFIERS_TABLE: storage.identifiers.table_name,
            contract.OUTPUT_REGISTRY_TABLE: storage.registry.table_name,
            contract.OUTPUT_ARCHIVE_BUCKET: archive.bucket.bucket_name,
            contract.OUTPUT_ARCHIVE_RETENTION: str(settings.archive_retention),
            contract.OUTPUT_ARCHIVE_TABLE: archive.table.name,
            contract.OUTPUT_INGEST_FUNCTION: ingestion.ingest.resource.function_name,
            contract.OUTPUT_FUNCTIONS_QUEUE: functions.queue.queue_url,
            contract.OUTPUT_REBUILD: rebuild.machine.resource.state_machine_arn,
            contract.OUTPUT_DASHBOARD: observability.dashboard.dashboard_name,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
