"""The README's table of costs is what its own prices give, and the sample stream takes the units it says."""

from zlib import crc32

import pytest

from benchmarks.ingestion import Process
from benchmarks.report import customers
from benchmarks.stub import Tables
from shared.app.send import PartitionKeys
from shared.core.containers import decode_object
from tests.docs.console import ROOT

KINESIS_IN, KINESIS_OUT = 0.08, 0.04  # per GB
KINESIS_KEPT = 0.10  # per GB and month, from the second day on
READERS = 2  # the active version, and the archiver
LAMBDA = 0.0000133334  # per GB and second, arm64
S3_PUT, S3_KEPT = 0.005 / 1000, 0.023  # per object; per GB and month
WRITE, READ = 0.625, 0.125  # per million units
EVENTS, EVENT_BYTES = 1_000_000, 1024
OBJECT_BYTES, ARCHIVED_BYTES = 6_000_000, 84  # a batch of Lambda's; an event, compressed

SESSIONS, CLICKSTREAM = (0.72, 0.09), (1.77, 0.82)


def costs(write_units, read_units):
    gb = EVENTS * EVENT_BYTES / 2**30
    ingest, archive = EVENTS / 2000 * 1769 / 1024, EVENTS / 10_000 * 512 / 1024
    return [
        gb * (KINESIS_IN + READERS * KINESIS_OUT + KINESIS_KEPT * 6 / 30),
        (ingest + archive) * LAMBDA,
        EVENTS * (EVENT_BYTES / OBJECT_BYTES * S3_PUT + ARCHIVED_BYTES / 2**30 * S3_KEPT),
        write_units * WRITE,
        read_units * READ,
    ]


def test_the_table_adds_up():
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    rows = [line for line in table if line.startswith(("| Kinesis", "| Lambda", "| S3", "| DynamoDB"))]
    shown = [[float(cell) for cell in row.strip("| ").split(" | ")[-2:]] for row in rows]
    sessions, clickstream = costs(*SESSIONS), costs(*CLICKSTREAM)
    assert shown == [
        [round(one + 1e-9, 2), round(other + 1e-9, 2)]
        for one, other in zip(sessions, clickstream, strict=True)
    ]
    assert f"| **{sum(sessions):.2f}** | **{sum(clickstream):.2f}** |" in (ROOT / "README.md").read_text()


def test_the_sample_stream_takes_the_units_that_are_shown():
    builder, tables = customers(), Tables()
    keys = PartitionKeys(lambda: [builder.definition])
    lines = (ROOT / "builders" / "customers" / "samples" / "events.jsonl").read_bytes().splitlines()
    shards = [[], []]
    for line in lines:
        shards[crc32(keys.of(decode_object(line), line).encode()) % 2].append((1_795_600_000_000, line))
    processes = [Process(builder, tables=tables) for _ in shards]
    for at in range(0, max(map(len, shards)), 500):
        for process, shard in zip(processes, shards, strict=True):
            assert process.deliver(shard[at : at + 500]).failed is None
    units = [process.store.units for process in processes]
    measured = (sum(one.writes for one in units) / len(lines), sum(one.reads for one in units) / len(lines))
    assert measured == pytest.approx(SESSIONS, abs=0.03)
