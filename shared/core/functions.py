"""Profile functions: what one gets of a profile, and what it may return.

    {traits?, profile_id?, destination_id?, table_name?}, or nothing

The traits are laid over those of `identify` events for as long as the function returns them; `profile_id` is
kept as the published id, which with `destination_id` and `table_name` names the row that destinations write.
"""

from collections import Counter
from typing import Any, Final, Literal

import msgspec

from shared.core.canonical import canonical_json
from shared.core.event import ID_LENGTH_MAX
from shared.core.traits import flatten

RESULT_BYTES_MAX: Final = 64 * 1024
"""Canonical JSON of all that a function returns."""

FunctionReason = Literal[
    "function_error",
    "function_result",
    "function_load",
    "function_timeout",
    "function_crash",
    "function_history",
]
"""Why a profile function has no result: it raised an error; what it returned cannot be kept; the file cannot
be run at all; it took too long; the process went with it; or the history is too large to be handed over, or
damaged."""

_KEYS: Final = {
    "traits": "traits",
    "profile_id": "published_id",
    "profileId": "published_id",
    "destination_id": "destination_id",
    "destinationId": "destination_id",
    "table_name": "table_name",
    "tableName": "table_name",
}
"""What a result may hold, and what that is called here."""


class User(msgspec.Struct, frozen=True):
    """Whose events they are. `traits` are those of `identify` events; `identifiers` are sorted lists by type.

    Nothing that a function returned is in here: else its next result would depend on how often it ran.
    """

    profile_id: str
    user_id: str | None
    anonymous_id: str | None
    traits: dict[str, Any]
    identifiers: dict[str, list[str]]


class FunctionResult(msgspec.Struct, frozen=True):
    """What a function returned, as it is kept. A trait that is None hides the one of `identify` events.

    `left_out` counts traits that could not be kept, by reason.
    """

    traits: dict[str, Any] = {}
    published_id: str | None = None
    destination_id: str | None = None
    table_name: str | None = None
    left_out: dict[str, int] = {}


class FunctionFailure(msgspec.Struct, frozen=True):
    """Why there is no result. `detail` holds nothing of what the events say."""

    reason: FunctionReason
    detail: str


FunctionOutcome = FunctionResult | FunctionFailure | None
"""What becomes of one run; None: the function returned nothing, so that nothing is laid over the profile."""


class _UnfitError(Exception):
    """What was returned cannot be kept; the argument says why, and nothing of what it holds."""


def result_of(value: Any) -> FunctionOutcome:
    """Take what a function returned, as JSON that was decoded by `containers.decode_any`."""
    if value is None:
        return None
    try:
        traits, ids = _parts(value)
        left_out: Counter[str] = Counter()
        flat, _ = flatten(traits, left_out)
        _check_size(flat, ids)
    except _UnfitError as error:
        return FunctionFailure("function_result", f"the result cannot be kept: {error}")
    except UnicodeEncodeError:
        return FunctionFailure(
            "function_result", "the result cannot be kept: half a surrogate pair is no text"
        )
    reasons = {name.removeprefix("left_out.traits."): times for name, times in left_out.items()}
    return FunctionResult(flat, **ids, left_out=reasons)


def _parts(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the traits, and what names the row. Raises `_UnfitError`."""
    if not isinstance(value, dict):
        raise _UnfitError(f"a dict or None was expected, not a value of type {type(value).__name__}")
    unknown = len(value.keys() - _KEYS.keys())
    if unknown:
        raise _UnfitError(f"{unknown} of its keys are unknown; allowed: {', '.join(_KEYS)}")
    found: dict[str, Any] = {}
    for key, one in value.items():
        if one is not None and found.setdefault(_KEYS[key], one) is not one:
            raise _UnfitError(f"`{key}` is given twice")
    traits = found.pop("traits", {})
    if not isinstance(traits, dict):
        raise _UnfitError("`traits` must be a dict")
    ids: dict[str, str] = {}
    for name, one in found.items():
        text = str(one) if type(one) is int else one
        if type(text) is not str or not text.strip() or len(text) > ID_LENGTH_MAX:
            expected = f"text of 1 to {ID_LENGTH_MAX} characters, or a whole number"
            raise _UnfitError(f"`{'profile_id' if name == 'published_id' else name}` must be {expected}")
        ids[name] = text
    return traits, ids


def _check_size(traits: dict[str, Any], ids: dict[str, str]) -> None:
    size = len(canonical_json({**traits, **ids}))
    if size > RESULT_BYTES_MAX:
        raise _UnfitError(f"it takes {size} bytes of JSON, and at most {RESULT_BYTES_MAX} are kept")
