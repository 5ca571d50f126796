"""The items as PynamoDB models: what they hold, at a glance, for cold paths and tools that read them.

The hot path marshals its own items (`items.py`). Whoever writes through these models breaks profiles.
"""

from typing import ClassVar

from pynamodb.attributes import (
    BinaryAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.models import Model

from shared.contract import (
    IDENTIFIERS_PK,
    PROFILES_PK,
    PROFILES_SK,
    SK_BODY_PREFIX,
    SK_HISTORY_PREFIX,
    SK_PROFILE,
    TTL_ATTRIBUTE,
)


class ProfileItem(Model):
    """A profile, or (told by `kind`) the tombstone or the redirect of one that is gone."""

    pk = UnicodeAttribute(hash_key=True, attr_name=PROFILES_PK)
    sk = UnicodeAttribute(range_key=True, attr_name=PROFILES_SK, default=SK_PROFILE)
    kind = UnicodeAttribute(null=True)
    redirect = UnicodeAttribute(null=True)
    founder = UnicodeAttribute(null=True)
    identifiers: MapAttribute[str, list[str]] = MapAttribute(null=True)  # type: ignore[no-untyped-call]
    attributes: MapAttribute[str, object] = MapAttribute(null=True, attr_name="attributes")  # type: ignore[no-untyped-call]
    traits: MapAttribute[str, object] = MapAttribute(null=True)  # type: ignore[no-untyped-call]
    created_at = UnicodeAttribute(null=True)
    updated_at = UnicodeAttribute(null=True)
    event_count = NumberAttribute(null=True)
    rev = NumberAttribute()
    state = BinaryAttribute(null=True, legacy_encoding=False)
    parked = UnicodeSetAttribute(null=True)
    quiet = UnicodeAttribute(null=True)
    closed = UnicodeAttribute(null=True)
    computed: MapAttribute[str, object] = MapAttribute(null=True)  # type: ignore[no-untyped-call]
    due = NumberAttribute(null=True)
    chunks: ListAttribute[str] = ListAttribute(null=True)
    expires_at = NumberAttribute(null=True, attr_name=TTL_ATTRIBUTE)


class SegmentItem(Model):
    """Parts of long lists and of a memory; or a chunk of a large profile.

    One of an earlier release holds a part of one list: its `attribute` and its `entries`.
    """

    pk = UnicodeAttribute(hash_key=True, attr_name=PROFILES_PK)
    sk = UnicodeAttribute(range_key=True, attr_name=PROFILES_SK)
    attributes: MapAttribute[str, object] = MapAttribute(null=True, attr_name="attributes")  # type: ignore[no-untyped-call]
    attribute = UnicodeAttribute(null=True)
    entries: ListAttribute[MapAttribute[str, object]] = ListAttribute(null=True)
    state = BinaryAttribute(legacy_encoding=False)
    expires_at = NumberAttribute(attr_name=TTL_ATTRIBUTE)

    PREFIX: ClassVar[str] = SK_BODY_PREFIX


class HistoryItem(Model):
    """Events that a profile counted, or the rest of a very large one."""

    pk = UnicodeAttribute(hash_key=True, attr_name=PROFILES_PK)
    sk = UnicodeAttribute(range_key=True, attr_name=PROFILES_SK)
    events = BinaryAttribute(legacy_encoding=False)
    parts = NumberAttribute(null=True)
    expires_at = NumberAttribute(attr_name=TTL_ATTRIBUTE)

    PREFIX: ClassVar[str] = SK_HISTORY_PREFIX


class IdentifierItem(Model):
    """Where an identifier leads."""

    pk = UnicodeAttribute(hash_key=True, attr_name=IDENTIFIERS_PK)
    profile_id = UnicodeAttribute()
    first_seen = UnicodeAttribute()
    expires_at = NumberAttribute(attr_name=TTL_ATTRIBUTE)


def model_of(
    kind: type[Model], table: str, region: str | None = None, host: str | None = None
) -> type[Model]:
    """Return a model bound to a table."""
    meta = type("Meta", (), {"table_name": table, "region": region, "host": host})
    return type(kind.__name__, (kind,), {"Meta": meta})
