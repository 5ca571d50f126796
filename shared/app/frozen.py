"""A frozen definition: what a version is, for good, as one object of canonical bytes."""

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from shared.core import user_code
from shared.core.definition import Definition, with_custom_id, with_window

BUILDER_FILE: Final = "builder.yaml"
TRANSFORM_FILE: Final = user_code.TRANSFORM_FILE
PROFILE_FILE: Final = user_code.PROFILE_FILE
FROZEN_FILES: Final = (BUILDER_FILE, TRANSFORM_FILE, PROFILE_FILE)
"""The files of a builder's folder that say what it does; all others (samples) may change freely."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class DefinitionObjects(Protocol):
    """Where frozen definitions are kept."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over an older one of the same key."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its tag; None if there is no such object."""


class DamagedDefinitionError(Exception):
    """The stored bytes are not those that were frozen."""


class Frozen(msgspec.Struct, frozen=True):
    """A definition together with the texts of the files it was read from, by file name."""

    definition: Definition
    files: dict[str, str]


_DECODER: Final = msgspec.json.Decoder(Frozen)


def complete(definition: Definition, files: Mapping[str, str]) -> Definition:
    """Return what a definition is together with the files beside it.

    A transformation brings `custom_id`. What says how a profile function runs tells, from here on, whether
    there is one: without a window no history is kept.
    """
    if TRANSFORM_FILE in files:
        definition = with_custom_id(definition)
    if PROFILE_FILE in files:
        return with_window(definition)
    return replace(definition, profile_function=()) if definition.profile_function else definition


def freeze(definition: Definition, files: Mapping[str, str]) -> tuple[bytes, str]:
    """Return the canonical bytes of a definition and their SHA-256 in hexadecimal."""
    kept = {name: files[name] for name in FROZEN_FILES if name in files}
    data = _ENCODER.encode(Frozen(complete(definition, kept), kept))
    return data, hashlib.sha256(data).hexdigest()


def thaw(data: bytes, sha256: str, key: str = "") -> Frozen:
    """Return the definition that `freeze` wrote; DamagedDefinitionError if the bytes are not the same.

    It names the object, if the bytes are said to be of one.
    """
    named = f"{key}: " if key else ""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DamagedDefinitionError(
            f"{named}the frozen definition has SHA-256 {found}, the registry says {sha256}"
        )
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedDefinitionError(f"{named}this release cannot read the frozen definition") from error
