"""The code on the page of transformations does what the page says."""

import re

import pytest

from shared.core.chain import Chain
from shared.core.containers import decode_object
from shared.core.user_context import UserContext
from tests.docs.console import ROOT
from tests.kinesis import json_of

PAGE = (ROOT / "docs" / "transformations.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SINGLE, SEVERAL = (block for block in BLOCKS if "def test_" not in block)
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


@pytest.mark.parametrize("path", ["transform.py", "tests/test_transform.py"])
def test_the_template_of_a_new_builder_is_what_the_page_shows_the_use_of(path):
    text = (ROOT / "cli" / "template" / path).read_text()
    assert "docs/transformations.md" in text
