"""The code on the page of transformations does what the page says."""

import re
from types import SimpleNamespace

import pytest

from shared.app.user_store import MemoryUserValues, StoreDesk
from shared.core.chain import Chain
from shared.core.containers import decode_object
from shared.core.user_context import Tools, UserContext
from tests.docs.console import ROOT
from tests.kinesis import json_of

PAGE = (ROOT / "docs" / "transformations.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SINGLE, SEVERAL = (block for block in BLOCKS if "def " in block and "def test_" not in block)
CALLS = [block for block in BLOCKS if "def " not in block]
ORDER = {
    "event": "Order Completed",
    "properties": {"total": 12, "products": [{"sku": "a"}, {"sku": "b"}]},
}


def run(source, event):
    outcome = Chain(source, UserContext("b", 0, {}, lambda *_: None, {})).run(json_of(event))
    return outcome if outcome is None else [decode_object(bytes(one.text)) for one in outcome]


def test_the_function_on_the_page_drops_pages_and_names_customers():
    assert run(SINGLE, {"type": "page"}) == []
    [event] = run(SINGLE, {"type": "identify", "traits": {"customer_number": "7"}})
    assert event["custom_id"] == "7"


def test_the_chain_on_the_page_drops_robots_nets_totals_and_fans_out():
    assert run(SEVERAL, {"context": {"userAgent": "SomeBot"}}) == []
    assert run(SEVERAL, {"type": "page"}) is None
    order, first, second = run(SEVERAL, ORDER)
    assert order["properties"]["net"] == 10
    assert [one["properties"] for one in (first, second)] == ORDER["properties"]["products"]


def test_the_calls_on_the_page_do_what_it_says():
    desk = StoreDesk(MemoryUserValues(), "b", 0, lambda: 1_700_000_000_000)
    answered = SimpleNamespace(ok=True, json=lambda: {"segment": "a"})
    rows = [{"plan": "gold"}]
    warehouse = SimpleNamespace(query=lambda sql, params: rows if params == {"email": "a@b.c"} else sql)
    tools = Tools(desk, lambda _url, **_: answered, lambda _: warehouse)
    context = UserContext("b", 0, {}, lambda *_: None, {}, tools)
    event = {"timestamp": "2026-01-01"}
    names = {"context": context, "user": "ann", "event": event, "email": "a@b.c", "headers": {}}
    for call in CALLS:
        exec(call, names)  # noqa: S102 - our own page
    assert names["seen"] == context.store.get("first:ann") == "2026-01-01"
    assert context.store.ttl("first:ann") == 90 * 86_400
    assert event["segment"] == "a"
    assert names["rows"] == rows


@pytest.mark.parametrize(
    "path", ["transform.py", "profile.py", "tests/test_transform.py", "tests/test_profile.py"]
)
def test_the_template_of_a_new_builder_is_what_the_page_shows_the_use_of(path):
    text = (ROOT / "cli" / "template" / path).read_text()
    page = "functions.md" if path == "profile.py" else "transformations.md"
    assert f"docs/{page}" in text
