"""Transformations in this process: what a chain gives is read as an event from outside is."""

import msgspec

from shared.app.reading import Postponed
from shared.app.transform import ATTEMPTS, LocalTransformer, PatientTransformer, local_transformer
from shared.core.event import Position, event_of
from shared.core.records import Rejection
from tests.kinesis import ARRIVAL
from tests.people import a_definition

SOURCE = """
from kith import RetryError

tried = []

def transform(event, context):
    if event.get("do") == "drop":
        return "drop"
    if event.get("do") == "fail":
        raise ValueError
    if event.get("do") == "wait":
        tried.append(event["messageId"])
        if len(tried) < event["times"]:
            raise RetryError("later", 5)
    if event.get("do") == "double":
        return [event, event]
    context.log.info("seen")
"""


def an_event(**body):
    return event_of({"messageId": "m", "userId": "ann", **body}, 50, ARRIVAL, Position("s", "1", 0))


def transformer(logged=None):
    return LocalTransformer(SOURCE, a_definition(), lambda *line: (logged or []).append(line), {})


def test_each_event_becomes_what_the_chain_makes_of_it():
    same = an_event()
    results = transformer().run([same, an_event(do="drop"), an_event(do="double"), an_event(do="fail")])
    assert results[0] == [same]
    assert results[1] == []
    assert [one.id for one in results[2]] == ["m#0", "m#1"]
    assert isinstance(results[3], Rejection)
    assert results[3].detail == "ValueError at transform.py:10"


def test_an_event_that_asks_to_wait_is_postponed_with_all_that_it_takes_to_set_it_aside():
    [one] = transformer().run([an_event(do="wait", times=9)])
    assert isinstance(one, Postponed)
    assert (one.delay_s, one.rejection.reason) == (5, "transform_retry")
    assert msgspec.json.decode(one.rejection.data)["do"] == "wait"


def test_whoever_is_patient_tries_again_shortly_and_only_what_asked_for_it():
    pauses = []
    patient = PatientTransformer(transformer(), pauses.append)
    results = patient.run([an_event(), an_event(do="wait", times=2), an_event(do="double")])
    assert [len(one) for one in results] == [1, 1, 2]
    assert pauses == [1]


def test_whoever_is_patient_gives_up():
    pauses = []
    [one] = PatientTransformer(transformer(), pauses.append).run([an_event(do="wait", times=ATTEMPTS + 1)])
    assert isinstance(one, Rejection)
    assert one.reason == "transform_retry"
    assert pauses == [1, 2]


def test_a_folder_without_a_chain_has_no_transformer():
    assert local_transformer({"builder.yaml": ""}, a_definition(), print, print) is None
    assert local_transformer({"transform.py": SOURCE}, a_definition(), print, print) is not None
