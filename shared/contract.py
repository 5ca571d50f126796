"""Names that infrastructure and runtime must agree on; imports nothing.

Infrastructure takes every name from here, and so does the code that runs on it: a name
that exists twice is a name that will differ one day.
"""

from typing import Final

# Environment variables of the functions.
ENV_STAGE: Final = "KITH_STAGE"
ENV_STREAM: Final = "KITH_STREAM"
ENV_PROFILES_TABLE: Final = "KITH_PROFILES_TABLE"
ENV_IDENTIFIERS_TABLE: Final = "KITH_IDENTIFIERS_TABLE"
ENV_REGISTRY_TABLE: Final = "KITH_REGISTRY_TABLE"
ENV_ARCHIVE_BUCKET: Final = "KITH_ARCHIVE_BUCKET"
ENV_INGEST_FUNCTION: Final = "KITH_INGEST_FUNCTION"
"""ARN of the ingestion function, without an alias."""
ENV_TRANSFORM_FUNCTION: Final = "KITH_TRANSFORM_FUNCTION"
"""ARN of the function that runs the transformations of builders."""
ENV_FUNCTIONS_QUEUE: Final = "KITH_FUNCTIONS_QUEUE"
"""URL of the queue of profiles whose function is to run."""
ENV_FUNCTIONS_SANDBOX: Final = "KITH_FUNCTIONS_SANDBOX"
"""ARN of the function that runs the profile functions of builders."""
ENV_FUNCTIONS_ATTEMPTS: Final = "KITH_FUNCTIONS_ATTEMPTS"
ENV_FUNCTIONS_RETRY_S: Final = "KITH_FUNCTIONS_RETRY_S"
ENV_USER_STORE: Final = "KITH_USER_STORE"
"""The table of what the code of builders keeps in `context.store`."""
ENV_CONSUMER: Final = "KITH_CONSUMER"
"""JSON: the arguments of Lambda's CreateEventSourceMapping for a version's consumer, all but
`FunctionName`; the alias is the publisher's to name."""
ENV_RELEASE: Final = "KITH_RELEASE"
"""Digest of the code of the functions that build versions."""
ENV_REBUILD_LEAD_S: Final = "KITH_REBUILD_LEAD_S"
ENV_REBUILD_MARKER_DELAY_S: Final = "KITH_REBUILD_MARKER_DELAY_S"
ENV_REBUILD_POLL_S: Final = "KITH_REBUILD_POLL_S"
ENV_REBUILD_WRITE_UNITS: Final = "KITH_REBUILD_WRITE_UNITS"
"""Write units per second of all Replay workers together, and of CleanUp."""
ENV_REBUILD_CONCURRENCY: Final = "KITH_REBUILD_CONCURRENCY"

# Keys of the DynamoDB tables.
PROFILES_PK: Final = "pk"
"""`{builder}#{version}#{profile_id}`"""
PROFILES_SK: Final = "sk"
SK_PROFILE: Final = "profile"
SK_HISTORY_PREFIX: Final = "history#"
SK_BODY_PREFIX: Final = "body#"
SK_DELTA_PREFIX: Final = "delta#"
SK_FAILING: Final = "failing"
PROFILES_DUE: Final = "due"
"""Of a profile whose function is to run: so many seconds after the change that made it so."""
IDENTIFIERS_PK: Final = "pk"
"""`{builder}#{version}#{type}#{value}`"""
REGISTRY_PK: Final = "builder"
REGISTRY_SK: Final = "version"
"""A zero-padded version number; `draft`, or `active` for the pointer to the active version; or `progress#`
and a zero-padded version number for what was counted of its build."""
REGISTRY_DRAFT: Final = "draft"
REGISTRY_ACTIVE: Final = "active"
USER_STORE_PK: Final = "pk"
"""`{builder}#{version}#{key}`"""
USER_STORE_VALUE: Final = "value"
TTL_ATTRIBUTE: Final = "expires_at"
"""Seconds since 1970; DynamoDB deletes an item some time after it."""

# Prefixes of the archive bucket.
PREFIX_EVENTS: Final = "events/"
PREFIX_QUARANTINE: Final = "quarantine/"
PREFIX_RETRIES: Final = "retries/"
"""Events that are to be tried again: `retries/{due}/{builder}/{id}.json`"""
PREFIX_FAILED: Final = "aws/lambda/"
"""Batches that Lambda gave up on, until they are drained. The on-failure destination of an event
source mapping is a bucket; this prefix in it is Lambda's own and cannot be chosen."""
PREFIX_DEFINITIONS: Final = "definitions/"
"""Frozen definitions: `definitions/{builder}/{version}/{sha256}.json`"""
PREFIX_MARKERS: Final = "markers/"
"""What readers of the stream have dealt with: `markers/{token}/{shard}`, see `core/control.py`."""
PREFIX_BACKFILL: Final = "backfill/"
"""What was added to the archive from files: `backfill/{sha256}.json`"""
PREFIX_FUNCTION_ERRORS: Final = "functions/errors/"
"""Profiles whose function keeps failing: `functions/errors/{builder}/v{version}/{profile_id}.json`"""
PREFIX_FUNCTION_INPUTS: Final = "functions/inputs/"
"""What is too large for a call of the function that runs profile functions."""
PREFIX_REBUILD: Final = "rebuild/"
"""What the states of a rebuild leave for each other: `rebuild/{builder}/{version:08d}/...`"""

SECRETS: Final = "kith/"
"""What the names of all secrets begin with that the code of builders may be given."""

# Outputs of the stack.
OUTPUT_STREAM: Final = "StreamName"
OUTPUT_PROFILES_TABLE: Final = "ProfilesTable"
OUTPUT_IDENTIFIERS_TABLE: Final = "IdentifiersTable"
OUTPUT_REGISTRY_TABLE: Final = "RegistryTable"
OUTPUT_ARCHIVE_BUCKET: Final = "ArchiveBucket"
OUTPUT_ARCHIVE_RETENTION: Final = "ArchiveRetention"
"""For how many days events are archived, or `forever`."""
OUTPUT_ARCHIVE_TABLE: Final = "ArchiveTable"
"""The Athena table over the archive, `database.table`."""
OUTPUT_INGEST_FUNCTION: Final = "IngestFunction"
OUTPUT_FUNCTIONS_QUEUE: Final = "FunctionsQueue"
"""URL of the queue of profiles whose function is to run."""
OUTPUT_REBUILD: Final = "RebuildMachine"
"""ARN of the state machine that builds versions."""
OUTPUT_DASHBOARD: Final = "DashboardName"

# Metrics, one namespace; dimensions `stage` and `builder`, beside Powertools' `service`.
METRICS_NAMESPACE: Final = "Kith"
SERVICE: Final = "kith"
DIMENSION_SERVICE: Final = "service"
DIMENSION_STAGE: Final = "stage"
DIMENSION_BUILDER: Final = "builder"
METRIC_EVENTS_IN: Final = "EventsIn"
METRIC_EVENTS_FOLDED: Final = "EventsFolded"
METRIC_EVENTS_DROPPED: Final = "EventsDropped"
"""With one more metric per reason: `EventsDropped.{reason}`."""
METRIC_EVENTS_DUPLICATE: Final = "EventsDuplicate"
METRIC_EVENTS_QUARANTINED: Final = "EventsQuarantined"
METRIC_EVENTS_POSTPONED: Final = "EventsPostponed"
"""Events that their transformation wants to try again later."""
METRIC_EVENTS_FAILED: Final = "EventsFailed"
"""Events that could not be written: they come again."""
METRIC_VALUES_SET_ASIDE: Final = "ValuesSetAside"
METRIC_PROFILES_CREATED: Final = "ProfilesCreated"
METRIC_PROFILES_MERGED: Final = "ProfilesMerged"
METRIC_PROFILES_BROKEN: Final = "ProfilesBroken"
METRIC_CONFLICTS: Final = "WriteConflicts"
METRIC_DELTAS_PARKED: Final = "DeltasParked"
METRIC_FOLLOW_UPS_UNFINISHED: Final = "FollowUpsUnfinished"
"""Work after writes that failed: it costs storage until its TTL, nothing else."""
METRIC_USER: Final = "User"
"""Before the name of a counter of user code: `User.{name}`"""
METRIC_BATCHES_FAILED: Final = "BatchesFailed"
"""Batches that Lambda gave up on, counted when the drain finds them."""
METRIC_RECORDS_DROPPED: Final = "RecordsDropped"
"""Records that a version did not accept before it ended: its successor counts them."""
METRIC_DEDUP_EVICTIONS: Final = "DedupEvictions"
METRIC_INVARIANT_VIOLATIONS: Final = "InvariantViolations"
METRIC_RECORDS_ARCHIVED: Final = "RecordsArchived"
METRIC_ARCHIVE_BYTES: Final = "ArchiveBytes"
"""Bytes written to the archive, compressed."""
METRIC_ARCHIVE_AGE: Final = "ArchiveAge"
"""Milliseconds from the oldest record's arrival until it was archived."""
METRIC_REQUEST_UNITS: Final = "RequestUnits"
METRIC_BATCH_AGE: Final = "BatchAge"
"""Milliseconds from the oldest record's arrival to the end of its batch."""
METRIC_REBUILD_EVENTS: Final = "RebuildEvents"
"""Events that Scan workers read from the archive."""
METRIC_REBUILD_PROFILES: Final = "RebuildProfiles"
"""Profiles that Replay workers wrote."""
METRIC_FUNCTIONS_RUN: Final = "FunctionsRun"
"""Profiles whose function gave a result that was written."""
METRIC_FUNCTIONS_FAILED: Final = "FunctionsFailed"
"""Runs of profile functions that failed: they are tried again."""
METRIC_FUNCTIONS_QUARANTINED: Final = "FunctionsQuarantined"
"""Profiles whose function failed for the last time; with one more metric per reason."""
METRIC_FUNCTIONS_DROPPED: Final = "FunctionsDropped"
"""Messages of profiles, or of versions, that need no run any more; with one more metric per reason."""
METRIC_FUNCTION_AGE: Final = "FunctionAge"
"""Milliseconds from a change of a profile until what its function made of it was written."""

# Limits that infrastructure and runtime share.
STREAM_RETENTION_H: Final = 7 * 24
"""For how long the stream keeps records: whoever is further behind has lost some."""
DEDUP_WINDOW_H: Final = 24
RECORD_AGE_H_MAX: Final = 11
"""Nothing may be retried from the stream past half the dedup window."""

REBUILD_RETRIES: Final = 8
"""How often each state of a rebuild is tried again, over some minutes; the waits grow."""

# The function's zip that publishes also carries the builders, under this folder.
BUNDLED_BUILDERS: Final = "builders"


def version_alias(builder: str, version: int) -> str:
    """Name the alias of the ingestion function through which one version consumes the stream."""
    return f"{builder}-v{version}"


def version_of_alias(alias: str) -> tuple[str, int]:
    """Read (builder, version) out of an alias that `version_alias` made; ValueError for any other."""
    builder, separator, version = alias.rpartition("-v")
    if not (builder and separator and version.isdecimal()):
        raise ValueError(f"{alias!r} names no version of a builder")
    return builder, int(version)


def registry_version(version: int) -> str:
    """Write a version number as the registry's sort key, so that versions sort by number."""
    return f"{version:08d}"


def registry_progress(version: int) -> str:
    """Write the registry's sort key of what was counted of a version's build."""
    return f"progress#{registry_version(version)}"


def definition_key(builder: str, version: str, sha256: str) -> str:
    """Name the frozen definition of a version, or of the `draft`, in the archive bucket."""
    return f"{PREFIX_DEFINITIONS}{builder}/{version}/{sha256}.json"
