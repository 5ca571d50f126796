"""The README's table of costs is what its own prices give."""

from tests.docs.console import ROOT

KINESIS_IN, KINESIS_OUT = 0.08, 0.04  # per GB
LAMBDA = 0.0000133334  # per GB and second, arm64
WRITE, READ = 0.625, 0.125  # per million units
EVENT_BYTES = 1024


def costs(write_units, read_units):
    gb = 1_000_000 * EVENT_BYTES / 2**30
    return [
        gb * (KINESIS_IN + KINESIS_OUT),
        1_000_000 / 2000 * 1769 / 1024 * LAMBDA,
        write_units * WRITE,
        read_units * READ,
    ]


def test_the_table_adds_up():
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    rows = [line for line in table if line.startswith(("| Kinesis", "| Lambda", "| DynamoDB"))]
    shown = [[float(cell) for cell in row.strip("| ").split(" | ")[-2:]] for row in rows]
    sessions, alone = costs(0.80, 0.05), costs(2, 1)
    assert shown == [
        [round(one + 1e-9, 2), round(other + 1e-9, 2)] for one, other in zip(sessions, alone, strict=True)
    ]
    assert f"| **{sum(sessions):.2f}** | **{sum(alone):.2f}** |" in (ROOT / "README.md").read_text()
