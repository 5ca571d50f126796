"""The context in the sandbox: what user code reaches from a process without credentials, and what not."""

import msgspec
import pytest

from shared.adapters.sandbox import FunctionSandbox, Limits, Outside, Sandbox
from shared.app.user_store import MemoryUserValues, StoreUnavailableError
from shared.core.fetch_rules import FetchRules
from shared.core.functions import FunctionResult
from shared.core.sandbox import Program
from tests.app.functions_input import an_input
from tests.kinesis import json_of

SOURCE = """
from decimal import Decimal

def transform(event, context):
    store = context.store
    match event["do"]:
        case "count":
            store.set("count", (store.get("count") or 0) + 1, "7d")
            return {"count": store.get("count"), "ttl": store.ttl("count")}
        case "many":
            return {"made": [store.get_or_set(f"k{n}", lambda: Decimal("1.10")) for n in range(200)]}
        case "late":
            import threading
            seen = []
            thread = threading.Thread(target=lambda: seen.append(store.get_or_set("t", 7)))
            thread.start()
            thread.join()
            return {"seen": seen}
        case "large":
            store.set("large", "x" * 70_000)
        case "forged":
            from shared.core.user_store import Ask
            told = store._ask(Ask("set", "k" * 1000))
            return {"error": told.error}
        case "scope":
            return {"found": [store.get(key) for key in event["keys"]]}
        case "fetch":
            context.fetch(event["url"])
        case "warehouse":
            return {"rows": context.get_warehouse("main").query("SELECT :n + 1 AS n", {"n": event["n"]})}
        case "other warehouse":
            context.get_warehouse("other")
"""


def a_sandbox(values=None, version=1, **more):
    program = Program("customers", version, SOURCE, {}, warehouses={"main": "duckdb:///:memory:"}, **more)
    return Sandbox(program, Limits(event_s=20), Outside(values=values, now=lambda: 1_700_000_000_000))


@pytest.fixture(scope="module")
def values():
    return MemoryUserValues()


@pytest.fixture(scope="module")
def sandbox(values):
    made = a_sandbox(values, fetch=FetchRules(timeout_s=1.0))
    yield made
    made.close()


def run(sandbox, *events):
    return sandbox.run([msgspec.Raw(json_of(one)) for one in events], 60)


def made(answer):
    [one] = answer.made
    return msgspec.json.decode(one.text)


def test_the_store_keeps_values_between_events_and_processes(sandbox):
    counted = [made(one)["count"] for one in run(sandbox, *[{"do": "count"}] * 3)]
    assert counted == [1, 2, 3]
    sandbox.close()
    [again] = run(sandbox, {"do": "count"})
    assert made(again) == {"count": 4, "ttl": 7 * 86_400}


def test_the_store_answers_as_often_as_it_is_asked_and_from_any_thread(sandbox):
    many, late = run(sandbox, {"do": "many"}, {"do": "late"})
    assert bytes(many.made[0].text).count(b"1.10") == 200
    assert made(late) == {"seen": [7]}


def test_what_the_store_does_not_take_costs_its_event_also_past_its_own_checks(sandbox):
    large, forged, after = run(sandbox, {"do": "large"}, {"do": "forged"}, {"do": "count"})
    assert large.failure.detail.startswith("ValueError at transform.py")
    assert made(forged) == {"error": "the key or the value is too large"}
    assert made(after)["count"] > 0


def test_no_key_reaches_another_version(sandbox, values):
    other = a_sandbox(values, version=2)
    run(sandbox, {"do": "count"})
    keys = ["count", "customers#1#count", "1#count", "../1/count"]
    [found] = run(other, {"do": "scope", "keys": keys})
    assert made(found) == {"found": [None] * len(keys)}
    other.close()


def test_an_event_waits_for_a_store_that_cannot_be_reached():
    class Away(MemoryUserValues):
        def get(self, _):
            raise StoreUnavailableError("ThrottlingException")

    away = a_sandbox(Away())
    none = a_sandbox(None)
    for sandbox in (away, none):
        [answer] = run(sandbox, {"do": "count"})
        assert (answer.failure.reason, answer.failure.detail[:10]) == ("transform_retry", "StoreError")
        sandbox.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", "file:///x"])
def test_what_an_event_says_is_not_fetched_from_this_machine(sandbox, url):
    [answer] = run(sandbox, {"do": "fetch", "url": url})
    assert answer.failure.detail.startswith("FetchError at transform.py")


def test_where_the_builder_says_so_nothing_is_fetched():
    sandbox = a_sandbox()
    [answer] = run(sandbox, {"do": "fetch", "url": "https://example.com"})
    assert answer.failure.detail.startswith("FetchError at transform.py")
    sandbox.close()


def test_warehouses_are_queried_within_the_memory_that_user_code_has(sandbox):
    queried, other = run(sandbox, {"do": "warehouse", "n": 6}, {"do": "other warehouse"})
    assert made(queried) == {"rows": [{"n": 7}]}
    assert other.failure.detail.startswith("WarehouseError at transform.py")


def test_a_profile_function_has_the_same_context():
    source = """
async def profile(events, user, context):
    context.store.set(user.profile_id, [event["n"] for event in events])
    rows = context.get_warehouse("main").query("SELECT :id AS id", {"id": user.profile_id})
    return {"traits": {"kept": context.store.get(user.profile_id), "rows": rows}}
"""
    program = Program("customers", 1, source, {}, "profile.py", warehouses={"main": "duckdb:///:memory:"})
    sandbox = FunctionSandbox(program, Limits(), Outside(values=MemoryUserValues()))
    [answer] = sandbox.run([an_input([{"n": 1}, {"n": 2}])], 60, 20)
    assert answer.outcome == FunctionResult({"kept": [1, 2], "rows": [{"id": "p1"}]})
    sandbox.close()
