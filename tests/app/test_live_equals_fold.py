"""The promise on the sample stream: live gives, byte for byte, what `kith fold` gives."""

from itertools import count
from pathlib import Path
from random import Random

import msgspec
import pytest
from typer.testing import CliRunner

from cli.main import app
from shared.adapters.memory_store import MemoryStore
from shared.app.batch import Batch
from shared.app.frozen import complete
from shared.app.functions.local import LocalProfileFunction
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.retries import Retries
from shared.app.transform import LocalTransformer
from shared.core.compile import Builder
from shared.core.definition import with_custom_id
from shared.core.event import arrival_of
from shared.core.grammar import parse_definition
from tests.app.test_engine import lines
from tests.app.test_history import run_due
from tests.clocks import FakeClock
from tests.fakes.objects import FakeObjects
from tests.fakes.quarantine import FakeQuarantine
from tests.kinesis import aggregate_of, array_of, envelope, gzip_of, lines_of, zstd_of
from tests.people import in_batches

FOLDER = Path(__file__).parents[2] / "builders" / "customers"
SAMPLES = FOLDER / "samples" / "events.jsonl"


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    out = tmp_path_factory.mktemp("fold") / "profiles.jsonl"
    result = CliRunner().invoke(app, ["fold", str(SAMPLES), "--builder", str(FOLDER), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    return out.read_bytes().splitlines()


@pytest.mark.parametrize("seed", range(3))
def test_the_sample_stream_gives_the_same_profiles_live_as_folded(folded, seed):
    random = Random(seed)
    builder = Builder(parse_definition((FOLDER / "builder.yaml").read_text()))
    store = MemoryStore()
    ingest = Ingest(builder, store, FakeClock())
    objects = FakeObjects()
    batch = Batch(builder, 1, 0, ingest, FakeQuarantine(), Retries(objects, lambda: 0), Markers(objects))
    records = records_of(random, SAMPLES.read_bytes().splitlines())
    for envelopes in in_batches(random, records, largest=60):
        assert batch.run(envelopes).failed is None
        if random.random() < 0.2:  # the stream delivers the end of a batch again
            assert batch.run(envelopes[random.randrange(len(envelopes)) :]).tally["events_folded"] == 0
    assert lines(builder, store) == folded


CHAIN = """
def pages(event, context):
    if event["type"] == "page" and event["messageId"] < "4":
        return "drop"
    if event["type"] == "identify":
        event["traits"] = {**event.get("traits", {}), "seen": event["timestamp"]}
        return event

def orders(event, context):
    if event.get("event") == "Order Completed":
        return [{**event, "custom_id": "c" + event.get("userId", "")[-2:]}, {**event, "event": "Copied"}]

chain = [pages, orders]
"""


def test_a_chain_gives_the_same_profiles_live_as_folded(tmp_path):
    folder = tmp_path / "customers"
    folder.mkdir()
    for name, text in (("builder.yaml", (FOLDER / "builder.yaml").read_text()), ("transform.py", CHAIN)):
        (folder / name).write_text(text)
    out = tmp_path / "profiles.jsonl"
    result = CliRunner().invoke(app, ["fold", str(SAMPLES), "--builder", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "more by fan-out" in result.stderr

    random = Random(0)
    definition = with_custom_id(parse_definition((FOLDER / "builder.yaml").read_text()))
    builder, store, objects = Builder(definition), MemoryStore(), FakeObjects()
    transformer = LocalTransformer(CHAIN, definition, lambda *_: None, {})
    retries = Retries(objects, lambda: 0)
    ingest = Ingest(builder, store, FakeClock())
    batch = Batch(builder, 1, 0, ingest, FakeQuarantine(), retries, Markers(objects), transformer)
    for envelopes in in_batches(random, records_of(random, SAMPLES.read_bytes().splitlines()), largest=60):
        assert batch.run(envelopes).failed is None
        if random.random() < 0.2:  # the stream delivers the end of a batch again
            assert batch.run(envelopes[random.randrange(len(envelopes)) :]).tally["events_folded"] == 0
    assert lines(builder, store) == out.read_bytes().splitlines()


def records_of(random, texts):
    """Events as a producer sends them: one a record, or those of one arrival together in any form."""
    decode = msgspec.json.decode
    by_arrival = {}
    for text in texts:
        by_arrival.setdefault(arrival_of(decode(text)), []).append(text)
    sequence = count(1)
    pack = [
        array_of,
        lines_of,
        aggregate_of,
        lambda one: gzip_of(lines_of(one)),
        lambda one: zstd_of(array_of(one)),
    ]
    return [
        envelope(random.choice(pack)(together), arrival=arrival, sequence=f"{next(sequence):056}")
        for arrival, together in sorted(by_arrival.items())
    ]


PROFILE = """
from collections import Counter

def profile(events, user, context):
    counts = Counter(event["type"] for event in events)
    seen = [event["messageId"] for event in events]
    totals = sum(event.get("properties", {}).get("total", 0) for event in events)
    return {
        "traits": {"counts": dict(counts), "anonymousId": user.anonymous_id, "seen": seen, "total": totals},
        "profile_id": user.user_id,
    }
"""


@pytest.mark.parametrize("chain", [None, CHAIN])
def test_a_profile_function_gives_the_same_results_live_as_folded(tmp_path, chain):
    folder = tmp_path / "customers"
    folder.mkdir()
    files = {"builder.yaml": (FOLDER / "builder.yaml").read_text(), "profile.py": PROFILE}
    files |= {"transform.py": chain} if chain else {}
    for name, text in files.items():
        (folder / name).write_text(text)
    out = tmp_path / "profiles.jsonl"
    result = CliRunner().invoke(app, ["fold", str(SAMPLES), "--builder", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "without a result" not in result.stderr

    random = Random(1)
    definition = complete(parse_definition(files["builder.yaml"]), files)
    builder, store, objects = Builder(definition), MemoryStore(), FakeObjects()
    transformer = LocalTransformer(chain, definition, lambda *_: None, {}) if chain else None
    retries = Retries(objects, lambda: 0)
    function = LocalProfileFunction(PROFILE, definition, lambda *_: None, {})
    ingest = Ingest(builder, store, FakeClock())
    batch = Batch(builder, 1, 0, ingest, FakeQuarantine(), retries, Markers(objects), transformer)
    for envelopes in in_batches(random, records_of(random, SAMPLES.read_bytes().splitlines()), largest=60):
        assert batch.run(envelopes).failed is None
        if random.random() < 0.2:  # the stream delivers the end of a batch again
            assert batch.run(envelopes[random.randrange(len(envelopes)) :]).tally["events_folded"] == 0
        if random.random() < 0.1:
            run_due(builder, store, function)
    run_due(builder, store, function)
    assert lines(builder, store) == out.read_bytes().splitlines()
