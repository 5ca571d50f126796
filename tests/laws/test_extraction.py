"""The law of extraction: the code written for a definition reads what its rules read, followed one by one."""

from collections import Counter
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.aggregations.registry import aggregation_of
from shared.core.definition import Attribute, Condition, DecimalNumber
from shared.core.extraction import extractor
from shared.core.values import PARSERS, UNUSABLE
from tests.event_generators import any_json
from tests.soaking import examples

PATHS = (("a",), ("b",), ("c", "d"), ("e",))
TYPED = {
    "string": ("first", "last", "first_last", "list", "unique_list"),
    "number": ("sum", "max", "list"),
    "datetime": ("max", "last", "unique_list"),
    "ip": ("last", "unique_list"),
    "boolean": ("last", "list"),
}


@st.composite
def any_attribute(draw):
    value_type = draw(st.sampled_from([*TYPED, None]))
    aggregation = "count" if value_type is None else draw(st.sampled_from(TYPED[value_type]))
    paths = tuple(draw(st.lists(st.sampled_from(PATHS), min_size=value_type is not None, max_size=3)))
    values = st.lists(
        st.sampled_from(("x", "y", 1, 0, True, False, DecimalNumber(Decimal("0.5")))), min_size=1, max_size=3
    )
    conditions = st.builds(Condition, st.sampled_from(PATHS), values.map(tuple))
    when = tuple(draw(st.lists(conditions, max_size=2)))
    return Attribute(f"n{draw(st.integers(0, 99))}", aggregation, value_type, paths, when)


def any_raw():
    """Values that are plain, that are nearly so, and that are anything at all."""
    texts = ("x", "y", "plain", "", " ", "\t", " led by a blank", "!", "\x1f", "\x7f", "é", "\ud800", "12.50")
    times = ("2026-01-02T03:04:05.678Z", "2026-01-02", "no time")
    addresses = ("192.0.2.1", " 192.0.2.1 ", "2001:DB8::1", "::ffff:192.0.2.1", "fe80::1%eth0")
    numbers = (0, 1, -1, 10**80, Decimal("0.5"), Decimal("1.0"), Decimal("NaN"), True, False)
    one = st.sampled_from((*texts, *times, *addresses, *numbers)) | any_json()
    return st.none() | one | st.lists(one, max_size=3)


def holds(value, condition):
    wanted = [one.decimal if isinstance(one, DecimalNumber) else one for one in condition.values]
    return any(kind_of(value) is kind_of(one) and value == one for one in wanted)


def kind_of(value):
    return int if isinstance(value, Decimal) else type(value)


def naively(attribute, slots, tally):
    """What one attribute reads, and how many values that is at most."""
    if not all(holds(slots[PATHS.index(one.path)], one) for one in attribute.when):
        return None, 0
    if not attribute.paths:
        return True, 1

    def parse(value):
        if attribute.type is None:
            return None if isinstance(value, str) and not value.strip() else True
        return PARSERS[attribute.type](value)

    for path in attribute.paths:
        raw = slots[PATHS.index(path)]
        if raw is None:
            continue
        is_several = isinstance(raw, list) and aggregation_of(attribute).takes_arrays
        parsed = [parse(one) for one in (raw if is_several else [raw])]
        if parsed.count(UNUSABLE):
            tally[f"left_out.{attribute.name}"] += parsed.count(UNUSABLE)
        usable = [one for one in parsed if one is not None and one is not UNUSABLE]
        if usable:
            return (usable if is_several else usable[0]), len(parsed)
        if not is_several and parsed == [UNUSABLE]:
            return None, 0
    return None, 0


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(any_attribute(), max_size=6),
    st.lists(st.lists(any_raw(), min_size=len(PATHS), max_size=len(PATHS)), min_size=1, max_size=3),
)
def test_the_code_written_for_a_definition_reads_what_its_rules_read(attributes, events):
    extract = extractor(attributes, PATHS.index)
    for slots in [*events, *events]:  # the second time, what is remembered is what counts
        counted, expected = Counter(), Counter()
        values, found = extract(slots, counted)
        read = [naively(one, slots, expected) for one in attributes]
        # As text: True is 1, and 1.0 is 1, but not here.
        assert repr(values) == repr([value for value, _ in read])
        assert found == sum(many for _, many in read)
        assert counted == expected
