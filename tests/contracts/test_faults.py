"""What DynamoDB does and engines do not: throttling, conflicting transactions, half-done batches."""

from random import Random

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from shared.adapters.dynamo.attempts import ThrottledError
from shared.app.ingest import Ingest
from shared.core.compile import Builder
from tests import oracle
from tests.contracts.worlds import FakeClock, assert_consistent, lines, live
from tests.people import DAY, T0, a_definition, an_event, any_stream, contributions_of, in_batches

BUILDER = Builder(a_definition())


def client_error(code, **answer):
    return ClientError({"Error": {"Code": code, "Message": ""}, **answer}, "Any")


class FaultyClient:
    """A client whose calls go wrong as `fault(name, arguments, call)` says."""

    def __init__(self, client, fault):
        self._client = client
        self._fault = fault

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda **arguments: self._fault(name, arguments, method)


def run(world, batch, fault):
    store = world.store(BUILDER, FaultyClient(world.client, fault))
    return Ingest(BUILDER, store, FakeClock()).run(batch)


def one_event(**changes):
    return contributions_of(
        BUILDER, [an_event(**{"messageId": "m", "type": "track", "userId": "u"} | changes)]
    )


def test_a_throttled_write_fails_its_group_alone_and_succeeds_when_it_comes_again(dynamo):
    dynamo.reset()

    def throttled(name, arguments, call):
        if (
            name == "put_item"
            and "founder" in arguments["Item"]
            and "u1" in arguments["Item"]["founder"]["S"]
        ):
            raise client_error("ProvisionedThroughputExceededException")
        return call(**arguments)

    batch = [*one_event(userId="u1", messageId="1"), *one_event(userId="u2", messageId="2")]
    outcome = run(dynamo, batch, throttled)
    assert [reason for _, reason in outcome.failed] == ["ProvisionedThroughputExceededException"]
    assert outcome.tally["events_folded"] == 1
    assert run(dynamo, batch, lambda _, arguments, call: call(**arguments)).failed == []
    assert [profile.event_count for profile in live(dynamo, BUILDER)] == [1, 1]


def test_an_answer_that_got_lost_is_no_loss_and_no_second_count(dynamo):
    dynamo.reset()

    def lost(arguments, call):
        call(**arguments)
        raise ReadTimeoutError(endpoint_url="")

    def lose_writes(name, arguments, call):
        return lost(arguments, call) if "get" not in name else call(**arguments)

    batch = one_event(anonymousId="c")
    assert [reason for _, reason in run(dynamo, batch, lose_writes).failed] == ["ReadTimeoutError"]
    again = run(dynamo, batch, lambda _, arguments, call: call(**arguments))
    assert (again.failed, again.tally["events_duplicate"]) == ([], 1)
    [profile] = live(dynamo, BUILDER)
    assert profile.event_count == 1
    assert_consistent(dynamo, BUILDER)


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError"])
def test_a_transaction_that_meets_another_is_planned_again_but_a_throttled_one_fails(dynamo, code):
    dynamo.reset()
    calls = []

    def canceled(name, arguments, call):
        if name == "transact_write_items" and not calls:
            calls.append(name)
            reasons = [{"Code": code}, *({"Code": "None"} for _ in arguments["TransactItems"][1:])]
            raise client_error("TransactionCanceledException", CancellationReasons=reasons)
        return call(**arguments)

    outcome = run(dynamo, one_event(anonymousId="c"), canceled)
    if code == "TransactionConflict":
        assert (outcome.failed, outcome.tally["conflicts"], outcome.tally["events_folded"]) == ([], 1, 1)
    else:
        assert [reason for _, reason in outcome.failed] == ["ThrottlingError"]


@pytest.mark.parametrize(("times", "reasons"), [(3, []), (4, ["TransactionConflictException"])])
def test_a_write_of_an_item_that_a_transaction_has_hold_of_waits_until_it_is_over(dynamo, times, reasons):
    dynamo.reset()
    assert run(dynamo, one_event(anonymousId="c"), lambda _, arguments, call: call(**arguments)).failed == []
    refused = []

    def held(name, arguments, call):
        if name == "put_item" and len(refused) < times:
            refused.append(name)
            raise client_error("TransactionConflictException")
        return call(**arguments)

    outcome = run(dynamo, one_event(anonymousId="c", messageId="another"), held)
    assert [reason for _, reason in outcome.failed] == reasons
    assert len(refused) == times
    [profile] = live(dynamo, BUILDER)
    assert profile.event_count == (1 if reasons else 2)


def half_done(name, arguments, call):
    """Do the first half of a batch, and leave the rest unprocessed."""
    if not name.startswith("batch_"):
        return call(**arguments)
    if name == "batch_execute_statement":
        statements = arguments["Statements"]
        half = (len(statements) + 1) // 2
        refused = [{"Error": {"Code": "ThrottlingError"}}] * (len(statements) - half)
        return {"Responses": call(Statements=statements[:half])["Responses"] + refused}
    [(table, request)] = arguments["RequestItems"].items()
    if name == "batch_get_item":
        half = (len(request["Keys"]) + 1) // 2
        answer = call(RequestItems={table: request | {"Keys": request["Keys"][:half]}})
        left = request["Keys"][half:]
        return answer | {"UnprocessedKeys": {table: request | {"Keys": left}} if left else {}}
    half = (len(request) + 1) // 2
    answer = call(RequestItems={table: request[:half]})
    return answer | {"UnprocessedItems": {table: request[half:]} if request[half:] else {}}


@pytest.mark.parametrize("seed", range(3))
def test_batches_that_are_only_half_done_are_asked_for_the_rest(dynamo, seed):
    dynamo.reset()
    random = Random(seed)
    events = contributions_of(BUILDER, any_stream(random, gap_ms=DAY))
    events.sort(key=lambda one: one.order)
    for batch in in_batches(random, events):
        assert run(dynamo, batch, half_done).failed == []
    assert lines(dynamo, BUILDER) == oracle.profiles_of(BUILDER, events)


def test_a_batch_that_never_gets_done_is_given_up(dynamo):
    dynamo.reset()

    def nothing_done(name, arguments, call):
        if name == "batch_get_item":
            return {"Responses": {}, "UnprocessedKeys": arguments["RequestItems"]}
        return call(**arguments)

    with pytest.raises(ThrottledError):
        run(dynamo, one_event(), nothing_done)


def test_follow_ups_that_fail_are_counted_and_harmless(dynamo):
    dynamo.reset()

    def no_deletes(name, arguments, call):
        requests = [one for some in arguments.get("RequestItems", {}).values() for one in some]
        if name == "batch_write_item" and any("DeleteRequest" in one for one in requests):
            raise client_error("ThrottlingException")
        return call(**arguments)

    store = dynamo.store(BUILDER, FaultyClient(dynamo.client, no_deletes))
    events = contributions_of(
        BUILDER,
        [
            an_event(
                messageId=f"m{number}",
                arrival=T0 + number,
                userId="u",
                type="track",
                properties={"pages": [f"/{number}/{page}" for page in range(10)]},
            )
            for number in range(120)
        ],
    )
    for event in events:
        assert Ingest(BUILDER, store, FakeClock()).run([event]).failed == []
    assert store.unfinished > 0
    assert lines(dynamo, BUILDER) == oracle.profiles_of(BUILDER, events)
