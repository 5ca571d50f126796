"""Dispatch: each profile that changes made due gets one message, held back as long as the change says."""

import pytest

from shared import contract
from shared.adapters.sqs import QueueRefusedError, SqsQueue
from shared.app.functions.dispatch import Delayed, Dispatched, Due, dispatch


class FakeSqs:
    """A botocore client of SQS that keeps what is sent; `refuses` bodies."""

    def __init__(self, refuses=()):
        self.refuses = refuses
        self.sent = []
        self.held = []

    def send_message_batch(self, QueueUrl, Entries):  # noqa: N803 - boto3's names
        assert QueueUrl == "url"
        assert 0 < len(Entries) <= 10
        assert len({one["Id"] for one in Entries}) == len(Entries)
        failed = [{"Id": one["Id"]} for one in Entries if one["MessageBody"] in self.refuses]
        self.sent += [(one["MessageBody"], one["DelaySeconds"]) for one in Entries]
        return {"Failed": failed} if failed else {}

    def change_message_visibility(self, **request):
        self.held.append(request)


class FakeQueue:
    def __init__(self):
        self.sent = []

    def send(self, messages):
        self.sent += messages


def change(profile_id="p1", rev=1, delay_s=30, **changes):
    image = {
        contract.PROFILES_PK: {"S": f"shop#3#{profile_id}"},
        contract.PROFILES_SK: {"S": contract.SK_PROFILE},
        contract.PROFILES_DUE: {"N": str(delay_s)},
        "rev": {"N": str(rev)},
    }
    image |= changes
    return {"dynamodb": {"NewImage": {name: value for name, value in image.items() if value}}}


def message(profile_id="p1", rev=1, delay_s=30):
    return Delayed(Due("shop", 3, profile_id, rev), delay_s)


def test_a_change_that_made_a_profile_due_becomes_a_message():
    queue = FakeQueue()
    assert dispatch(queue, [change(rev=17, delay_s=0)]) == Dispatched(sent=1, unreadable=0)
    assert queue.sent == [message(rev=17, delay_s=0)]


def test_a_profile_that_changed_often_gets_one_message_for_the_last_change():
    queue = FakeQueue()
    records = [change(rev=2), change("p2", rev=7), change(rev=3), change(rev=1)]
    assert dispatch(queue, records) == Dispatched(sent=2, unreadable=0)
    assert queue.sent == [message(rev=3), message("p2", rev=7)]


def test_a_queue_holds_nothing_back_for_longer_than_it_can():
    queue = FakeQueue()
    dispatch(queue, [change(delay_s=5000)])
    assert queue.sent == [message(delay_s=900)]


@pytest.mark.parametrize(
    "record",
    [
        {"eventName": "REMOVE", "dynamodb": {"Keys": {}}},
        change(rev={}),
        change(**{contract.PROFILES_DUE: {}}),
        change(**{contract.PROFILES_DUE: {"N": "soon"}}),
        change(**{contract.PROFILES_PK: {"S": "shop#3"}}),
        change(**{contract.PROFILES_PK: {"S": "shop#three#p1"}}),
        {},
    ],
)
def test_what_tells_of_no_due_profile_is_counted_and_holds_up_no_other(record):
    queue = FakeQueue()
    assert dispatch(queue, [record, change()]) == Dispatched(sent=1, unreadable=1)
    assert queue.sent == [message()]


def test_messages_are_sent_by_tens():
    client = FakeSqs()
    SqsQueue(client, "url").send([message(f"p{number}", rev=number) for number in range(25)])
    assert len(set(client.sent)) == 25
    assert ('{"builder":"shop","version":3,"profile_id":"p7","rev":7}', 30) in client.sent


def test_nothing_to_send_is_sent_by_no_call():
    SqsQueue(None, "url").send([])


def test_a_message_that_is_refused_has_the_whole_batch_come_again():
    client = FakeSqs(refuses=['{"builder":"shop","version":3,"profile_id":"p1","rev":1}'])
    with pytest.raises(QueueRefusedError, match="1 of 2"):
        SqsQueue(client, "url").send([message(), message("p2")])
