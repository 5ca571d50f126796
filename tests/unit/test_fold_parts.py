"""How `kith fold` cuts files into parts and deals people out: no line is lost, and nothing changes by it."""

import gzip
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.fold_parts import Part, Worker, deal, lines_of, number_lines, parts_of
from shared.core.compile import Builder
from tests.app.test_fold import folded
from tests.app.test_fold import lines_of as as_lines
from tests.people import a_definition, any_stream


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab", max_size=6), max_size=12), st.booleans(), st.integers(1, 20), st.booleans())
def test_parts_hold_every_line_once_in_order_however_a_file_is_cut(texts, ends, part_bytes, marked):
    content = "\n".join(texts).encode() + (b"\n" if ends else b"")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(b"\xef\xbb\xbf" * marked + content)
        parts = parts_of(file, part_bytes)
        assert [line for part in parts for line in lines_of(part)] == content.splitlines(keepends=True)


ODD_LINES = (
    b"",
    b"  ",
    b"{",
    b"[1]",
    b'{"anonymousId":"c"}',
    b'{"anonymousId":"c","timestamp":"never"}',
    b'{"receivedAt":"2026-01-05T00:00:00Z"}',
    b'{"timestamp":"2026-01-05T00:00:00Z","anonymousId":"c"}',
    b'{"messageId":"m1","timestamp":"2026-01-05T00:00:00Z","anonymousId":["c"]}',
    b'{"messageId":"m2","timestamp":"2026-01-05T00:00:00Z","anonymousId":true,"userId":7}',
    b'{"messageId":"m3","timestamp":"2026-01-05T00:00:00Z","anonymousId":"null"}',
    b'{"messageId":"m4","timestamp":"2026-01-05T00:00:00Z","context":null,"userId":"u1"}',
    b'{"messageId":"m5","timestamp":"2026-01-05T00:00:00Z","context":{"anonymous":true},"userId":"u1"}',
    b'{"messageId":"m6","timestamp":"2026-01-05T00:00:00Z","userId":"u1","properties":{"total":"dear"}}',
    b'{"messageId":"m7","timestamp":"2026-01-05T00:00:00Z","userId":1,"userId":"u1"}',
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.booleans())
def test_parts_and_shares_fold_to_what_reading_all_at_once_gives(seed, parts, shares, ends, compressed):
    random, builder = Random(seed), Builder(a_definition())
    lines = [*as_lines(any_stream(random)), *random.choices(ODD_LINES, k=10)]
    random.shuffle(lines)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        text = b"\n".join(lines) + b"\n" * ends
        file.write_bytes(gzip.compress(text) if compressed else text)
        cut = parts_of(file, -(-file.stat().st_size // parts))
        worker = Worker(builder, None, cut, Path(folder))
        reads = [worker.read(number) for number in range(len(cut))]
        dealt = [worker.fold(share) for share in deal(reads, shares)]
        placed = [one for share in dealt for one in share.rejected.get(file, ())]
        rejected = [one for read in reads for one in read.rejected] + number_lines(file, placed)
    expected, scanned = folded(builder, text.splitlines(keepends=True))
    assert [line for _, line in sorted(one for share in dealt for one in share.finished())] == expected
    tally = Counter()
    for one in (*reads, *dealt):
        tally.update(one.tally)
    assert +tally == +scanned.tally
    assert rejected == scanned.rejected


def test_a_compressed_file_is_one_part(tmp_path):
    file = tmp_path / "events.gz"
    file.write_bytes(gzip.compress(b"a\nb\n" * 1000))
    assert parts_of(file, 10) == [Part(file, 0, None)]
    assert len(list(lines_of(parts_of(file, 10)[0]))) == 2000
