"""The input of a profile function out of events at hand, as if one profile had counted them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from shared.app.functions.ports import FunctionInput
from shared.core.canonical import canonical_json
from shared.core.functions import User
from shared.core.history import chain, pieces_of
from shared.core.times import parse_time

PROFILE_ID: Final = "00000000000000000000000000000000"


class Sample(NamedTuple):
    """An event, and the id by which it counts once; None: it is like no other."""

    id: str | None
    body: dict[str, Any]


def sample_input(events: Iterable[Sample], user: Mapping[str, Any]) -> FunctionInput:
    """Return the input for events, in order of their `timestamp`, and for whose they are.

    `user` says what is known of it; the ids are else those of the first event that has them.
    """
    given = list(events)
    kept = [
        (
            parse_time(one.body.get("timestamp")) or 0,
            f"{number:012d}" if one.id is None else one.id,
            canonical_json(one.body),
        )
        for number, one in enumerate(given)
    ]
    chunks = [one.data for one in chain(PROFILE_ID, 1, [], pieces_of(kept, 0), 0)]
    known = {
        "profile_id": PROFILE_ID,
        "user_id": _first(given, "userId"),
        "anonymous_id": _first(given, "anonymousId"),
        "traits": {},
        "identifiers": {},
        **user,
    }
    return FunctionInput(User(**known), chunks, 0)


def _first(events: Iterable[Sample], key: str) -> str | None:
    return next((str(one.body[key]) for one in events if one.body.get(key)), None)
