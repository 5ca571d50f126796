"""A profile function, live, after a merge, after a rebuild, and when it fails: on a builder of its own.

It stands last, as commands without `--builder` need there to be only one.
"""

import json
from collections.abc import Iterator

import pytest

from shared import contract
from tests.e2e.conftest import Live, Person, eventually
from tests.e2e.functions import DEFINITION, FunctionVisitors

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def visitors(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionVisitors]:
    visitors = FunctionVisitors(live, tmp_path_factory.mktemp("builders"))
    visitors.publish_function()
    yield visitors
    visitors.stop()


def test_what_a_function_makes_of_somebodys_events_is_the_same_live_after_a_merge_and_after_a_rebuild(
    visitors: FunctionVisitors, live: Live, person: Person
):
    live.put(person.event("page"), person.event("identify", userId=person.user_id), person.event("page"))
    visitors.expect(person, page=2, identify=1)

    other = Person()
    live.put(other.event("page"), other.event("track"), key=other.cookie)
    eventually(lambda: visitors.computed(other.cookie))
    live.put(person.event("alias", userId=person.user_id, previousId=other.cookie))
    merged = {"page": 3, "identify": 1, "track": 1, "alias": 1}
    visitors.expect(person, **merged)
    visitors.expect(person, other.cookie, **merged)

    first = visitors.active()
    visitors.publish_function(DEFINITION.replace("visits", "events"))
    assert visitors.active() > first
    visitors.expect(person, **merged)
    live.put(person.event("page"))
    visitors.expect(person, **merged | {"page": 4})


def test_a_function_that_keeps_failing_leaves_its_last_result_and_is_listed(
    visitors: FunctionVisitors, live: Live, person: Person
):
    live.put(person.event("track", userId=person.user_id))
    visitors.expect(person, track=1)
    neighbour = Person()
    live.put(
        person.event("track", properties={"fail": True}), neighbour.event("page", userId=neighbour.user_id)
    )
    visitors.expect(neighbour, page=1)

    profile = visitors.profile(person.cookie)
    assert profile is not None
    profile_id = profile[contract.PROFILES_PK]["S"].rpartition("#")[2]

    def listed() -> list[dict[str, str]]:
        lines = visitors.kith("functions", "errors", "--builder", "visitors", "--json").splitlines()
        return [one for one in map(json.loads, lines) if one["profile_id"] == profile_id]

    [error] = eventually(listed)
    assert (error["reason"], error["attempts"]) == ("function_error", 2)
    assert error["detail"].startswith("ValueError at profile.py:")
    visitors.expect(person, track=1)
    assert contract.PROFILES_DUE in (visitors.profile(person.cookie) or {})

    visitors.publish_function(profile="def profile(events, user, context):\n    return {'profile_id': 7}\n")
    eventually(lambda: visitors.computed(person.cookie) == {"traits": {}, "published_id": "7"})
    assert visitors.kith("functions", "errors", "--builder", "visitors", "--json") == ""
