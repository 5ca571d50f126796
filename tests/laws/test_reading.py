"""The law of reading: what is read of a plain event's text is what decoding all of it would give."""

import json
from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.compile import Builder, Contribution
from shared.core.containers import DEPTH_MAX, UnreadableError, decode_object
from shared.core.definition import Attribute, Condition, DecimalNumber, Definition, IdentifierType
from shared.core.event import Position, arrival_of, event_of
from tests.event_generators import KNOWN_FIELDS, any_event, any_json, any_odd_event, any_text
from tests.people import T0, a_definition
from tests.soaking import examples

HERE = Position("shard-0", "1", 0)
ODD = Definition(
    "odd",
    (
        IdentifierType("user", (("userId",), ("context", "user", "id")), known=True),
        IdentifierType("other", (("userId",), ("traits", "a", "b"), ("",))),
    ),
    (
        Attribute("whole", "list", "string", (("context", "page"), ("context", "page", "url"))),
        Attribute("deep", "unique_list", "number", (("properties", "a", "b"), ("properties", "a"))),
        Attribute("deep_again", "unique_list", "number", (("properties", "a", "b"), ("properties", "a"))),
        Attribute("any", "count", None, (("properties", "list"),)),
        Attribute(
            "flag",
            "last",
            "boolean",
            (("#pk",),),
            (Condition(("event",), ("A", 1, True, DecimalNumber(Decimal("0.5")))),),
        ),
        Attribute("time", "max", "datetime", (("timestamp",),)),
        Attribute("again", "min", "datetime", (("timestamp",),)),
        Attribute("sum", "sum", "number", (("properties", "total"),), (Condition(("type",), ("track",)),)),
    ),
    anonymous=(Condition(("context", "page", "bot"), (True,)),),
    anonymous_profiles=False,
)
BUILDERS = {"people": Builder(a_definition()), "odd": Builder(ODD)}
WRONG = (
    *(b"NaN", b"01", b"1.", b"-", b".5", b"tru", b"[1,]", b'{"a"}', b"{1:2}", b"[1 2]", b"'a'", b"", b"]"),
    *(b'"\xff"', b'"\xed\xa0\x80"', b'{"\xff":1}', b'"\\ud800"', b'"\\x"', b'"\\u00zz"', b'"\x00"', b'"'),
    *(b"9" * 4300, b"9" * 5000, b"9" * 400, b"-0", b"1e400", b"1e99999999999999999999", b"0.10", b"1E2"),
    *(b"-1.5e-99999999999999999999", b"0e99999999999999999999", b"0." + b"1" * 5000),
    *(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, b"[" * 2000 + b"]" * 2000, b'{"a":' * 70 + b"1" + b"}" * 70),
    *(b"null", b"[]", b"{}", b'{"a":null,"url":5,"id":"x"}', b'{"a":{"b":[1,"x"]}}', b'"\\ud83d\\ude00"'),
)


def whole(builder, text, arrival):
    """What the event gives when all of it is decoded, and what is counted; None if it is no event."""
    tally = Counter()
    try:
        body = decode_object(text)
    except UnreadableError:
        return None, tally
    arrival = arrival_of(body) if arrival is None else arrival
    if arrival is None:
        return None, tally
    return builder.contribute(event_of(body, len(text), arrival, HERE), tally), tally


def assert_law(text, arrivals=(T0, None)):
    for builder in BUILDERS.values():
        for arrival in arrivals:
            tally = Counter()
            found = builder.read(text, arrival, HERE, tally)
            if found is None:
                assert tally == {}
            else:
                # As text: True is 1, and 1.0 is 1, but not here.
                assert repr((found, tally)) == repr(whole(builder, text, arrival))


def dumped(value):
    return msgspec.json.encode(value)


@st.composite
def any_text_of_an_event(draw):
    """JSON objects, nearly: any field holds anything, keys repeat, and pieces may be broken."""
    anything = st.one_of(any_json().map(dumped), st.sampled_from(WRONG))
    keys = st.sampled_from((*KNOWN_FIELDS, "page", "a", "b", "", "#pk", "total", "url")) | any_text()
    nested = st.lists(st.tuples(keys, anything), max_size=3).map(joined)
    fields = draw(st.lists(st.tuples(keys, anything | nested), max_size=6))
    start = [("messageId", b'"m"'), ("timestamp", b'"2026-01-01T00:00:00Z"')]
    text = joined([*(start if draw(st.booleans()) else []), *fields])
    return text + draw(st.sampled_from([b"", b"\n", b" ", b"x", b"{}"]))


def joined(fields):
    return b"{" + b",".join(dumped(key) + b":" + value for key, value in fields) + b"}"


@settings(max_examples=100, deadline=None)
@given(any_event() | any_odd_event())
def test_an_event_read_by_its_shape_gives_what_it_gives_when_read_whole(body):
    assert_law(dumped(body))
    assert_law(json.dumps(body, default=float).encode())


@settings(max_examples=examples(150), deadline=None)
@given(any_text_of_an_event())
def test_so_does_whatever_is_hardly_an_event(text):
    assert_law(text)


@pytest.mark.parametrize(
    "key", ["skipped", "event", "userId", "context", "properties", "traits", "messageId"]
)
def test_so_does_every_wrong_value_wherever_it_stands(key):
    for value in WRONG:
        fields = [("messageId", b'"m"'), ("userId", b'"u"'), (key, value)]
        for text in (
            joined(fields),
            joined(fields[::-1]),
            joined([*fields[:2], ("context", joined([(key, value)]))]),
        ):
            assert_law(text, [T0])


def test_an_event_without_an_id_is_left_to_the_reading_of_the_whole_which_names_it_by_its_content():
    assert BUILDERS["people"].read(b'{"userId":"u","timestamp":"2026-01-01"}', T0, HERE, Counter()) is None


def test_a_decent_event_is_read_by_its_shape():
    body = {
        "messageId": "m",
        "type": "identify",
        "userId": "u",
        "traits": {"email": "A@example.com", "x": [1]},
    }
    text = json.dumps({**body, "context": {"ip": "é", "os": {"name": "x"}}}, ensure_ascii=False).encode()
    found = BUILDERS["people"].read(text, T0, HERE, Counter())
    assert isinstance(found, Contribution)
    assert found.identifiers == (("user_id", "u"), ("email", "a@example.com"))
    assert found.traits == {"email": "A@example.com", "x": [1]}


def test_a_definition_whose_paths_no_shape_can_have_reads_all_events_whole():
    odd_key = Definition("odd", (IdentifierType("u", (('a"b',),)),), ())
    assert Builder(odd_key).read(b'{"messageId":"m","a\\"b":"u"}', T0, HERE, Counter()) is None
