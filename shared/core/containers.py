"""What a record holds: its events, taken out of whatever form they were sent in.

    record  = packed | aggregate            aggregate = packed user records (Kinesis Producer Library)
    packed  = text | gzip(text) | zstd(text)
    text    = one JSON object | JSON array of objects | JSON lines, blank ones allowed

Everything is bounded, so that no record can fill the memory of the process that opens it.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

import msgspec

from shared.core import kpl
from shared.core.unpacking import PackedError, unpack_any_zstd, unpack_gzip

EVENTS_MAX: Final = 10_000
"""Events of one record."""
EVENT_BYTES_MAX: Final = 2**20
"""JSON text of one event."""
LINE_BYTES_MAX: Final = EVENT_BYTES_MAX + 2
"""A line of which more is read is no event, whatever follows."""
TEXT_BYTES_MAX: Final = 2**25
"""JSON text of one record, unpacked."""
DEPTH_MAX: Final = 64
"""Objects and arrays around a value, the event itself included."""
EXTREME_EXPONENT: Final = 10**17
"""What stands for an exponent that no Decimal holds: as far beyond every number that can be used."""
MARKS_MAX: Final = 2_000_000
"""Commas, line ends and opening brackets in the text of one record: they bound its decoded size."""

Reason = Literal[
    "empty",
    "not_json",
    "not_an_object",
    "number_out_of_range",
    "too_deep",
    "too_large",
    "too_many_events",
    "truncated",
    "corrupt",
    "not_processed",
    "profile_damaged",
    "transform_error",
    "transform_result",
    "transform_no_retry",
    "transform_retry",
    "transform_load",
    "transform_timeout",
    "transform_crash",
]
"""Why bytes are not folded. `truncated` and `corrupt` speak of compressed data and aggregates;
`not_processed` is an event that can be read but failed further on, `profile_damaged` one whose profile cannot
be read as it is stored, `transform_...` one whose transformation failed: an error was raised, or what was
returned is no event; `NoRetryError` or `RetryError` was raised; the file cannot be run at all; a function
took too long, or the process with it."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def _extreme_number(text: str) -> Decimal:
    """Read any JSON number, though not its exponent where no Decimal holds it."""
    try:
        return Decimal(text)
    except InvalidOperation:
        digits, _, exponent = text.upper().partition("E")
        return Decimal(f"{digits}E{'-' if exponent.startswith('-') else ''}{EXTREME_EXPONENT}")


decode_any: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_decode_extreme: Final = msgspec.json.Decoder(float_hook=_extreme_number).decode
_decode_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half a surrogate pair as JSON writes it; two of them may be a whole one."""
_JSON_TEXT: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*+:)?', re.DOTALL)
"""A text, and the colon after it if it is a name."""
# Up to the next mark that gives a text its structure, over whole strings and whatever else there is.
# A quote that is found as a mark opens a string that never ends.
_NEXT_MARK: Final = re.compile(
    rb'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{},"])',
    re.DOTALL,
)
_MARKS: Final = (b",", b"\n", b"[", b"{")
_TEXT_TOO_LARGE: Final = f"a record has at most {TEXT_BYTES_MAX} bytes of text"
_JSON_TYPES: Final = {list: "array", str: "string", bool: "boolean", int: "number", Decimal: "number"}


def decode_value(text: bytes) -> Any:
    """Decode the JSON text of anything that was read before: numbers are int or Decimal, however extreme."""
    try:
        return decode_any(text)
    except InvalidOperation:
        return _decode_extreme(text)


class UnreadableError(Exception):
    """Bytes that are no event. `detail` holds nothing of what they say."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail


Element = tuple[bytes, dict[str, Any] | UnreadableError]
"""The bytes of one event (of what stands in its place, if it is unreadable) and what they mean."""


def decode_object(text: bytes) -> dict[str, Any]:
    """Decode the JSON object of one event; raises UnreadableError.

    Numbers are int or Decimal; one whose exponent no Decimal holds keeps its digits and gets an exponent
    that is still beyond all use. Of duplicate keys the last wins. A text with half a surrogate pair is none:
    it is read as an empty object, which nothing can use, and such a name as an empty one.
    """
    if len(text) > EVENT_BYTES_MAX:
        raise UnreadableError("too_large", f"an event has at most {EVENT_BYTES_MAX} bytes")
    try:
        body = decode_value(text)
    except RecursionError:
        raise UnreadableError("too_deep", f"an event nests at most {DEPTH_MAX} deep") from None
    except msgspec.ValidationError:
        raise UnreadableError("number_out_of_range", "a number is too large to be read") from None
    except UnicodeDecodeError:
        raise UnreadableError("not_json", "the text is not UTF-8") from None
    except msgspec.DecodeError as error:
        is_halved = _HALF_PAIR.search(text) and text.lstrip().startswith(b"{")
        usable = _JSON_TEXT.sub(_usable, text) if is_halved else text
        if usable == text:
            raise UnreadableError("not_json", str(error)) from None
        return decode_object(usable)
    if type(body) is not dict:
        raise UnreadableError("not_an_object", f"an event is an object, not {_json_type(body)}")
    # Counting is cheap and says of nearly all events that they cannot be that deep.
    if text.count(b"{") + text.count(b"[") > DEPTH_MAX and _is_too_deep(body):
        raise UnreadableError("too_deep", f"an event nests at most {DEPTH_MAX} deep")
    return body


def _usable(found: re.Match[bytes]) -> bytes:
    """Return a text of JSON as it is, or what stands for it if all that is wrong is half a surrogate pair."""
    text, colon = found.groups(b"")
    if not _HALF_PAIR.search(text):
        return found[0]
    try:
        json.loads(text.decode()).encode()
    except UnicodeEncodeError:
        return b'""' + colon if colon else b"{}"
    except ValueError:
        pass  # whatever else is wrong with it
    return found[0]


def open_record(record: bytes) -> list[Element]:
    """Take the events out of a record, in their order; raises UnreadableError to reject all of it."""
    if not record.startswith(kpl.MAGIC):
        only = _unpack(record)
        _check_size([only])
        return _open_text(only)
    try:
        parts = [(part, _unpacked(part)) for part in kpl.user_records(record)]
    except ValueError as error:
        raise UnreadableError("corrupt", str(error)) from None
    _check_size([text for _, text in parts if isinstance(text, bytes)])
    elements: list[Element] = []
    for part, text in parts:
        elements += _open_part(part, text)
        _check_count(len(elements))
    return elements


def open_event(part: bytes) -> Element:
    """Read what stands for one event of a record, apart from the others, just as it was read among them.

    Alone, an array in the place of an event would look like a record of several.
    """
    text = _unpacked(part)
    if isinstance(text, UnreadableError):
        return part, text
    text = text.strip()
    return part, _read(text) if text else UnreadableError("empty", "there is nothing in it")


def _open_part(part: bytes, text: bytes | UnreadableError) -> list[Element]:
    """Open one user record of an aggregate; an unreadable one stands for one event."""
    if isinstance(text, UnreadableError):
        return [(part, text)]
    try:
        return _open_text(text)
    except UnreadableError as error:
        if error.reason == "too_many_events":
            raise
        return [(part, error)]


def _unpacked(part: bytes) -> bytes | UnreadableError:
    try:
        return _unpack(part)
    except UnreadableError as error:
        return error


def _unpack(packed: bytes) -> bytes:
    """Return the text of what may be compressed; raises UnreadableError."""
    try:
        if packed.startswith(_GZIP):
            return unpack_gzip(packed, TEXT_BYTES_MAX)
        if packed.startswith(_ZSTD):
            return unpack_any_zstd(packed, TEXT_BYTES_MAX)
    except PackedError as error:
        detail = _TEXT_TOO_LARGE if error.cause == "too_large" else str(error)
        raise UnreadableError(error.cause, detail) from None
    return packed


def _open_text(text: bytes) -> list[Element]:
    text = text.strip()
    if not text:
        raise UnreadableError("empty", "there is nothing in it")
    pieces = _array_pieces(text) if text.startswith(b"[") else None
    if pieces is not None:
        return _read_all(pieces)
    whole = _read(text)
    if not isinstance(whole, UnreadableError):
        return [(text, whole)]
    # Lines, or an array with a bad element. Only an object among the pieces proves it.
    pieces = _split_array(text) if text.startswith(b"[") else None
    elements = _read_all(text.split(b"\n") if pieces is None else pieces)
    if any(type(body) is dict for _, body in elements):
        return elements
    raise whole


def _array_pieces(text: bytes) -> list[bytes] | None:
    """Cut an array into its elements; None if it does not parse as one."""
    try:
        return [bytes(raw) for raw in _decode_array(text)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _split_array(text: bytes) -> list[bytes] | None:
    """Cut an array that does not parse at its own commas, so that a bad element harms no other.

    None if brackets and quotes do not match up, so that it cannot be told where an element ends.
    """
    pieces: list[bytes] = []
    depth = start = end = 0
    while found := _NEXT_MARK.match(text, end):
        mark, at, end = found[1], found.start(1), found.end()
        if mark == b'"':
            return None
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        # The bracket that opens the array, a comma between its elements, the bracket that closes it.
        if at == 0:
            start = end
        elif depth == 0 or (depth == 1 and mark == b","):
            pieces.append(text[start:at])
            start = end
            _check_count(len(pieces))
        if depth == 0:
            return pieces if end == len(text) else None
    return None


def _read_all(pieces: list[bytes]) -> list[Element]:
    texts = [text for piece in pieces if (text := piece.strip())]
    _check_count(len(texts))
    return [(text, _read(text)) for text in texts]


def _read(piece: bytes) -> dict[str, Any] | UnreadableError:
    try:
        return decode_object(piece)
    except UnreadableError as error:
        return error


def _is_too_deep(body: dict[str, Any]) -> bool:
    """Tell by going down one level at a time: recursion is what the limit protects from."""
    level: list[Any] = [body]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _check_count(events: int) -> None:
    if events > EVENTS_MAX:
        raise UnreadableError("too_many_events", f"a record has at most {EVENTS_MAX} events")


def _check_size(texts: list[bytes]) -> None:
    """Bound the memory that all texts of a record take, as they are and decoded."""
    size = sum(map(len, texts))
    if size > TEXT_BYTES_MAX:
        raise UnreadableError("too_large", _TEXT_TOO_LARGE)
    if size > MARKS_MAX and sum(text.count(mark) for text in texts for mark in _MARKS) > MARKS_MAX:
        raise UnreadableError("too_large", f"a record has at most {MARKS_MAX} commas, brackets and lines")


def _json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")
