"""Rebuild: the functions that build a version from the archive, one per state, and their state machine.

Each function knows and may do what its state needs, and no more. They share one bundle, because they run one
after another and over the same objects.
"""

from typing import Final

from aws_cdk import Duration, Stack
from constructs import Construct

from infra.archive import Archive
from infra.function import Function
from infra.functions import Functions
from infra.ingestion import Ingestion
from infra.publishing import Publishing
from infra.rebuild_machine import RebuildMachine
from infra.settings import Settings
from infra.storage import Storage
from infra.stream import Stream
from infra.transform import Transform
from shared import contract

LONG: Final = Duration.minutes(15)
"""As long as Lambda lets a function work: what is not done by then goes on in another call."""
SHORT: Final = Duration.minutes(10)
"""A consumer takes some seconds to settle after each change."""

SMALL_MB: Final = 512


class Rebuild(Construct):
    """Builds versions, by one execution of its state machine each."""

    def __init__(  # noqa: PLR0913 - each is a part that it works with
        self,
        scope: Construct,
        settings: Settings,
        *,
        stream: Stream,
        storage: Storage,
        archive: Archive,
        ingestion: Ingestion,
        publishing: Publishing,
        transform: Transform,
        functions: Functions,
    ) -> None:
        super().__init__(scope, "Rebuild")
        self._settings = settings
        self._stream = stream
        self._storage = storage
        self._archive = archive
        self._ingest = ingestion.ingest
        self._publishing = publishing
        self._transform = transform
        self._functions = functions
        states = [
            self._plan(),
            self._scan(),
            self._link(),
            self._shuffle(),
            self._replay(),
            self._verify(),
            self._follow(),
            self._cut_over(),
            self._clean_up(),
            self._fail(),
        ]
        self.functions = {function.name: function for function in states}
        self.machine = RebuildMachine(self, settings, functions=self.functions, bucket=archive.bucket)

    # The states

    def _plan(self) -> Function:
        plan = self._function(
            "plan",
            "Chooses T0, and lists the archive before it",
            timeout=LONG,
            memory_mb=self._settings.rebuild_memory_mb,
        )
        self._give_objects(plan)
        self._give_markers(plan)
        plan.tell({contract.ENV_REBUILD_CONCURRENCY: str(self._settings.rebuild_concurrency)})
        plan.allow(
            "lambda:GetAccountSettings",
            on=["*"],
            because="An account's limits belong to no resource.",
        )
        return plan

    def _scan(self) -> Function:
        scan = self._worker("scan", "Reads one part of the archive")
        self._give_objects(scan)
        self._archive.allow_objects(scan, "s3:GetObject", prefix=contract.PREFIX_EVENTS)
        self._archive.allow_objects(scan, "s3:GetObject", prefix=contract.PREFIX_DEFINITIONS)
        self._archive.allow_objects(scan, "s3:PutObject", prefix=contract.PREFIX_QUARANTINE)
        self._transform.allow_calls(scan)
        return scan

    def _link(self) -> Function:
        link = self._function(
            "link",
            "Finds out whose events may belong to one person, over all parts",
            timeout=LONG,
            memory_mb=self._settings.rebuild_link_memory_mb,
        )
        self._give_objects(link)
        return link

    def _shuffle(self) -> Function:
        shuffle = self._worker("shuffle", "Sorts one part by partition")
        self._give_objects(shuffle)
        return shuffle

    def _replay(self) -> Function:
        replay = self._worker("replay", "Makes the profiles of one partition")
        self._give_objects(replay)
        self._archive.allow_objects(replay, "s3:GetObject", prefix=contract.PREFIX_DEFINITIONS)
        self._give_tables(replay, "dynamodb:BatchGetItem", "dynamodb:PartiQLInsert")
        self._give_pointers_to_active(replay)
        self._functions.allow_calls(replay)
        replay.tell({contract.ENV_REBUILD_WRITE_UNITS: str(self._settings.rebuild_write_units)})
        return replay

    def _verify(self) -> Function:
        verify = self._function("verify", "Accounts for every event, and compares a sample", timeout=LONG)
        self._give_objects(verify)
        self._archive.allow_objects(verify, "s3:GetObject", prefix=contract.PREFIX_DEFINITIONS)
        self._give_tables(verify, "dynamodb:BatchGetItem")
        self._give_pointers_to_active(verify)
        return verify

    def _follow(self) -> Function:
        follow = self._function(
            "follow", "Starts the version's consumer, and waits until it has caught up", timeout=SHORT
        )
        self._give_objects(follow)
        self._give_markers(follow)
        self._give_consumers(follow, verbs=("Create", "Update", "Delete"))
        follow.tell({contract.ENV_CONSUMER: Stack.of(self).to_json_string(self._publishing.consumer)})
        return follow

    def _cut_over(self) -> Function:
        cut_over = self._function("cut_over", "Makes the version active", timeout=SHORT)
        self._give_consumers(cut_over, verbs=("Delete",))
        self._give_pointers_to_active(cut_over)
        cut_over.allow("dynamodb:Query", on=[self._storage.registry.table_arn])
        return cut_over

    def _clean_up(self) -> Function:
        clean_up = self._function("clean_up", "Deletes what a version has left", timeout=LONG)
        self._give_tables(clean_up, "dynamodb:BatchWriteItem", "dynamodb:Scan")
        self._give_consumers(clean_up, verbs=("Delete",))
        clean_up.tell({contract.ENV_REBUILD_WRITE_UNITS: str(self._settings.rebuild_write_units)})
        user_store = self._storage.user_store
        clean_up.allow("dynamodb:BatchWriteItem", "dynamodb:Scan", on=[user_store.table_arn])
        clean_up.tell({contract.ENV_USER_STORE: user_store.table_name})
        clean_up.allow("dynamodb:Query", on=[self._storage.registry.table_arn])
        self._archive.allow_listing(clean_up)
        self._archive.allow_objects(
            clean_up, "s3:GetObject", "s3:PutObject", "s3:DeleteObject", prefix=contract.PREFIX_REBUILD
        )
        self._archive.allow_objects(clean_up, "s3:DeleteObject", prefix=contract.PREFIX_QUARANTINE)
        self._archive.allow_objects(clean_up, "s3:DeleteObject", prefix=contract.PREFIX_FUNCTION_ERRORS)
        return clean_up

    def _fail(self) -> Function:
        fail = self._function("fail", "Ends a version that cannot be built", timeout=SHORT)
        self._give_consumers(fail, verbs=("Delete",))
        return fail

    # What they are given

    def _worker(self, name: str, description: str) -> Function:
        """Make a function that runs many times at once, each for as long as Lambda lets it."""
        return self._function(name, description, timeout=LONG, memory_mb=self._settings.rebuild_memory_mb)

    def _function(
        self, name: str, description: str, *, timeout: Duration, memory_mb: int = SMALL_MB
    ) -> Function:
        """Make a function that sees whether its version is being built, may end it, and counts its work."""
        function = Function(
            self,
            f"rebuild_{name}",
            self._settings,
            description=description,
            timeout=timeout,
            memory_mb=memory_mb,
            environment={
                contract.ENV_REGISTRY_TABLE: self._storage.registry.table_name,
                contract.ENV_ARCHIVE_BUCKET: self._archive.bucket.bucket_name,
            },
        )
        function.tell({contract.ENV_RELEASE: function.digest})
        function.allow(
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            on=[self._storage.registry.table_arn],
        )
        return function

    def _give_pointers_to_active(self, function: Function) -> None:
        """Let a function see which versions are active: the registry is small, and is scanned for that."""
        function.allow("dynamodb:Scan", on=[self._storage.registry.table_arn])

    def _give_objects(self, function: Function) -> None:
        """Let a function read and leave the objects that states have for each other."""
        self._archive.allow_listing(function)
        self._archive.allow_objects(function, "s3:GetObject", "s3:PutObject", prefix=contract.PREFIX_REBUILD)

    def _give_markers(self, function: Function) -> None:
        """Let a function put a marker on every shard, and see who has come by it."""
        function.allow("kinesis:ListShards", "kinesis:PutRecords", on=[self._stream.stream.stream_arn])
        function.tell(
            {
                contract.ENV_STREAM: self._stream.stream.stream_name,
                contract.ENV_REBUILD_LEAD_S: str(self._settings.rebuild_lead_s),
                contract.ENV_REBUILD_MARKER_DELAY_S: str(self._settings.rebuild_marker_delay_s),
                contract.ENV_REBUILD_POLL_S: str(self._settings.rebuild_poll_s),
            }
        )

    def _give_tables(self, function: Function, *actions: str) -> None:
        tables = self._storage.profiles, self._storage.identifiers
        function.allow(*actions, on=[table.table_arn for table in tables])
        function.tell(
            {
                contract.ENV_PROFILES_TABLE: self._storage.profiles.table_name,
                contract.ENV_IDENTIFIERS_TABLE: self._storage.identifiers.table_name,
            }
        )

    def _give_consumers(self, function: Function, *, verbs: tuple[str, ...]) -> None:
        """Let a function make or remove the alias and the mapping by which a version consumes the stream."""
        ingest = self._ingest
        function.tell({contract.ENV_INGEST_FUNCTION: ingest.arn})
        function.allow(
            *(f"lambda:{verb}Alias" for verb in verbs if verb != "Update"),
            on=[ingest.arn, ingest.versions],
            because="Every version of a builder has its own alias, made when it is published.",
        )
        function.allow(
            *(f"lambda:{verb}EventSourceMapping" for verb in verbs),
            on=["*"],
            when=ingest.only_mappings,
            because="Mappings have no ARN before they exist; the condition holds them to ingestion.",
        )
        function.allow(
            "lambda:ListEventSourceMappings",
            on=["*"],
            because="Lambda knows neither a resource nor a condition for listing mappings.",
        )
