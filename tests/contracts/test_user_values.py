"""What user code keeps, in memory and on an engine of DynamoDB: the same contract for both."""

import threading

import botocore.session
import pytest

from shared.adapters.dynamo.user_values import DynamoUserValues
from shared.app.user_store import Held, MemoryUserValues, StoreDesk, StoreUnavailableError
from shared.contract import USER_STORE_PK
from shared.core.user_store import UserStore
from tests.contracts.engines import CREDENTIALS

NOW_S = 1_700_000_000
TABLE = "user-store"


@pytest.fixture(scope="module")
def client(ministack_endpoint):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        made = botocore.session.get_session().create_client("dynamodb", endpoint_url=ministack_endpoint)
        made.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": USER_STORE_PK, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": USER_STORE_PK, "KeyType": "HASH"}],
        )
        yield made
        made.close()


@pytest.fixture(params=["memory", "dynamo"])
def values(request):
    if request.param == "memory":
        return MemoryUserValues()
    return DynamoUserValues(request.getfixturevalue("client"), TABLE)


def test_what_is_put_is_there_until_it_is_deleted(values):
    assert values.get("put") is None
    for held in (Held(b'{"a":1.10}', NOW_S), Held('"ü\U0001f600"'.encode(), None)):
        values.put("put", held)
        assert values.get("put") == held
    values.delete("put")
    values.delete("put")
    assert values.get("put") is None


def test_what_is_dead_is_still_there_and_makes_way_for_what_lives(values):
    dead, live, other = Held(b"1", NOW_S), Held(b"2", NOW_S + 60), Held(b"3", None)
    values.put("dead", dead)
    assert values.get("dead") == dead
    assert values.put_if_dead("dead", live, NOW_S) is None
    assert values.put_if_dead("dead", other, NOW_S) == live
    assert values.get("dead") == live
    assert values.put_if_dead("dead", other, NOW_S + 60) is None
    assert values.put_if_dead("dead", live, NOW_S + 1e9) == other, "what is for good never dies"


def test_of_many_that_find_nothing_all_return_what_one_of_them_kept(values):
    desk = StoreDesk(values, "customers", 1, lambda: NOW_S * 1000)
    results = []
    threads = [
        threading.Thread(target=lambda own=number: results.append(UserStore(desk).get_or_set("once", own)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert set(results) == {UserStore(desk).get("once")}


def test_values_of_builders_and_versions_are_apart(values):
    stores = [
        UserStore(StoreDesk(values, builder, version, lambda: NOW_S * 1000))
        for builder, version in (("a", 1), ("a", 11), ("b", 1))
    ]
    for number, store in enumerate(stores):
        store.set("k", number)
    assert [store.get("k") for store in stores] == [0, 1, 2]


def test_a_table_that_is_not_there_is_a_store_that_cannot_be_reached(client):
    missing = DynamoUserValues(client, "missing")
    with pytest.raises(StoreUnavailableError, match="ResourceNotFoundException"):
        missing.get("k")
