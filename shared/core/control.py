"""Control records: what the stream carries that is no event, `{"kith_control": {...}}` and nothing else.

A marker tells whoever put it on a shard that a reader has dealt with all that stands before it there. It
names one reader: the archiver, or a version of a builder by the alias through which it consumes.
"""

from typing import Annotated, Final

import msgspec

READER_ARCHIVE: Final = "archive"
"""The archiver, as a reader; a version of a builder is one under its alias (`contract.version_alias`)."""
CONTROL_BYTES_MAX: Final = 4096
"""A larger control record is none that Kith knows."""

MARKERS_MAX: Final = 500
"""Of one set on one shard: as many as are put on it in one request."""

_PREFIX: Final = b'{"kith_control":'
"""What each control record begins with, to the byte: a glance tells an event from it."""


class Marker(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="marker"):
    """A mark on one shard, for one reader; `token` names the set of marks that were put together.

    `number` tells those on one shard apart.
    """

    token: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    reader: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    number: Annotated[int, msgspec.Meta(ge=0, lt=MARKERS_MAX)] = 0


class _Control(msgspec.Struct, forbid_unknown_fields=True):
    """The object around what is told."""

    kith_control: Marker


_DECODE: Final = msgspec.json.Decoder(_Control).decode


def is_control(data: bytes) -> bool:
    """Tell whether a record is a control record, known to this release or not: such are never events."""
    return data.startswith(_PREFIX)


def control_of(data: bytes) -> Marker | None:
    """Return the marker that a record is; None for an event, and for control records that are no marker."""
    if not is_control(data) or len(data) > CONTROL_BYTES_MAX:
        return None
    try:
        return _DECODE(data).kith_control
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def control_record(marker: Marker) -> bytes:
    """Return the record that puts a marker on a shard."""
    return msgspec.json.encode(_Control(marker))
