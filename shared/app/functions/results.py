"""From a profile to what its function gets, and from what that returned back to the profile.

Whoever runs functions does it so: ingestion's queue for profiles that changed, a rebuild, `kith fold`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Final

from shared.app.functions.ports import FunctionInput, ProfileFunction, TimeLeft
from shared.core.compile import Builder
from shared.core.definition import timeout_s
from shared.core.functions import FunctionFailure, FunctionResult, User
from shared.core.profile import Computed, Profile, copy, present_identifiers, present_traits
from shared.core.walk import HISTORY_BYTES_MAX, too_large
from shared.core.writes import Plan, Put

USER_ID: Final = ("userId",)
ANONYMOUS_ID: Final = ("anonymousId",)
RUN_TOGETHER: Final = 50
"""Profiles that are handed over at once, at most."""
TOGETHER_S: Final = 20
"""For how long those that are handed over at once take, about, by what the last ones took."""
TOO_LARGE: Final = FunctionFailure("function_history", too_large())
LOAD_S: Final = 10
"""Until the process of a function that was stopped is there again."""


def user_of(builder: Builder, profile: Profile) -> User:
    """Return what a profile function is told of a profile."""
    return User(
        profile_id=profile.id,
        user_id=_id_at(builder, profile, USER_ID),
        anonymous_id=_id_at(builder, profile, ANONYMOUS_ID),
        traits=present_traits(profile),
        identifiers=present_identifiers(profile),
    )


def _id_at(builder: Builder, profile: Profile, path: tuple[str, ...]) -> str | None:
    """Return the identifier of a type with this path that was seen first; of several, the smallest."""
    kinds = {kind.name for kind in builder.definition.identifiers if path in kind.paths}
    found = [(seen, one.value) for one, seen in profile.identifiers.items() if one.type in kinds]
    return min(found)[1] if found else None


def since_of(builder: Builder, profile: Profile) -> int:
    """Return where the window of a profile's function begins, ms UTC: it ends with the last arrival."""
    return profile.updated_at - (builder.window_ms or 0)


def input_of(builder: Builder, profile: Profile, chunks: Sequence[bytes]) -> FunctionInput:
    """Return what the function of a profile gets, with its chunks."""
    return FunctionInput(user_of(builder, profile), chunks, since_of(builder, profile))


def computed_of(profile: Profile, result: FunctionResult | None) -> Computed:
    """Return what a profile keeps of a result that came of its history as it is."""
    if result is None:
        return Computed({}, profile.heads)
    return Computed(
        result.traits, profile.heads, result.published_id, result.destination_id, result.table_name
    )


def plan_of_result(builder: Builder, profile: Profile, result: FunctionResult | None, rev_floor: int) -> Plan:
    """Plan to write a result, if what is stored is still the profile that was read.

    `rev_floor` is at least the time in microseconds, as for any plan.
    """
    changed = copy(builder, profile)
    changed.computed = computed_of(profile, result)
    changed.rev = max(profile.rev + 1, rev_floor)
    return Plan(puts=[Put(changed, profile.rev, beside=profile.parked)])


def time_for_one_s(builder: Builder) -> float:
    """Return the longest that the function takes for one profile, its process being started again."""
    return timeout_s(builder.definition) + LOAD_S


def compute(
    builder: Builder,
    puts: Iterable[Put],
    function: ProfileFunction,
    tally: Counter[str],
    left_s: TimeLeft = lambda: math.inf,
) -> None:
    """Run the function for new profiles, whose whole histories are at hand, and put in what it returns.

    One that fails leaves its profile without a result, and due; so are those for which there is no time any
    more. As many are handed over at once as there is time for, should each take all that it may.

    Counts `functions_run`, `functions_postponed`, and `functions_failed`, by reason as well; and
    `functions_left_out`, traits that cannot be kept.
    """
    due = [put for put in puts if put.profile.is_due]
    at, together = 0, 1
    while at < len(due):
        count = int(min(together, left_s() / time_for_one_s(builder)))
        if count < 1:
            tally["functions_postponed"] += len(due) - at
            return
        some = due[at : at + count]
        at += len(some)
        began_s = monotonic()
        _compute(builder, some, function, tally)
        each_s = max((monotonic() - began_s) / len(some), 0.001)
        together = max(1, min(RUN_TOGETHER, 2 * together, int(TOGETHER_S / each_s)))


def _compute(builder: Builder, puts: Sequence[Put], function: ProfileFunction, tally: Counter[str]) -> None:
    fit = [put for put in puts if sum(len(one.data) for one in put.chunks) <= HISTORY_BYTES_MAX]
    inputs = [input_of(builder, put.profile, [one.data for one in put.chunks]) for put in fit]
    outcomes = dict(zip(map(id, fit), function.run(inputs), strict=True)) if fit else {}
    for put in puts:
        outcome = outcomes.get(id(put), TOO_LARGE)
        tally["functions_run"] += 1
        if isinstance(outcome, FunctionFailure):
            tally["functions_failed"] += 1
            tally[f"functions_failed.{outcome.reason}"] += 1
        else:
            if outcome is not None and outcome.left_out:
                tally["functions_left_out"] += sum(outcome.left_out.values())
            put.profile.computed = computed_of(put.profile, outcome)
