"""Folding files: the same profiles whatever the order, the files, the repetition of lines."""

import json
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.app.fold import NO_ARRIVAL, Scan, fold, link, scan
from shared.core.compile import Builder
from shared.core.definition import Attribute, Definition, IdentifierType
from shared.core.times import format_time, parse_time
from tests import oracle
from tests.people import DAY, HOUR, a_definition, any_stream

SEEDS = st.integers(0, 2**32)


def lines_of(events):
    """Write events as lines that `fold` dates by their arrival."""
    return [
        json.dumps(
            {**event.body, "receivedAt": format_time(event.arrival), "timestamp": format_time(event.time)},
            default=float,
        ).encode()
        for event in events
    ]


def folded(builder, *files):
    """Fold files of lines; return the canonical lines, and what was scanned."""
    scanned = Scan()
    for lines in files:
        scan(builder, lines, scanned)
    finished = []
    for person in link(scanned.groups):
        contributions = [one for group in person for one in scanned.groups[group]]
        finished += fold(builder, contributions, scanned.tally)
    return [one.line for one in sorted(finished)], scanned


def a_line(**body):
    return json.dumps({"timestamp": "2026-01-01T00:00:00Z", "anonymousId": "a1", **body}).encode()


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_files_fold_to_what_the_oracle_says(seed):
    builder = Builder(a_definition())
    lines = lines_of(any_stream(Random(seed)))
    found, scanned = folded(builder, lines)
    contributions = [one for group in scanned.groups.values() for one in group]
    assert found == oracle.profiles_of(builder, contributions)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_neither_order_nor_files_nor_repeated_lines_change_the_profiles(seed):
    random = Random(seed)
    builder = Builder(a_definition())
    lines = lines_of(any_stream(random))
    expected, _ = folded(builder, lines)
    mixed = lines + random.choices(lines, k=random.randint(0, 10))
    random.shuffle(mixed)
    cut = random.randint(0, len(mixed))
    assert folded(builder, mixed[cut:], mixed[:cut])[0] == expected


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_events_with_neither_id_nor_timestamp_fold_the_same_in_any_order(seed):
    random = Random(seed)
    builder = Builder(a_definition())
    bodies = [json.loads(line) for line in lines_of(any_stream(random, gap_ms=HOUR))]
    for body in bodies:
        del body["messageId"], body["timestamp"]
    lines = [json.dumps(body).encode() for body in bodies]
    expected, _ = folded(builder, lines)
    again = lines + lines[::2]
    random.shuffle(again)
    assert folded(builder, again)[0] == expected


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_one_id_with_two_contents_at_one_time_folds_the_same_in_any_order(seed):
    random = Random(seed)
    builder = Builder(a_definition())
    lines = [
        a_line(messageId="m", userId="u", properties={"page": random.choice("abc"), "total": number})
        for number in range(5)
    ]
    expected, _ = folded(builder, lines)
    random.shuffle(lines)
    assert folded(builder, lines)[0] == expected


def test_an_event_arrives_when_it_was_received_or_else_at_its_timestamp():
    builder = Builder(a_definition())
    received = a_line(messageId="1", receivedAt="2026-01-03T00:00:00Z")
    found, _ = folded(builder, [received])
    assert json.loads(found[0])["created_at"] == "2026-01-03T00:00:00.000Z"
    found, _ = folded(builder, [a_line(messageId="1")])
    assert json.loads(found[0])["created_at"] == "2026-01-01T00:00:00.000Z"


def test_what_is_no_dated_event_is_rejected_with_its_line_and_reason_and_blank_lines_are_nothing():
    builder = Builder(a_definition())
    lines = [
        b"\n",
        a_line(messageId="1"),
        b"{broken\n",
        b"[]\n",
        b'"text"\n',
        b'{"anonymousId": "a1"}\n',
        b'{"a": ' + b"9" * 5000 + b"}\n",
        b"\xff\xfe\n",
    ]
    found, scanned = folded(builder, lines)
    assert len(found) == 1
    assert [(one.line, one.reason) for one in scanned.rejected] == [
        (3, "not_json"),
        (4, "not_an_object"),
        (5, "not_an_object"),
        (6, NO_ARRIVAL),
        (7, "number_out_of_range"),
        (8, "not_json"),
    ]
    assert scanned.rejected[0].data == b"{broken"
    assert scanned.tally["events_in"] == 1


def test_every_event_is_counted_once_as_folded_duplicate_or_dropped():
    builder = Builder(a_definition())
    lines = [a_line(messageId="1"), a_line(messageId="1"), a_line(anonymousId=None), a_line(messageId="2")]
    _, scanned = folded(builder, lines)
    assert scanned.tally == Counter(
        {
            "events_in": 4,
            "events_folded": 2,
            "events_duplicate": 1,
            "events_dropped.no_identifier": 1,
            "profiles_created": 1,
        }
    )


def test_a_person_who_comes_back_after_expiry_is_there_once_with_the_latest_life():
    builder = Builder(a_definition())
    lines = [a_line(messageId="1"), a_line(messageId="2", timestamp="2026-02-02T00:00:00Z")]
    found, _ = folded(builder, lines)
    profile = json.loads(found[0])
    assert len(found) == 1
    assert profile["created_at"] == "2026-02-02T00:00:00.000Z"
    assert profile["event_count"] == 1


def test_a_profile_long_expired_by_the_date_of_today_still_comes_out():
    builder = Builder(a_definition())
    found, _ = folded(builder, [a_line(messageId="1", timestamp="1999-01-01T00:00:00Z")])
    assert json.loads(found[0])["expires_at"] == "1999-02-01T00:00:00.000Z"


def test_the_worked_example_of_piwik_pro_holds():
    builder = Builder(
        Definition(
            "customers",
            (IdentifierType("user_id", (("userId",),), known=True),),
            (
                Attribute("utm_source", "first_last", "string", (("properties", "utm_source"),)),
                Attribute("page_urls", "list", "string", (("properties", "page_url"),)),
                Attribute("total_order_value", "sum", "number", (("properties", "order_value"),)),
            ),
        )
    )
    before = {"utm_source": "email", "page_url": "/home", "order_value": "25.00"}
    event = {"utm_source": "social", "page_url": "/products", "order_value": "50.00"}
    later = format_time(parse_time("2026-01-01T00:00:00Z") + DAY)
    lines = [
        a_line(messageId="1", userId="u", properties=before),
        a_line(messageId="2", userId="u", properties=event, timestamp=later),
    ]
    attributes = json.loads(folded(builder, lines)[0][0])["attributes"]
    assert attributes.pop("page_urls") == [
        {"value": "/home", "at": "2026-01-01T00:00:00.000Z"},
        {"value": "/products", "at": later},
    ]
    assert attributes == {"utm_source_first": "email", "utm_source_last": "social", "total_order_value": 75}
