"""The identifiers of an event: found on the paths of each type, normalised, and blocked where unsound.

A value that cannot identify anybody is set aside with a reason and the event goes on without it. The one
thing that must never happen here is that two people share an identifier that belongs to neither.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, Literal, NamedTuple

from shared.core.definition import Block, Definition, IdentifierType, Normalizer, Path
from shared.core.identity.patterns import matcher

IDENTIFIER_BYTES_MAX: Final = 1024
"""UTF-8 bytes of a normalised value; longer ones are set aside."""

_INTEGER_BITS_MAX: Final = 8 * IDENTIFIER_BYTES_MAX
"""Past this an integer has more digits than an identifier has bytes; text is not even made of it."""

_DECISIONS_MAX: Final = 2**16
"""Decisions remembered per type: the people of a few batches come back, event after event."""

DEFAULT_BLOCK: Final = Block(
    exact=(
        "",
        "-1",
        "(none)",
        "(not set)",
        "[object object]",
        "anonymous",
        "false",
        "guest",
        "n/a",
        "nan",
        "nil",
        "none",
        "not set",
        "null",
        "true",
        "undefined",
        "unknown",
    ),
    regex=(
        r"[0-]*",  # 0, 000, -, and the nil UUID
        r"f{8}-f{4}-f{4}-f{4}-f{12}",  # the greatest UUID, as meaningless as the nil one
        r"\{\{.*\}\}|\$\{.*\}",  # a template that nobody filled in
    ),
)
"""What a tracker sends when it knows nobody, blocked unless a builder says `defaults: false`."""

Reason = Literal["wrong_type", "too_long", "not_unicode", "blocked", "not_an_email", "not_a_phone"]


class Identifier(NamedTuple):
    """One name of a person: its type, and its value in normal form."""

    type: str
    value: str


class SetAside(NamedTuple):
    """A value that identifies nobody. It holds no value: it is made for counters and logs."""

    type: str
    path: str
    """The dotted path it was found at."""
    reason: Reason


Reader = Callable[[dict[str, Any]], tuple[tuple[Identifier, ...], tuple[SetAside, ...]]]
"""From an event's body: its identifiers, each once, highest priority first, and what is set aside.

Within a type the identifiers stand in the order of its paths. Absent and null are simply not there.
"""

_Decision = Identifier | Reason


Values = tuple[Any, ...]
"""What an event holds at each path of each identifier type, in order of declaration; None where nothing."""


def identifier_paths(definition: Definition) -> tuple[Path, ...]:
    """Return the paths of `Values`."""
    return tuple(path for kind in definition.identifiers for path in kind.paths)


def identifier_decider(
    definition: Definition,
) -> Callable[[Values], tuple[tuple[Identifier, ...], tuple[SetAside, ...]]]:
    """Compile what a definition makes of the values at its paths; the decider remembers its decisions."""
    sources = tuple(
        (remembered, decide, kind.name, ".".join(path))
        for kind, (remembered, decide) in (
            (one, _deciders(one, definition)) for one in definition.identifiers
        )
        for path in kind.paths
    )

    def decide_all(values: Values) -> tuple[tuple[Identifier, ...], tuple[SetAside, ...]]:
        found: list[Identifier] = []
        set_aside: list[SetAside] = []
        for value, (remembered, decide, name, path) in zip(values, sources, strict=True):
            if value is None:
                continue
            # Nearly all values are short text, and this runs for every path of every event: no call between.
            if value.__class__ is str and len(value) <= IDENTIFIER_BYTES_MAX:
                decision = remembered.get(value) or decide(value)
            else:
                decision = decide(value)
            if isinstance(decision, str):
                set_aside.append(SetAside(name, path, decision))
            elif decision not in found:
                found.append(decision)
        return tuple(found), tuple(set_aside)

    return decide_all


def identifier_reader(definition: Definition) -> Reader:
    """Compile how a definition reads identifiers; do it once, for the reader remembers its decisions."""
    paths = identifier_paths(definition)
    decide = identifier_decider(definition)

    def read(body: dict[str, Any]) -> tuple[tuple[Identifier, ...], tuple[SetAside, ...]]:
        return decide(tuple(value_at(body, path) for path in paths))

    return read


def value_at(body: dict[str, Any], path: Path) -> Any:
    """Return what stands at a path, None where nothing does."""
    value: Any = body
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _deciders(
    kind: IdentifierType, definition: Definition
) -> tuple[dict[str, _Decision], Callable[[Any], _Decision]]:
    """Compile what becomes of a raw value of one type: of short text, as remembered; of anything.

    All is forgotten at once: `lru_cache` keeps what it knows in order, which takes longer than it saves.
    """
    decide_text = _text_decider(kind, definition)
    remembered: dict[str, _Decision] = {}

    def decide(raw: Any) -> _Decision:
        if isinstance(raw, str):
            decision = decide_text(raw)
            if len(raw) <= IDENTIFIER_BYTES_MAX:
                if len(remembered) >= _DECISIONS_MAX:
                    remembered.clear()
                remembered[raw] = decision
            return decision
        if isinstance(raw, bool) or not isinstance(raw, int):
            return "wrong_type"
        return decide(str(raw)) if raw.bit_length() <= _INTEGER_BITS_MAX else "too_long"

    return remembered, decide


def _text_decider(kind: IdentifierType, definition: Definition) -> Callable[[str], _Decision]:
    name = kind.name
    normalize = NORMALIZERS[kind.normalize]
    failure = _FAILURES[kind.normalize]
    blocks = _blocker(definition.block, kind.block)

    def decide_text(raw: str) -> _Decision:
        text = raw.strip()
        if len(text) > IDENTIFIER_BYTES_MAX:
            return "too_long"
        if _bytes_of(text) is None:
            return "not_unicode"
        if blocks(text):
            return "blocked"
        value = normalize(text)
        if value is None:
            return failure
        if (_bytes_of(value) or 0) > IDENTIFIER_BYTES_MAX:
            return "too_long"
        return "blocked" if value != text and blocks(value) else Identifier(name, value)

    return decide_text


def _bytes_of(text: str) -> int | None:
    """Return the length of the text in UTF-8, or None for text that is no Unicode (a lone surrogate)."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def _blocker(*blocks: Block) -> Callable[[str], bool]:
    """Compile block lists into the question whether a trimmed value is blocked."""
    exact = frozenset(value.strip().casefold() for block in blocks for value in block.exact)
    # Most builders have one list of patterns, and a set of them is matched as fast as one.
    matches = matcher([one for block in blocks for one in block.regex])
    return lambda text: text.casefold() in exact or matches(text)


def _email(text: str) -> str | None:
    """Return the address in lower case, or None for what is no address by its syntax."""
    validate, error = _email_validator()
    address = text.lower()
    try:
        validate(address)
    except error:
        return None
    return address


@cache
def _email_validator() -> tuple[Callable[[str], object], type[Exception]]:
    """Import the validator when the first address is seen: it costs a cold start 40 ms."""
    import email_validator  # noqa: PLC0415  # see above

    # The library refuses names reserved for tests and private networks (`example.test`, `mail.local`)
    # and documents this list as the switch. Syntax is all that counts here: the mail is not ours to send.
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

    def validate(address: str) -> object:
        return email_validator.validate_email(address, check_deliverability=False, globally_deliverable=False)

    return validate, email_validator.EmailNotValidError


def _phone(text: str) -> str | None:
    """Return the number in E.164, or None for what is no valid number in international form.

    A number with an extension is refused: without it, E.164 would make one person of a whole company.
    """
    import phonenumbers  # noqa: PLC0415  # most builders have no phone; the first number pays

    international = f"+{text[2:]}" if text.startswith("00") else text
    try:
        number = phonenumbers.parse(international, None)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


NORMALIZERS: Final[dict[Normalizer, Callable[[str], str | None]]] = {
    "none": str,
    "lower": str.lower,
    "email": _email,
    "phone": _phone,
}
"""Each takes trimmed text and returns its normal form, or None where it has none."""

_FAILURES: Final[dict[Normalizer, Reason]] = {
    "none": "wrong_type",
    "lower": "wrong_type",
    "email": "not_an_email",
    "phone": "not_a_phone",
}
"""Why a normaliser found no normal form; `none` and `lower` always find one."""
