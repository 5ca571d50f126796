"""What `kith fold` says of values that it could not use."""

import json
from pathlib import Path

import pytest

from tests.unit.test_cli_fold import kith


@pytest.mark.parametrize("workers", [1, 2])
def test_values_that_could_not_be_used_are_counted(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    at = {"timestamp": "2026-01-01T00:00:00Z", "userId": "ann"}
    order = {"type": "track", "event": "Order Completed", "properties": {"total": "many"}}
    events = [at | order, at | order, at | {"anonymousId": "x" * 2000}, at]
    Path("odd.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    result = kith("odd.jsonl", workers=workers)
    unused = "max_order_value (2), min_order_value (2), total_order_value (2), cookie_id too_long (1)"
    assert result.stderr.splitlines() == [
        "4 events, 1 profile, 1 duplicate",
        f"values that could not be used: {unused}",
    ]
