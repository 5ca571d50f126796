"""What tests draw their data from: each generator gives any thing of its kind, odd ones included."""

from decimal import Decimal
from random import Random

from hypothesis import strategies as st

from shared.core.aggregations.base import Keyed
from shared.core.definition import ValueType
from shared.core.times import TIME_MS_MAX
from shared.core.values import UNUSABLE, parse_number

FEW = 4
"""Drawn from this few, times, ids and values meet their equals often."""


def any_time():
    """Any moment that Kith knows, ms UTC; often one of a few."""
    return st.integers(0, FEW) | st.integers(0, TIME_MS_MAX)


def any_event_id():
    return st.sampled_from(["", "a", "a#1", "b", "é", "\U0001f600"]) | st.uuids().map(str)


def any_key():
    """Any key of a value: (event time, event id, index)."""
    return st.tuples(any_time(), any_event_id(), st.integers(0, FEW))


def any_text():
    """Any string that is neither blank nor unusable."""
    return (st.sampled_from(["a", "b", "true", "1", " a "]) | st.text(min_size=1)).filter(
        lambda text: not text.isspace()
    )


def any_number():
    """Any canonical number: up to 38 digits, exponents -20 to 37."""
    coefficients = st.integers(-FEW, FEW) | st.integers(-(10**38) + 1, 10**38 - 1)
    exponents = st.sampled_from([0, -2]) | st.integers(-20, 37)
    return (
        st.builds(lambda coefficient, exponent: Decimal(f"{coefficient}E{exponent}"), coefficients, exponents)
        .map(parse_number)
        .filter(lambda number: number is not UNUSABLE)
    )


def any_ip():
    """Any IP address in canonical text: of an IPv4 one in IPv6, as RFC 5952 has it."""
    return st.ip_addresses().map(
        lambda one: f"::ffff:{one.ipv4_mapped}" if getattr(one, "ipv4_mapped", None) else str(one)
    )


_VALUES = {
    "string": any_text,
    "number": any_number,
    "boolean": st.booleans,
    "datetime": any_time,
    "ip": any_ip,
}


def any_value(value_type: ValueType):
    """Any value of the type, as states hold it."""
    return _VALUES[value_type]()


def any_keyed_values(value_type: ValueType, max_size: int = 12):
    """Any values under different keys, in any order."""
    one = st.tuples(any_key(), any_value(value_type))
    return st.lists(one, max_size=max_size, unique_by=lambda keyed: keyed[0])


def any_json():
    """Anything that an event, or a transformation of one, may hold: all JSON, floats, huge numbers."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([10**400, -(10**400), 2**63, 0])
        | st.floats()
        | st.decimals()
        | st.sampled_from(
            [Decimal("1E+999999999"), Decimal("-1E-999999999"), Decimal("-0.00"), Decimal("sNaN")]
        )
        | st.text()
        | st.text(alphabet=st.characters(categories=["Cs", "Cc", "Nd"]))
        | st.text(alphabet="+-.eE_ 0123456789:TZ")
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )


def many_keyed_values(seed: int, count: int, distinct: int) -> list[Keyed]:
    """`count` values of about `distinct` different ones, under different keys, shuffled.

    Long histories come from a seed: drawn value by value they would cost hypothesis seconds.
    """
    random = Random(seed)
    keyed = [
        ((random.randrange(count), f"id-{number}", 0), f"/page/{random.randrange(distinct)}")
        for number in range(count)
    ]
    random.shuffle(keyed)
    return keyed
