"""Transformations in this process: what a chain gives is read as an event from outside is."""

from collections import Counter

import msgspec
import pytest

from shared.app.fold import Scan, fold, link, scan
from shared.app.reading import Postponed
from shared.app.transform import ATTEMPTS, LocalTransformer, PatientTransformer, local_transformer
from shared.core.compile import Builder
from shared.core.definition import with_custom_id
from shared.core.event import Position, event_of
from shared.core.grammar import parse_definition
from shared.core.records import Rejection
from tests.kinesis import ARRIVAL, json_of
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


NAMED = """
def transform(event, context):
    if "name" in event:
        return {**event, event["name"]: "c1"}
"""


@pytest.mark.parametrize("name", ["custom_id", "JITSU_PROFILE_ID"])
def test_a_custom_id_is_an_identifier_that_makes_an_event_known(name):
    definition = with_custom_id(
        parse_definition(
            "name: b\nidentifiers: {u: {from: userId, known: true}, c: {from: anonymousId}}\n"
            "anonymous_profiles: false"
        )
    )
    builder, scanned = Builder(definition), Scan()
    lines = [
        json_of({"messageId": number, "timestamp": "2026-01-01", "anonymousId": "a1", **more})
        for number, more in enumerate([{}, {"name": name}, {"userId": "u1"}, {"userId": "u1", "name": name}])
    ]
    scan(builder, lines, scanned, LocalTransformer(NAMED, definition, lambda *_: None, {}))
    assert scanned.tally["events_dropped.no_known_identifier"] == 1
    [person] = link(scanned.groups)
    [profile] = fold(builder, [one for group in person for one in scanned.groups[group]], Counter())
    identifiers = msgspec.json.decode(profile.line)["identifiers"]
    assert identifiers == {"custom_id": ["c1"], "u": ["u1"], "c": ["a1"]}


def test_a_custom_id_that_a_builder_declares_is_the_builders():
    definition = parse_definition("name: b\nidentifiers: {custom_id: {from: properties.own, limit: 1}}")
    assert with_custom_id(definition) == definition
    assert with_custom_id(with_custom_id(a_definition())) == with_custom_id(a_definition())


def test_what_functions_print_is_logged_and_never_written_to_stdout(capsys):
    source = "print('loaded')\ndef transform(event, context): print('seen', context.env['KEY'], end='')"
    definition = msgspec.structs.replace(a_definition(), env=(("KEY", "s3cret"),))
    logged = []

    def log(level, text):
        logged.append((level, text))
        print("told", text)  # noqa: T201 - as a command does

    LocalTransformer(source, definition, log, {}).run([an_event()])
    assert logged == [("info", "loaded"), ("info", "seen ***")]
    assert capsys.readouterr().out == "told loaded\ntold seen ***\n"


def test_a_folder_without_a_chain_has_no_transformer():
    assert local_transformer({"builder.yaml": ""}, a_definition(), print, print) is None
    assert local_transformer({"transform.py": SOURCE}, a_definition(), print, print) is not None


def test_what_user_code_prints_goes_to_the_log_and_not_into_the_output(capsys):
    logged = []
    source = "print('loaded')\ndef transform(event, context):\n    print('one', 'event')\n"
    chain = LocalTransformer(source, a_definition(), lambda *line: logged.append(line), {})
    chain.run([an_event()])
    assert logged == [("info", "loaded"), ("info", "one event")]
    assert capsys.readouterr() == ("", "")
