"""Reading records: an event becomes what its transformation says, all of it or nothing."""

from collections import Counter

import msgspec
import pytest

from shared.app.reading import Postponed, Reader
from shared.core.compile import Builder
from shared.core.records import Record, read_record, reject
from tests.kinesis import ARRIVAL, array_of, json_of
from tests.people import a_definition

BUILDER = Builder(a_definition())
GOOD = {"type": "track", "messageId": "good", "userId": "ann"}


class FakeTransformer:
    """Does to each event what is told by its `do`; counts its calls."""

    def __init__(self):
        self.calls = 0

    def run(self, events):
        self.calls += 1
        return [self._become(one) for one in events]

    @staticmethod
    def _become(event):
        match event.body.get("do"):
            case int(times):
                return [msgspec.structs.replace(event, id=f"{event.id}#{index}") for index in range(times)]
            case "reject":
                return reject(event, "told to")
            case "wait":
                return Postponed(reject(event, "told to"))
            case "trip":
                return [event, msgspec.structs.replace(event, body=None)]
        return [event]


def record(data, sequence="1"):
    return Record(data, ARRIVAL, "shard", sequence)


def read(*records, transformer=None):
    tally = Counter()
    reads = list(Reader(BUILDER, transformer or FakeTransformer()).read(([one] for one in records), tally))
    return reads, tally


def accounted(tally):
    dropped = sum(count for key, count in tally.items() if key.startswith("dropped."))
    return dropped + tally["events_quarantined"] + tally["events_postponed"]


@pytest.mark.parametrize(
    ("do", "contributions", "counted"),
    [
        (1, 1, {}),
        (0, 0, {"dropped.transform": 1}),
        (3, 3, {"events_fanned_out": 2}),
        ("reject", 0, {"events_quarantined": 1, "quarantined.not_processed": 1}),
        ("wait", 0, {"events_postponed": 1}),
    ],
)
def test_an_event_becomes_what_its_transformation_says(do, contributions, counted):
    [one], tally = read(record(json_of(GOOD | {"do": do})))
    assert len(one.contributions) == contributions
    assert tally == {"events_in": 1, **counted}
    fanned_out = tally["events_fanned_out"]
    assert tally["events_in"] + fanned_out == len(one.contributions) + accounted(tally)


def test_an_event_of_which_one_part_fails_is_rejected_whole_and_as_it_was_sent():
    [one], tally = read(record(json_of(GOOD | {"do": "trip"})))
    assert one.contributions == []
    [rejection] = one.rejections
    assert msgspec.json.decode(rejection.data) == GOOD | {"do": "trip"}
    assert tally["events_in"] == tally["events_quarantined"] == 1


def test_what_no_transformation_can_read_keeps_its_place_among_the_others():
    [one, other], _ = read(
        record(array_of([json_of(GOOD), b"[]", json_of(GOOD | {"do": 0})])), record(b"x", sequence="2")
    )
    assert [each.position.index for each in one.contributions] == [0]
    assert [each.position.index for each in one.rejections] == [1]
    assert [each.position.sequence for each in other.rejections] == ["2"]


def test_events_of_many_records_are_transformed_together_but_not_too_many():
    transformer = FakeTransformer()
    large = json_of(GOOD | {"padding": "x" * 900_000})
    reads, _ = read(*[record(large, str(number)) for number in range(10)], transformer=transformer)
    assert transformer.calls == 2
    assert [len(one.contributions) for one in reads] == [1] * 10


def test_without_a_transformation_events_stay_what_they_are():
    tally = Counter()
    data = json_of(GOOD | {"do": 0})
    [one] = Reader(BUILDER).read([[record(data)]], tally)
    [event] = read_record(*record(data))
    assert one.contributions == [BUILDER.contribute(event, Counter())]
    assert tally == {"events_in": 1}
