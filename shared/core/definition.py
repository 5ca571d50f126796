"""A builder's definition: what `builder.yaml` says, in the form the engine compiles.

These are plain, frozen values. The grammar that a person writes (and its errors) is in `grammar.py`;
a frozen version of a builder is these types as JSON.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

Path = tuple[str, ...]
"""The keys of a dotted path: `context.page.url` is ("context", "page", "url")."""

ValueType = Literal["string", "number", "boolean", "datetime", "ip"]
Normalizer = Literal["none", "lower", "email", "phone"]
Keep = Literal["earliest", "newest"]


class DecimalNumber(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number written with a fraction or an exponent, exactly: in JSON it stays apart from text."""

    decimal: Decimal


Scalar = str | int | DecimalNumber | bool


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identifier values that never identify anybody: whole values, and regular expressions."""

    exact: tuple[str, ...] = ()
    """Compared after trimming, ignoring case."""
    regex: tuple[str, ...] = ()
    """Matched against the whole trimmed value, ignoring case."""


class IdentifierType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of identifier. Types stand in a definition from highest to lowest priority."""

    name: str
    paths: tuple[Path, ...]
    normalize: Normalizer = "none"
    known: bool = False
    limit: int | None = None
    block: Block = Block()
    """What this type blocks beside the builder's own list."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a `when`: the value at `path` equals one of `values`, exactly."""

    path: Path
    values: tuple[Scalar, ...]


class Attribute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute. `type` is None only for a `count`; `paths` may be empty only there."""

    name: str
    aggregation: str
    type: ValueType | None = None
    paths: tuple[Path, ...] = ()
    when: tuple[Condition, ...] = ()
    keep: Keep = "earliest"


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calendar months from a profile's last update to its expiry."""

    known_months: int = 13
    other_months: int = 1


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret by its name in Secrets Manager; with `key`, one value of the JSON object that it holds."""

    secret: str
    key: str | None = None


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole builder, all defaults filled in."""

    name: str
    identifiers: tuple[IdentifierType, ...]
    attributes: tuple[Attribute, ...]
    retention: Retention = Retention()
    block: Block = Block()
    """Default block list and the builder's own, already united."""
    anonymous: tuple[Condition, ...] = ()
    """If there are any and all hold, an event is anonymous; one with `context.anonymous: true` always is."""
    anonymous_profiles: bool = True
    env: tuple[tuple[str, str | Secret], ...] = ()
    fetch: tuple[tuple[str, str], ...] = ()
    """Options of fetching; `allow` once for each host."""
    warehouses: tuple[tuple[str, str | Secret], ...] = ()
    """URLs of databases by the name that user code gives them."""
    profile_function: tuple[tuple[str, str], ...] = ()


WINDOW_DEFAULT: Final = "365 days"
DEBOUNCE_DEFAULT: Final = "30 seconds"
TIMEOUT_DEFAULT: Final = "10 seconds"
_WINDOW: Final = "window"

CUSTOM_ID: Final = IdentifierType("custom_id", paths=(("custom_id",), ("JITSU_PROFILE_ID",)), known=True)
"""The type of the identifier that a transformation gives an event; it has the highest priority."""


def with_custom_id(definition: Definition) -> Definition:
    """Return the definition of a builder that has a transformation: it knows `custom_id`, declared or not."""
    if any(kind.name == CUSTOM_ID.name for kind in definition.identifiers):
        return definition
    return msgspec.structs.replace(definition, identifiers=(CUSTOM_ID, *definition.identifiers))


def with_window(definition: Definition) -> Definition:
    """Return the definition of a builder that has a profile function: the window is said, given or not."""
    options = dict(definition.profile_function)
    if _WINDOW in options:
        return definition
    options[_WINDOW] = WINDOW_DEFAULT
    return msgspec.structs.replace(definition, profile_function=tuple(options.items()))


def window_days(definition: Definition) -> int | None:
    """Return how many days of events the profile function gets; None for a builder that has none."""
    window = dict(definition.profile_function).get(_WINDOW)
    return None if window is None else _number(window)


def debounce_s(definition: Definition) -> int:
    """Return for how many seconds the profile function waits for further changes before it runs."""
    return _number(dict(definition.profile_function).get("debounce", DEBOUNCE_DEFAULT))


def timeout_s(definition: Definition) -> int:
    """Return how many seconds the profile function may take for one profile."""
    return _number(dict(definition.profile_function).get("timeout", TIMEOUT_DEFAULT))


def _number(text: str) -> int:
    return int(text.partition(" ")[0])


def definition_json(definition: Definition) -> bytes:
    """Return a definition as canonical JSON: keys sorted, compact, the same bytes for equal definitions."""
    return msgspec.json.encode(definition, order="sorted")


def definition_of_json(data: bytes) -> Definition:
    """Return the definition that `definition_json` wrote. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(data, type=Definition)
