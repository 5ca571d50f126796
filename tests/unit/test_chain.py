"""Transformation chains: each function its own copy, and nothing goes on half-transformed."""

import json
from decimal import Decimal
from textwrap import dedent

import pytest
from hypothesis import given

from kith import RetryError
from shared.core.chain import (
    RESULTS_MAX,
    Chain,
    Failure,
    event_text,
    events_made,
    failed,
)
from shared.core.containers import EVENTS_MAX, UnreadableError, decode_object
from shared.core.event import Position, event_of
from shared.core.records import Rejection
from shared.core.user_context import UserContext
from tests.generators import any_json
from tests.kinesis import ARRIVAL, json_of

EVENT = {"type": "track", "messageId": "m1", "userId": "ann", "properties": {"total": 12.5}}
PLACE = Position("shard-0", "1", 3)


def chain(source, lines=None, counts=None, env=None):
    lines = [] if lines is None else lines
    context = UserContext("customers", 7, env or {}, lambda *line: lines.append(line), counts or {})
    return Chain(dedent(source), context)


def transform(body, *statements):
    """Make a chain of one function whose body is this."""
    lines = "\n    ".join([body, *statements])
    return chain(f"def transform(event, context):\n    {lines}\n")


def run(made_by, event=EVENT):
    outcome = made_by.run(json.dumps(event).encode())
    if not isinstance(outcome, list):
        return outcome
    return [(suffix, decode_object(bytes(text))) for suffix, text in outcome]


@pytest.mark.parametrize(
    ("body", "became"),
    [
        ("return None", None),
        ("pass", None),
        ("event['userId'] = 'bob'", None),
        ("event.clear()", None),
        ("event['properties']['total'] = 1", None),
        ("return 'drop'", []),
        ("return False", []),
        ("return []", []),
        ("return {'a': 1}", [("", {"a": 1})]),
        ("return {}", [("", {})]),
        ("event['userId'] = 'bob'; return event", [("", EVENT | {"userId": "bob"})]),
        ("return [{'a': 1}]", [("#0", {"a": 1})]),
        ("return [{'a': 1}, {'a': 2}]", [("#0", {"a": 1}), ("#1", {"a": 2})]),
        ("return [event, event]", [("#0", EVENT), ("#1", EVENT)]),
    ],
)
def test_a_function_says_by_its_result_what_becomes_of_an_event(body, became):
    assert run(transform(body)) == became


def test_each_function_gets_what_the_one_before_returned():
    made_by = chain("""
        def first(event, context):
            event["seen"] = ["first"]
            return event

        def second(event, context):
            event["seen"].append("second")  # on its copy only

        def third(event, context):
            return {**event, "seen": [*event["seen"], "third"]}

        chain = [first, second, third]
    """)
    assert run(made_by) == [("", EVENT | {"seen": ["first", "third"]})]


def test_what_a_function_keeps_of_an_event_is_its_own():
    made_by = chain("""
        kept = []

        def first(event, context):
            kept.append(event)
            return event

        def second(event, context):
            kept[0]["properties"]["total"] = 1

        chain = [first, second]
    """)
    assert run(made_by) == [("", EVENT)]


def test_each_event_of_a_fan_out_goes_through_the_rest_and_is_named_by_its_way():
    made_by = chain("""
        def first(event, context):
            return [{"n": 0}, {"n": 1}, {"n": 2}]

        def second(event, context):
            if event["n"] == 0:
                return "drop"
            if event["n"] == 1:
                return [{"n": 10}, {"n": 11}]

        def third(event, context):
            return {**event, "third": True}

        chain = [first, second, third]
    """)
    assert run(made_by) == [
        ("#1#0", {"n": 10, "third": True}),
        ("#1#1", {"n": 11, "third": True}),
        ("#2", {"n": 2, "third": True}),
    ]


def test_a_dropped_event_reaches_no_further_function():
    made_by = chain("""
        def first(event, context):
            return "drop"

        def second(event, context):
            raise AssertionError

        chain = (first, second)
    """)
    assert run(made_by) == []


@pytest.mark.parametrize(
    "body",
    [
        "return True",
        "return 0",
        "return 1",
        "return 'keep'",
        "return (event,)",
        "yield event",
        "return [event, None]",
        "return [event, 'drop']",
        "return [[event]]",
        "return object()",
        "return {event['userId']: object()}",
        "return {('a', 'b'): 1}",
        "event['self'] = event; return event",
        "event['list'] = [[]]; event['list'][0].append(event['list']); return event",
        r"return {'name': '\ud800'}",
        f"return [event] * {RESULTS_MAX + 1}",
        "return [{'text': 'x' * 1_000_000}] * 5",
        "return {1: 2}",
        "return {1: 1, 'a': 2, b'c': 3, object(): 4}",
    ],
)
def test_what_is_no_event_fails_the_event(body):
    event = an_event(userId="Ann Example")
    outcome = transform(body).run(event_text(event))
    rejection = failed(event, outcome) if isinstance(outcome, Failure) else events_made(event, outcome)
    assert rejection.reason == "transform_result"
    assert "Example" not in rejection.detail


def test_what_a_result_lacks_is_told_of_the_function_that_returned_it():
    made_by = chain("""
        def first(event, context):
            return {"n": object()}

        def second(event, context):
            raise AssertionError

        chain = [first, second]
    """)
    assert run(made_by).reason == "transform_result"


@pytest.mark.parametrize(
    ("expression", "means"),
    [
        ("0.1 + 0.2", Decimal("0.30000000000000004")),
        ("float('nan')", None),
        ("float('inf')", None),
        ("Decimal('NaN')", None),
        ("[Decimal('sNaN'), -Decimal('Infinity'), 'NaN']", [None, None, "NaN"]),
        ("Decimal(100) / 3", Decimal("33.33333333333333333333")),
        ("1 / 300000", Decimal("0.00000333333333333333")),
        ("10 ** 30", 10**30),
        ("event['properties']['total'] * 2", Decimal("25.0")),
        ("datetime(2026, 1, 2, tzinfo=UTC)", "2026-01-02T00:00:00Z"),
        ("date(2026, 1, 2)", "2026-01-02"),
        ("{'b', 'a', 'c'}", ["a", "b", "c"]),
        ("(1, 2)", [1, 2]),
    ],
)
def test_values_of_python_become_json_and_always_the_same(expression, means):
    made_by = chain(f"""
        from datetime import UTC, date, datetime
        from decimal import Decimal

        def transform(event, context):
            return {{"value": {expression}}}
    """)
    assert run(made_by) == [("", {"value": means})]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError(event['userId'])", "transform_error"),
        ("event['missing']", "transform_error"),
        ("raise SystemExit", "transform_error"),
        ("raise GeneratorExit", "transform_error"),
        ("transform(event, context)", "transform_error"),
        ("raise MemoryError", "transform_error"),
        ("from kith import NoRetryError; raise NoRetryError('never')", "transform_no_retry"),
        ("from kith import RetryError; raise RetryError('later')", "transform_retry"),
        ("from kith import RetryError; raise RetryError('later', drop=True)", "transform_retry"),
        ("from kith import RetryError; raise RetryError('later', -1)", "transform_error"),
        ("from kith import RetryError; raise RetryError('later', float('nan'))", "transform_error"),
    ],
)
def test_what_is_raised_fails_the_event_and_tells_nothing_of_it(body, reason):
    outcome = run(transform(body), EVENT | {"userId": "Ann Example"})
    assert outcome.reason == reason
    assert "at transform.py:2" in outcome.detail
    assert "Example" not in outcome.detail


def test_an_event_may_say_when_to_try_again():
    outcome = run(transform("from kith import RetryError", "raise RetryError('later', 2.5)"))
    assert outcome == Failure("transform_retry", "RetryError at transform.py:3", 2.5)
    assert RetryError("later", drop=True).drop


def test_whoever_stops_the_program_stops_it():
    with pytest.raises(KeyboardInterrupt):
        run(transform("raise KeyboardInterrupt"))


def test_a_failed_event_goes_no_further_and_no_part_of_it_does():
    made_by = chain("""
        def first(event, context):
            return [{"n": 0}, {"n": 1}]

        def second(event, context):
            if event["n"]:
                raise ValueError

        chain = [first, second]
    """)
    assert run(made_by).reason == "transform_error"


def test_decimals_that_are_no_numbers_are_null_for_the_next_function_too():
    source = """
        from decimal import Decimal
        def first(event, context):
            return {"a": Decimal("NaN"), "b": Decimal(20) / 3}
        def second(event, context):
            return {**event, "was_null": event["a"] is None}
        chain = [first, second]
    """
    [(_, made)] = run(chain(source))
    assert made == {"a": None, "b": Decimal("6.66666666666666666667"), "was_null": True}


@pytest.mark.parametrize("result", ["broken", "[broken, broken]"])
def test_json_of_ones_own_that_is_none_fails_the_event_and_not_the_process(result):
    source = f"""
        import msgspec
        def transform(event, context):
            broken = {{"a": msgspec.Raw(b"NaN NaN")}}
            return {result}
    """
    assert run(chain(source)).reason == "transform_result"


def an_event(**changes):
    body = EVENT | changes
    return event_of(body, len(json.dumps(body)), ARRIVAL, PLACE)


def made(event, body, *statements):
    outcome = transform(body, *statements).run(event_text(event))
    return events_made(event, outcome)


def test_a_changed_event_keeps_its_id_and_arrival_and_has_its_times_read_anew():
    [one] = made(an_event(), "event['timestamp'] = '2020-01-02T03:04:05Z'; return event")
    assert (one.id, one.arrival, one.position) == ("m1", ARRIVAL, PLACE)
    assert one.time == 1577934245000
    assert one.body["properties"] == {"total": Decimal("12.5")}


def test_events_of_a_fan_out_have_ids_and_positions_of_their_own():
    some = made(an_event(), "return [event, {**event, 'messageId': 'own'}, {}]")
    assert [one.id for one in some] == ["m1#0", "own", "m1#2"]
    assert [one.position.index for one in some] == [3, 3 + EVENTS_MAX, 3 + 2 * EVENTS_MAX]


def test_an_event_without_an_id_keeps_the_one_that_it_came_with():
    anonymous = an_event(messageId=None, timestamp="2020-01-02T03:04:05Z")
    [one] = made(anonymous, "event['properties'] = {}; return event")
    assert one.id == anonymous.id
    [named] = made(anonymous, "event['messageId'] = 'new'; return event")
    assert named.id == "new"


def test_a_result_beyond_the_limits_of_an_event_is_rejected_as_it_was_sent():
    event = an_event()
    rejection = made(event, "return {'text': 'x' * 2_000_000}")
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.position, rejection.whole) == ("transform_result", PLACE, False)
    assert json.loads(rejection.data) == EVENT
    deep = made(event, "value = []", "for _ in range(100): value = [value]", "return {'value': value}")
    assert deep.reason == "transform_result"
    assert failed(event, Failure("transform_error", "KeyError")).detail == "KeyError"


@given(any_json())
def test_an_event_that_goes_through_is_what_it_was(value):
    try:
        body = decode_object(json_of({"value": value}))
    except (UnreadableError, TypeError, ValueError, RecursionError):
        return
    event = event_of(body, 1, ARRIVAL, PLACE)
    [one] = events_made(event, transform("return event").run(event_text(event)))
    assert one.body == event.body
