"""The registry on DynamoDB, by PynamoDB: a cold path. Ingestion reads it through `definitions.py` instead."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.connection import Connection, TableConnection
from pynamodb.connection.base import MetaTable
from pynamodb.exceptions import PutError, PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from shared import contract
from shared.app.registry import DamagedRowError, Draft, RegistryConflictError, Status, Version

_CONFLICT_CODES = {"ConditionalCheckFailedException", "TransactionCanceledException"}
_KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": contract.REGISTRY_PK, "KeyType": "HASH"},
        {"AttributeName": contract.REGISTRY_SK, "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in (contract.REGISTRY_PK, contract.REGISTRY_SK)
    ],
}


class RegistryRow(Model):
    """A row of the registry table: a version, a draft, or the pointer to the active version.

    A row of progress is none: its attributes are what was counted, whatever their names.
    """

    builder = UnicodeAttribute(hash_key=True, attr_name=contract.REGISTRY_PK)
    version = UnicodeAttribute(range_key=True, attr_name=contract.REGISTRY_SK)
    status = UnicodeAttribute(null=True)
    definition_key = UnicodeAttribute(null=True)
    sha256 = UnicodeAttribute(null=True)
    t0 = NumberAttribute(null=True)
    created_at = NumberAttribute(null=True)
    created_by = UnicodeAttribute(null=True)
    finished_at = NumberAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    cleaned_at = NumberAttribute(null=True)
    release = UnicodeAttribute(null=True)
    has_items = BooleanAttribute(null=True)
    rev = NumberAttribute(null=True)
    active_version = NumberAttribute(null=True)


class DynamoRegistry:
    """The `Registry` port on the registry table."""

    def __init__(self, table: str, region: str | None = None) -> None:
        class Row(RegistryRow):
            class Meta:
                table_name = table

        if region:
            Row.Meta.region = region  # type: ignore[attr-defined]
        self._row = Row
        self._connection = Connection(region=region)
        self._table = TableConnection(
            table, region=region, meta_table=MetaTable(_KEYS | {"TableName": table})
        )

    def builders(self) -> list[str]:
        """Return the names of all builders that have a version or a draft."""
        rows = self._row.scan(consistent_read=True, attributes_to_get=[contract.REGISTRY_PK])
        return sorted({row.builder for row in rows})

    def active(self) -> dict[str, int]:
        """Return the active version of every builder that has one."""
        with damages("one of the pointers to active versions"):
            rows = self._row.scan(self._row.active_version.exists(), consistent_read=True)
            return {row.builder: int(row.active_version) for row in rows}

    def version(self, builder: str, version: int) -> Version | None:
        """Return one version."""
        with damages(f"the row of version {version} of {builder}"):
            row = self._get(builder, contract.registry_version(version))
            return None if row is None else version_of(row)

    def versions(self, builder: str) -> list[Version]:
        """Return all versions of a builder, the oldest first."""
        with damages(f"the row of a version of {builder}"):
            rows = self._row.query(builder, consistent_read=True)
            return [version_of(row) for row in rows if row.version.isdecimal()]

    def draft(self, builder: str) -> Draft | None:
        """Return the builder's draft."""
        with damages(f"the draft of {builder}"):
            row = self._get(builder, contract.REGISTRY_DRAFT)
            if row is None:
                return None
            return Draft(
                builder=builder,
                definition_key=_given(row.definition_key),
                sha256=_given(row.sha256),
                created_at=int(row.created_at),
                created_by=_given(row.created_by),
            )

    def add(self, version: Version) -> None:
        """Add a version; RegistryConflictError if it exists."""
        with _conflicts(f"version {version.version} of {version.builder} exists already"):
            self._of(version).save(self._row.version.does_not_exist())

    def replace(self, old: Version, new: Version) -> Version:
        """Put `new` in the place of `old` and return it; RegistryConflictError if `old` is stale."""
        written = replace(new, rev=old.rev + 1)
        with _conflicts(f"version {old.version} of {old.builder} was changed meanwhile"):
            self._of(written).save(self._row.rev == old.rev)
        return written

    def activate(self, version: Version, was: int | None) -> Version:
        """Make a version active in one step: its status and the pointer, which must still say `was`."""
        written = replace(version, status=Status.ACTIVE, rev=version.rev + 1)
        pointer = self._row(version.builder, contract.REGISTRY_ACTIVE, active_version=version.version)
        pointed = self._row.active_version
        unmoved = pointed.does_not_exist() if was is None else pointed == was
        with (
            _conflicts(f"the active version of {version.builder} was changed meanwhile"),
            TransactWrite(connection=self._connection) as transaction,
        ):
            transaction.save(self._of(written), condition=self._row.rev == version.rev)
            transaction.save(pointer, condition=unmoved)
        return written

    def put_draft(self, draft: Draft, was: Draft | None) -> None:
        """Keep a draft in the place of `was`; RegistryConflictError if its builder has another one by now."""
        unchanged = self._row.sha256.does_not_exist() if was is None else self._is(was)
        with _conflicts(f"{draft.builder} has another draft"):
            self._row(version=contract.REGISTRY_DRAFT, **asdict(draft)).save(unchanged | self._is(draft))

    def drop_draft(self, draft: Draft) -> None:
        """Remove a draft, unless a newer one has taken its place."""
        row = self._row(draft.builder, contract.REGISTRY_DRAFT)
        try:
            row.delete(self._is(draft))
        except PynamoDBException as error:
            if error.cause_response_code not in _CONFLICT_CODES:
                raise

    def _is(self, draft: Draft) -> Condition:
        same: Condition = (self._row.sha256 == draft.sha256) & (self._row.created_at == draft.created_at)
        return same

    def _get(self, builder: str, version: str) -> RegistryRow | None:
        try:
            return self._row.get(builder, version, consistent_read=True)
        except self._row.DoesNotExist:
            return None

    def _of(self, version: Version) -> RegistryRow:
        fields: dict[str, Any] = asdict(version)
        fields["version"] = contract.registry_version(version.version)
        return self._row(**fields)


class DynamoProgress:
    """The `Progress` port on the registry table: one row a version, apart from the version's own.

    Workers add to it without a condition; in the version's row they would make those of others fail.
    """

    def __init__(self, table: str, region: str | None = None) -> None:
        described = MetaTable(_KEYS | {"TableName": table})
        self._table = TableConnection(table, region=region, meta_table=described)

    def add_progress(self, builder: str, version: int, counted: Mapping[str, int]) -> None:
        """Add to a build's counters, in one step."""
        actions = [Path([name]).add(count) for name, count in counted.items()]
        if actions:
            self._table.update_item(builder, contract.registry_progress(version), actions=actions)

    def progress(self, builder: str, version: int) -> dict[str, int]:
        """Return a build's counters by name."""
        key = contract.registry_progress(version)
        with damages(f"what the build of version {version} of {builder} has counted"):
            return progress_of(self._table.get_item(builder, key, consistent_read=True).get("Item", {}))


def progress_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Return the counters of a row by name. Raises what `damages` takes if it is none of Kith's."""
    return {name: int(value["N"]) for name, value in row.items() if "N" in value}


def version_of(row: RegistryRow) -> Version:
    """Return the version that a row is of. Raises what `damages` takes if it is none of Kith's."""
    return Version(
        builder=row.builder,
        version=int(row.version),
        status=Status(row.status),
        definition_key=_given(row.definition_key),
        sha256=_given(row.sha256),
        t0=int(row.t0),
        created_at=int(row.created_at),
        created_by=_given(row.created_by),
        finished_at=int(row.finished_at or 0),
        reason=row.reason or "",
        cleaned_at=int(row.cleaned_at or 0),
        release=row.release or "",
        has_items=row.has_items is not False,
        rev=int(row.rev),
    )


def _given(text: str | None) -> str:
    if text is None:
        raise ValueError("it is not there")
    return text


@contextmanager
def damages(what: str) -> Iterator[None]:
    """Turn what reading a row raises that Kith has not written into the port's error."""
    try:
        yield
    except (TypeError, ValueError) as error:  # PynamoDB's own among them
        raise DamagedRowError(f"the registry is damaged: {what} cannot be read") from error


@contextmanager
def _conflicts(message: str) -> Iterator[None]:
    """Turn a failed condition into the port's error."""
    try:
        yield
    except (PutError, TransactWriteError) as error:
        if error.cause_response_code in _CONFLICT_CODES:
            raise RegistryConflictError(message) from error
        raise
