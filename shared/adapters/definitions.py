"""Frozen definitions as ingestion reads them: one GetItem and one GetObject per version and process.

Only botocore clients and msgspec: PynamoDB would double the cold start.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from shared import contract
from shared.adapters.lru import Lru
from shared.app.frozen import DamagedDefinitionError, Frozen, thaw
from shared.app.registry import Status

KEPT_MAX: Final = 8
"""Versions that a process keeps what it loaded of. Those that have ended go as others come."""


class UnknownVersionError(Exception):
    """The registry has no such version."""


class Loaded(NamedTuple):
    """A version's frozen definition; it counts records that arrived at `t0` (ms UTC) or later."""

    frozen: Frozen
    sha256: str
    t0: int


class Definitions:
    """Loads definitions by builder and version, and keeps a few: a version never changes."""

    def __init__(self, dynamodb: Any, s3: Any, registry_table: str, archive_bucket: str) -> None:
        self._dynamodb = dynamodb
        self._s3 = s3
        self._table = registry_table
        self._bucket = archive_bucket
        self._loaded: Lru[tuple[str, int], Loaded] = Lru(KEPT_MAX)

    def load(self, builder: str, version: int) -> Loaded:
        """Return one version.

        UnknownVersionError if the registry has none; DamagedDefinitionError if its row or object was changed.
        """
        known = self._loaded.get((builder, version))
        if known is None:
            known = self._read(builder, version)
            self._loaded.put((builder, version), known)
        return known

    def status(self, builder: str, version: int) -> str | None:
        """Return how a version is now, None if the registry has none; DamagedDefinitionError as `load`."""
        row = self._row(builder, version)
        with _damages(builder, version):
            return None if row is None else row["status"]["S"]

    def has_ended(self, builder: str, version: int) -> bool:
        """Say whether a version is retired or has failed, so that it needs no events any more."""
        with suppress(DamagedDefinitionError):
            return self.status(builder, version) in (Status.RETIRED, Status.FAILED)
        return False  # for all that anybody can tell

    def _row(self, builder: str, version: int) -> Any:
        """Return a version's row; None if the registry has none."""
        key = {
            contract.REGISTRY_PK: {"S": builder},
            contract.REGISTRY_SK: {"S": contract.registry_version(version)},
        }
        answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return answer.get("Item")

    def _read(self, builder: str, version: int) -> Loaded:
        row = self._row(builder, version)
        if row is None:
            raise UnknownVersionError(f"the registry has no version {version} of {builder}")
        with _damages(builder, version):
            key, sha256, t0 = row["definition_key"]["S"], row["sha256"]["S"], int(row["t0"]["N"])
        found = self._s3.get_object(Bucket=self._bucket, Key=key)
        return Loaded(thaw(found["Body"].read(), sha256), sha256, t0)


@contextmanager
def _damages(builder: str, version: int) -> Iterator[None]:
    """Tell which row it is that says what none of Kith's does."""
    try:
        yield
    except (KeyError, ValueError) as error:
        what = f"the registry's row of version {version} of {builder}"
        raise DamagedDefinitionError(f"{what} is damaged") from error
