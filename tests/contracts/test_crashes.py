"""A process that dies after any of its calls: the stream brings the batch again, and nothing shows."""

import contextlib
import itertools
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from botocore.exceptions import ReadTimeoutError

from shared.adapters.dynamo.keys import body_name
from shared.adapters.dynamo.parts import body_of
from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import Ingest
from shared.core.compile import Builder
from shared.core.profile import expiry, missing_segments
from tests import oracle
from tests.contracts.worlds import FakeClock, assert_consistent, lines, live
from tests.people import DAY, T0, a_definition, an_event, any_stream, contributions_of, in_batches

BUILDER = Builder(a_definition())


class Crash(BaseException):
    """The process is gone; nothing catches this."""


class MortalClient:
    """A client that dies in its n-th call: before the call has reached the engine, or after."""

    def __init__(self, client, calls, *, after):
        self._client = client
        self._left = calls
        self._after = after

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(**arguments):
            self._left -= 1
            if self._left < 0 or (self._left == 0 and not self._after):
                raise Crash
            answer = method(**arguments)
            if self._left == 0:
                raise Crash
            return answer

        return call


def ingest(store, batch, **options):
    outcome = Ingest(BUILDER, store, FakeClock(), **options).run(batch)
    assert outcome.failed == []
    return outcome


def ingest_through_crashes(world, batch, *, after, **options):
    """Deliver a batch to processes that die in their first call, in their second, and so on to the last."""
    for calls in itertools.count(1):
        client = MortalClient(world.client, calls, after=after)
        try:
            ingest(world.store(BUILDER, client), batch, **options)
        except Crash:
            continue
        return


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_crash_in_any_call_loses_nothing_and_counts_nothing_twice(dynamo, seed, after):
    random = Random(seed)
    dynamo.reset()
    events = contributions_of(BUILDER, any_stream(random, size_max=24, gap_ms=DAY))
    events.sort(key=lambda one: one.order)
    for batch in in_batches(random, events):
        ingest_through_crashes(dynamo, batch, after=after)
    assert lines(dynamo, BUILDER) == oracle.profiles_of(BUILDER, events)
    assert_consistent(dynamo, BUILDER)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("calls", range(1, 5))
def test_a_crash_in_a_creation_leaves_nothing_when_another_person_takes_the_identifier(dynamo, calls, after):
    """The batch that comes again need not be the same one: what links the identifier may be in it, too."""
    dynamo.reset()
    first, link = contributions_of(
        BUILDER,
        [
            an_event(messageId="first", arrival=T0, anonymousId="shared"),
            an_event(messageId="link", arrival=T0 + 1, anonymousId="shared", userId="u"),
        ],
    )
    with contextlib.suppress(Crash):
        ingest(dynamo.store(BUILDER, MortalClient(dynamo.client, calls, after=after)), [first])
    ingest(dynamo.store(BUILDER), [first, link])
    [line] = lines(dynamo, BUILDER)
    assert msgspec.json.decode(line)["event_count"] == 2
    assert_consistent(dynamo, BUILDER)


@pytest.mark.parametrize("after", [False, True])
def test_a_creation_that_was_overtaken_writes_no_profile(dynamo, after):
    """Between its two writes somebody else takes the identifier; then its second one must not happen."""
    dynamo.reset()
    first, link = contributions_of(
        BUILDER,
        [
            an_event(messageId="first", arrival=T0, anonymousId="shared"),
            an_event(messageId="link", arrival=T0 + 1, anonymousId="shared", userId="u"),
        ],
    )
    writes = []

    class Overtaken(MortalClient):
        def __getattr__(self, name):
            method = getattr(self._client, name)

            def call(**arguments):
                if name == "put_item":
                    writes.append(name)
                    if len(writes) == 1 + after:
                        ingest(dynamo.store(BUILDER), [link])
                return method(**arguments)

            return call

    ingest(dynamo.store(BUILDER, Overtaken(dynamo.client, 0, after=False)), [first])
    [line] = lines(dynamo, BUILDER)
    assert msgspec.json.decode(line)["event_count"] == 2
    assert_consistent(dynamo, BUILDER)


def test_a_creation_that_arrives_after_its_profile_was_merged_does_not_bring_it_back(dynamo):
    """A client gives a request up that is still on its way; what it does then must not happen."""
    dynamo.reset()
    first, other, link = contributions_of(
        BUILDER,
        [
            an_event(messageId="first", arrival=T0 + 1, anonymousId="merged"),
            an_event(messageId="other", arrival=T0, userId="u"),
            an_event(messageId="link", arrival=T0 + 2, anonymousId="merged", userId="u"),
        ],
    )
    on_their_way = []

    class Twice(MortalClient):
        def __getattr__(self, name):
            method = getattr(self._client, name)

            def call(**arguments):
                if name == "put_item":
                    on_their_way.append(arguments)
                return method(**arguments)

            return call

    ingest(dynamo.store(BUILDER, Twice(dynamo.client, 0, after=False)), [first])
    for event in (other, link):
        ingest(dynamo.store(BUILDER), [event])
    for arguments in on_their_way:
        with pytest.raises(dynamo.client.exceptions.ConditionalCheckFailedException):
            dynamo.client.put_item(**arguments)
    [line] = lines(dynamo, BUILDER)
    assert msgspec.json.decode(line)["event_count"] == 3


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_while_segments_are_written_leaves_the_list_whole(dynamo, after):
    dynamo.reset()
    events = contributions_of(
        BUILDER,
        [
            an_event(
                messageId=f"m{number:03}",
                arrival=T0 + number,
                userId="u",
                type="track",
                properties={"pages": [f"/{number}/{page}" for page in range(20)]},
            )
            for number in range(16)
        ],
    )
    reference = MemoryStore()
    for event in events:
        ingest_through_crashes(dynamo, [event], after=after)
        ingest(reference, [event])
    [line] = lines(dynamo, BUILDER)
    assert line == oracle.profiles_of(BUILDER, events)[0]


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_while_pointers_follow_a_redirect_is_repaired_by_who_passes(dynamo, after):
    dynamo.reset()
    people = {
        user: contributions_of(
            BUILDER,
            [
                an_event(
                    messageId=f"{user}-{number}",
                    arrival=T0 + number,
                    userId=user,
                    anonymousId=f"{user}-{number}",
                )
                for number in range(8)
            ],
        )
        for user in ("old", "new")
    }
    link = contributions_of(
        BUILDER,
        [
            an_event(messageId=f"link-{user}", arrival=T0 + 100, userId=user, anonymousId="shared")
            for user in people
        ],
    )
    names = [{"anonymousId": f"{user}-{number}"} for user in people for number in range(8)]
    names += [{"anonymousId": "shared"}, *({"userId": user} for user in people)]
    again = contributions_of(
        BUILDER,
        [an_event(messageId=f"again-{at}", arrival=T0 + 200 + at, **name) for at, name in enumerate(names)],
    )
    store = dynamo.store(BUILDER)
    for events in people.values():
        ingest(store, events)
    for event in link:
        ingest_through_crashes(dynamo, [event], after=after, actions_max=8)
    for event in again:
        ingest(dynamo.store(BUILDER, cache=False), [event], actions_max=8)
    everything = [*people["old"], *people["new"], *link, *again]
    assert lines(dynamo, BUILDER) == oracle.profiles_of(BUILDER, everything)
    assert_consistent(dynamo, BUILDER)


@pytest.mark.parametrize("after", [False, True])
def test_what_leads_to_a_merged_profile_lives_as_long_as_its_primary_whoever_dies_before_it_follows(
    dynamo, after
):
    """The merged one is nobody known, and its pointers go after weeks; its primary stays for a year."""
    dynamo.reset()
    known = [an_event(messageId="known", arrival=T0, userId="user", anonymousId="known-0")]
    other = [
        an_event(messageId=f"other-{at}", arrival=T0 + 1 + at, anonymousId="other", previousId=f"other-{at}")
        for at in range(8)
    ]
    link = [an_event(messageId="link", arrival=T0 + 100, anonymousId="other", userId="user")]
    for events in (known, other):
        ingest(dynamo.store(BUILDER), contributions_of(BUILDER, events))
    for calls in itertools.count(1):
        with contextlib.suppress(Crash):
            client = MortalClient(dynamo.client, calls, after=after)
            ingest(dynamo.store(BUILDER, client), contributions_of(BUILDER, link), actions_max=8)
        profiles = live(dynamo, BUILDER)
        if len(profiles) == 1:
            break
    until = {int(item["expires_at"]["N"]) for item in dynamo.items(dynamo.identifiers_table)}
    assert min(until) * 1000 >= expiry(BUILDER, profiles[0])


@pytest.mark.parametrize("after", [False, True])
def test_what_a_broken_profile_remembers_is_found_by_identifiers_that_it_had_just_got(dynamo, after):
    dynamo.reset()
    first = contributions_of(BUILDER, [an_event(messageId="first", arrival=T0, userId="user")])
    batch = contributions_of(
        BUILDER,
        [
            an_event(messageId="new", arrival=T0 + 1, anonymousId="new-0"),
            an_event(messageId="link", arrival=T0 + 2, anonymousId="new-0", userId="user"),
            an_event(messageId="more", arrival=T0 + 3, anonymousId="new-1", userId="user"),
        ],
    )
    with patch("shared.core.plan.IDENTIFIERS_MAX", 2):
        ingest(dynamo.store(BUILDER), first)
        ingest_through_crashes(dynamo, batch, after=after)
        ingest(dynamo.store(BUILDER), batch[:1])
    assert lines(dynamo, BUILDER) == []


@pytest.mark.parametrize("is_made_again", [False, True])
def test_a_segment_that_is_written_when_its_write_is_long_over_takes_no_time_from_it(dynamo, is_made_again):
    """It comes for a profile that was to go sooner: when its write had failed, or had been made again."""
    dynamo.reset()
    late = []

    class Late:
        def __getattr__(self, name):
            return getattr(dynamo.client, name)

        def batch_execute_statement(self, **arguments):
            late.append(arguments)
            if is_made_again:
                return dynamo.client.batch_execute_statement(**arguments)
            raise ReadTimeoutError(endpoint_url="")

    events = contributions_of(
        BUILDER,
        [
            an_event(
                messageId=f"{at:02}", arrival=T0 + at, anonymousId="somebody", properties={"page": f"/{at}"}
            )
            for at in range(40)
        ],
    )
    [known] = contributions_of(
        BUILDER, [an_event(messageId="known", arrival=T0 + 41, anonymousId="somebody", userId="user")]
    )
    ingest(dynamo.store(BUILDER), events[:1])
    outcome = Ingest(BUILDER, dynamo.store(BUILDER, Late()), FakeClock()).run(events[1:])
    assert bool(outcome.failed) is not is_made_again
    ingest(dynamo.store(BUILDER), [*events[1:], known])
    for arguments in late:
        dynamo.client.batch_execute_statement(**arguments)
    [whole] = live(dynamo, BUILDER)
    [stored] = dynamo.store(BUILDER, cache=False).profiles([whole.id], fresh=True).values()
    listed = set(map(body_of, missing_segments(BUILDER, stored)))
    until = [
        int(item["expires_at"]["N"])
        for item in dynamo.items(dynamo.profiles_table)
        if body_name(item) in listed
    ]
    assert len(until) == len(listed) > 0
    assert min(until) * 1000 >= expiry(BUILDER, stored)
