"""Keys of the two tables. `docs/store.md` tells a person how to read them."""

from typing import Final, NamedTuple

from shared.adapters.dynamo.wire import Item, Wire
from shared.contract import (
    IDENTIFIERS_PK,
    PROFILES_PK,
    PROFILES_SK,
    SK_BODY_PREFIX,
    SK_DELTA_PREFIX,
    SK_FAILING,
    SK_HISTORY_PREFIX,
    SK_PROFILE,
)
from shared.core.identity.identifiers import Identifier

SEPARATOR: Final = "#"


class Range(NamedTuple):
    """Items of one partition whose sort keys are from one to another, both included."""

    pk: Wire
    first: Wire
    last: Wire


class Keyspace:
    """The keys of one version of one builder."""

    def __init__(self, builder: str, version: int) -> None:
        self._prefix = f"{builder}{SEPARATOR}{version}{SEPARATOR}"

    def profile(self, profile_id: str) -> Item:
        """Return the key of a profile's item."""
        return self._child(profile_id, SK_PROFILE)

    def body(self, profile_id: str, name: str) -> Item:
        """Return the key of a segment, or of a chunk of an overflowing profile."""
        return self._child(profile_id, SK_BODY_PREFIX + name)

    def history(self, profile_id: str, name: str, part: int) -> Item:
        """Return the key of a chunk of a history, or of a further part of one, from 1."""
        return self._child(profile_id, SK_HISTORY_PREFIX + name + (f"{SEPARATOR}{part}" if part else ""))

    def histories(self, profile_id: str, oldest: str, newest: str) -> Range:
        """Return where the chunks of a history are that are named from `oldest` to `newest`."""
        pk = self._child(profile_id, "")[PROFILES_PK]
        # Parts of the newest follow its name: this is what comes next after a separator.
        after = chr(ord(SEPARATOR) + 1)
        return Range(pk, {"S": SK_HISTORY_PREFIX + oldest}, {"S": SK_HISTORY_PREFIX + newest + after})

    def delta(self, name: str) -> Item:
        """Return the key of a delta, whose name begins with the id of the profile it was parked beside."""
        profile_id, _, rest = name.partition("/")
        return self._child(profile_id, SK_DELTA_PREFIX + rest)

    def failing(self, profile_id: str) -> Item:
        """Return the key of what is kept of the failures of a profile's function."""
        return self._child(profile_id, SK_FAILING)

    def pointer(self, identifier: Identifier) -> Item:
        """Return the key of the pointer of an identifier."""
        return {IDENTIFIERS_PK: {"S": f"{self._prefix}{identifier.type}{SEPARATOR}{identifier.value}"}}

    def profile_id(self, item: Item) -> str:
        """Return the id of the profile that an item belongs to."""
        pk: str = item[PROFILES_PK]["S"]
        return pk.removeprefix(self._prefix)

    def identifier(self, item: Item) -> Identifier:
        """Return the identifier whose pointer an item is."""
        pk: str = item[IDENTIFIERS_PK]["S"]
        kind, _, value = pk.removeprefix(self._prefix).partition(SEPARATOR)
        return Identifier(kind, value)

    def _child(self, profile_id: str, sk: str) -> Item:
        return {PROFILES_PK: {"S": self._prefix + profile_id}, PROFILES_SK: {"S": sk}}


def body_name(item: Item) -> str:
    """Return the name of a body item."""
    sk: str = item[PROFILES_SK]["S"]
    return sk.removeprefix(SK_BODY_PREFIX)


def history_name(item: Item) -> str:
    """Return the name of a chunk, and the number of its part, if it is not the first."""
    sk: str = item[PROFILES_SK]["S"]
    return sk.removeprefix(SK_HISTORY_PREFIX)


def delta_name(keyspace: Keyspace, item: Item) -> str:
    """Return the name of a delta item."""
    sk: str = item[PROFILES_SK]["S"]
    return f"{keyspace.profile_id(item)}/{sk.removeprefix(SK_DELTA_PREFIX)}"
