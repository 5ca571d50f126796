"""`kith fold`: files in, canonical lines out; the same however the work is split."""

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from cli.fold_parts import lines_of, parts_of
from cli.main import app
from shared.core.containers import EVENT_BYTES_MAX, LINE_BYTES_MAX

CUSTOMERS = Path(__file__).parents[2] / "builders" / "customers"
SAMPLES = CUSTOMERS / "samples" / "events.jsonl"


def kith(*files, out="out.jsonl", builder=CUSTOMERS, workers=1):
    arguments = ["fold", *files, "--builder", builder, "--out", out, "--workers", workers]
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_profiles_come_out_as_canonical_lines_sorted_by_id():
    result = kith(SAMPLES)
    assert result.exit_code == 0
    assert result.stdout == ""
    lines = Path("out.jsonl").read_bytes().splitlines()
    profiles = [json.loads(line) for line in lines]
    ids = [profile["profile_id"] for profile in profiles]
    assert len(ids) > 100
    assert ids == sorted(set(ids))
    assert all(line.startswith(b'{"attributes":{') for line in lines)
    assert not SAMPLES.with_name("events.jsonl.rejected").exists()


def test_workers_files_order_and_repetition_change_not_one_byte():
    assert kith(SAMPLES).exit_code == 0
    expected = Path("out.jsonl").read_bytes()
    lines = SAMPLES.read_bytes().splitlines(keepends=True)
    lines += lines[::7]
    Random(1).shuffle(lines)
    Path("b.jsonl").write_bytes(b"".join(lines[:900]))
    Path("a.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[900:])))
    result = kith("b.jsonl", "a.jsonl.gz", out="other.jsonl", workers=2)
    assert result.exit_code == 0, result.stderr
    assert Path("other.jsonl").read_bytes() == expected


@pytest.mark.parametrize("events", [1, 2000])
def test_a_reader_of_stdout_that_has_enough_is_no_error_to_tell(events):
    lines = SAMPLES.read_bytes().splitlines(keepends=True)
    Path("in.jsonl").write_bytes(b"".join(lines[:events]))
    reader, writer = os.pipe()
    os.close(reader)
    program = "from cli.main import main; main()"
    arguments = ["fold", "in.jsonl", "--builder", str(CUSTOMERS), "--out", "-"]
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", program, *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_profiles_go_to_stdout_when_asked(capfdbinary):
    assert kith(SAMPLES).exit_code == 0
    result = kith(SAMPLES, out="-")
    assert result.stdout_bytes + capfdbinary.readouterr().out == Path("out.jsonl").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_lines_go_beside_the_file_with_their_reason(workers):
    good = SAMPLES.read_bytes().splitlines(keepends=True)[:200]
    bad = [b"{nope\n", b'{"anonymousId": "a"}\n', b"\xff\xfe\n"]
    Path("events.jsonl").write_bytes(b"".join([*good[:150], *bad, b"\n", *good[150:], b"[]"]))
    result = kith("events.jsonl", workers=workers)
    assert result.exit_code == 0
    assert "events.jsonl: 4 lines rejected, see events.jsonl.rejected" in result.stderr
    rejected = [json.loads(line) for line in Path("events.jsonl.rejected").read_text().splitlines()]
    assert rejected == [
        {"line": 151, "reason": "not_json", "data": "{nope"},
        {"line": 152, "reason": "no_arrival", "data": '{"anonymousId": "a"}'},
        {"line": 153, "reason": "not_json", "data_base64": "//4="},
        {"line": 205, "reason": "not_an_object", "data": "[]"},
    ]
    Path("events.jsonl").write_bytes(b"".join(good))
    assert kith("events.jsonl", workers=workers).exit_code == 0
    assert not Path("events.jsonl.rejected").exists(), "those of an earlier run are gone"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("transformed", [False, True])
def test_of_a_line_too_large_for_an_event_only_the_beginning_is_kept(compressed, workers, transformed):
    builder = a_builder("def transform(event, context):\n    return event\n" if transformed else None)
    good = SAMPLES.read_bytes().splitlines(keepends=True)[:200]
    Path("good.jsonl").write_bytes(b"".join(good))
    assert kith("good.jsonl", builder=builder).exit_code == 0
    expected = Path("out.jsonl").read_bytes()
    blank = b" " * (4 * EVENT_BYTES_MAX)
    long = [
        b"\0" * (3 * EVENT_BYTES_MAX),
        b"x" + "é".encode() * (2 * EVENT_BYTES_MAX),
        good[0].rstrip() + blank,  # what is read of it is an event
        blank + good[1].rstrip(),  # what is read of it is blank
        b"y" * LINE_BYTES_MAX,
        b"z" * (EVENT_BYTES_MAX + 1),
    ]
    lines = [line for one in long for line in (*good[:20], one + b"\n")]
    text = b"".join([*lines, *good]) + b"w" * (2 * LINE_BYTES_MAX)
    Path("in.jsonl").write_bytes(gzip.compress(text, 1) if compressed else text)
    result = kith("in.jsonl", builder=builder, workers=workers)
    assert result.exit_code == 0, result.stderr
    assert "7 lines rejected" in result.stderr
    assert Path("out.jsonl").read_bytes() == expected
    rejected = [json.loads(line) for line in Path("in.jsonl.rejected").read_text().splitlines()]
    assert [one["line"] for one in rejected] == [21, 42, 63, 84, 105, 126, 327]
    assert {one["reason"] for one in rejected} == {"too_large"}
    assert {one["detail"] for one in rejected} == {
        "an event has at most 1048576 bytes; here are at most the first 1024 of its line"
    }
    data = [one["data"] for one in rejected]
    assert data == [
        "\0" * 1024,
        "x" + "é" * 511,
        good[0][:1024].decode().strip(),
        "",
        "y" * 1024,
        "z" * 1024,
        "w" * 1024,
    ]


def test_a_bomb_of_one_line_takes_no_more_memory_than_an_event():
    with gzip.open("bomb.gz", "wb", 1) as file:
        for _ in range(256):
            file.write(b"\0" * 2**20)
    parts = parts_of(Path("bomb.gz"), 2**30)
    tracemalloc.start()
    try:
        assert [len(line) for part in parts for line in lines_of(part)] == [LINE_BYTES_MAX]
        assert tracemalloc.get_traced_memory()[1] < 8 * EVENT_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_an_empty_file_gives_no_profiles():
    Path("empty.jsonl").touch()
    result = kith("empty.jsonl")
    assert result.exit_code == 0
    assert Path("out.jsonl").read_bytes() == b""
    assert result.stderr == "0 events, 0 profiles\n"


def test_a_builder_that_is_none_says_all_that_is_wrong():
    Path("bad").mkdir()
    Path("bad/builder.yaml").write_text("name: bad\n")
    result = kith(SAMPLES, builder="bad")
    assert result.exit_code == 1
    assert "bad/builder.yaml:1:" in result.stderr
    Path("none").mkdir()
    assert "none/builder.yaml does not exist" in kith(SAMPLES, builder="none").stderr


def test_what_cannot_be_written_or_read_is_told_in_a_sentence():
    result = kith(SAMPLES, out="no/such/folder")
    assert result.exit_code == 1
    assert result.stderr.startswith("kith: cannot fold: ")
    Path("cut.gz").write_bytes(gzip.compress(SAMPLES.read_bytes())[:2000])
    assert kith("cut.gz").exit_code == 1


def no_rejected(path):
    return not Path(f"{path}.rejected").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pipe_is_refused_with_what_to_do_and_never_waited_for(workers):
    os.mkfifo("fifo")
    result = kith("fifo", workers=workers)
    assert result.exit_code == 1
    assert result.stderr.startswith("kith: fifo is a pipe or a device: write it to a file first")
    assert not Path("out.jsonl").exists()


A_LINE = b'{"messageId":"m","timestamp":"2026-01-05T00:00:00Z","anonymousId":"c"}\n'


@pytest.mark.parametrize(
    "out", ["a.jsonl", "link", "hard", "a.jsonl.rejected", "sub/../a.jsonl.rejected", "a.json"]
)
def test_what_is_read_or_rejected_is_never_overwritten(out):
    Path("sub").mkdir()
    name = "a.json.partial" if out == "a.json" else "a.jsonl"
    Path(name).write_bytes(A_LINE + b"{nope\n")
    Path("link").symlink_to(name)
    Path("hard").hardlink_to(name)
    result = kith(name, out=out)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"kith: cannot fold: --out {out} ")
    assert Path(name).read_bytes() == A_LINE + b"{nope\n"
    assert no_rejected(name)


def test_a_file_is_not_read_beside_the_file_whose_rejected_lines_it_takes():
    Path("a.jsonl").write_bytes(A_LINE)
    Path("a.jsonl.rejected").write_bytes(A_LINE)
    result = kith("a.jsonl", "a.jsonl.rejected")
    assert result.exit_code == 1
    assert "rename it, or fold it alone" in result.stderr
    assert Path("a.jsonl.rejected").read_bytes() == A_LINE
    assert kith("a.jsonl.rejected").exit_code == 0


@pytest.mark.parametrize("out", [".", "no/out.jsonl"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_folded(out, monkeypatch):
    monkeypatch.setattr("cli.fold._fold", lambda *_: pytest.fail("folded"))
    result = kith(SAMPLES, out=out)
    assert result.exit_code == 1
    assert result.stderr.startswith("kith: cannot fold: ")


def test_a_folder_that_may_not_be_written_is_told_before_anything_is_folded(monkeypatch):
    monkeypatch.setattr("cli.fold._fold", lambda *_: pytest.fail("folded"))
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    assert "cannot be written" in kith(SAMPLES).stderr


def test_a_device_takes_profiles_and_stays_what_it_is():
    Path("null").symlink_to(os.devnull)
    assert kith(SAMPLES, out="null").exit_code == 0
    assert Path("null").is_symlink()
    assert sorted(path.name for path in Path().iterdir()) == ["null"]


def test_a_pipe_takes_profiles():
    assert kith(SAMPLES).exit_code == 0
    os.mkfifo("pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(Path("pipe").read_bytes)
        assert kith(SAMPLES, out="pipe").exit_code == 0
        assert read.result(timeout=30) == Path("out.jsonl").read_bytes()


def test_a_link_leads_to_the_profiles_afterwards():
    Path("link").symlink_to("target.jsonl")
    assert kith(SAMPLES, out="link").exit_code == 0
    assert Path("link").is_symlink()
    assert Path("target.jsonl").stat().st_size > 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("damage", ["bits", "check", "cut", "more"])
def test_a_damaged_gzip_is_named(damage, workers):
    packed = bytearray(gzip.compress(SAMPLES.read_bytes()))
    if damage == "bits":
        packed[2000:2100] = b"\xff" * 100
    elif damage == "check":
        packed[-6] ^= 1
    elif damage == "cut":
        del packed[-2000:]
    else:
        packed += b"no gzip"
    Path("bad.gz").write_bytes(packed)
    result = kith(SAMPLES, "bad.gz", workers=workers)
    assert result.exit_code == 1
    assert result.stderr == (
        "kith: cannot fold: the compressed data of bad.gz is damaged, or ends too early\n"
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_byte_order_mark_is_no_part_of_the_first_line(compressed, workers):
    text = A_LINE + b"{nope\n"
    Path("plain.jsonl").write_bytes(text)
    assert kith("plain.jsonl").exit_code == 0
    expected = Path("out.jsonl").read_bytes()
    marked = b"\xef\xbb\xbf" + text
    Path("marked.jsonl").write_bytes(gzip.compress(marked) if compressed else marked)
    result = kith("marked.jsonl", workers=workers)
    assert "1 event, 1 profile, 1 line rejected" in result.stderr
    assert "marked.jsonl: 1 line rejected, see marked.jsonl.rejected" in result.stderr
    assert Path("out.jsonl").read_bytes() == expected
    assert Path("marked.jsonl.rejected").read_bytes() == Path("plain.jsonl.rejected").read_bytes()


def a_builder(transform=None, **files):
    Path("builder").mkdir(exist_ok=True)
    Path("builder/builder.yaml").write_text((CUSTOMERS / "builder.yaml").read_text())
    for name, text in {**files, **({"transform": transform} if transform else {})}.items():
        Path(f"builder/{name}.py").write_text(text)
    return "builder"


TRANSFORM = """
from kith import RetryError

def only_people(event, context):
    if event["type"] == "page":
        return "drop"
    if event["type"] == "identify":
        raise ValueError("of " + event["messageId"])
    if event.get("event") == "Order Completed":
        event["custom_id"] = "c_" + event.get("userId", "u_0")
        return [event, {**event, "event": "Copied"}]
    if event.get("event") == "Products Searched":
        raise RetryError("later")
    context.log.info("seen", type=event["type"])

chain = [only_people]
"""


def test_a_chain_is_run_and_what_it_does_is_told():
    result = kith(SAMPLES, builder=a_builder(TRANSFORM))
    assert result.exit_code == 0
    profiles = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    custom = {one for profile in profiles for one in profile["identifiers"].get("custom_id", [])}
    assert custom
    assert all(one.startswith("c_u_") for one in custom)
    assert " more by fan-out, " in result.stderr
    assert " dropped (transform)" in result.stderr
    rejected = [json.loads(line) for line in Path(f"{SAMPLES}.rejected").read_text().splitlines()]
    assert {one["reason"] for one in rejected} == {"transform_error", "transform_retry"}
    assert {one["detail"] for one in rejected} == {
        "ValueError at transform.py:8",
        "RetryError at transform.py:13",
    }
    lines = [line for line in result.stderr.splitlines() if line.startswith("builder/transform.py: ")]
    assert lines[0] == "builder/transform.py: info: seen type=track"
    assert len(lines) == 101


def test_a_chain_gives_the_same_in_parts_and_in_several_processes():
    builder = a_builder(TRANSFORM)
    assert kith(SAMPLES, builder=builder).exit_code == 0
    rejected = Path(f"{SAMPLES}.rejected").read_bytes()
    assert kith(SAMPLES, builder=builder, out="other.jsonl", workers=2).exit_code == 0
    assert Path("other.jsonl").read_bytes() == Path("out.jsonl").read_bytes()
    assert Path(f"{SAMPLES}.rejected").read_bytes() == rejected


def test_rejected_lines_stand_in_their_order_whatever_rejected_them():
    builder = a_builder(TRANSFORM)
    lines = SAMPLES.read_bytes().splitlines(keepends=True)
    mixed = [
        one for index, line in enumerate(lines) for one in ([line, b"{nope\n"] if index % 9 == 0 else [line])
    ]
    Path("in.jsonl").write_bytes(b"".join(mixed))
    written = set()
    for workers in (1, 2, 5):
        assert kith("in.jsonl", builder=builder, workers=workers).exit_code == 0
        written.add(Path("in.jsonl.rejected").read_bytes())
    assert len(written) == 1
    rejected = [json.loads(line) for line in written.pop().splitlines()]
    assert len({one["reason"] for one in rejected}) == 3
    numbers = [one["line"] for one in rejected]
    assert numbers == sorted(numbers)


def test_a_worker_that_ends_is_told():
    builder = a_builder("import os\n\ndef leave(event, context):\n    os._exit(0)\n\nchain = [leave]\n")
    result = kith(SAMPLES, builder=builder, workers=2)
    assert result.exit_code == 1
    assert result.stderr.startswith("kith: a worker ended: ")


def test_a_chain_that_cannot_be_run_is_told_with_its_line():
    result = kith(SAMPLES, builder=a_builder("import json\nlimits = {}\nlimit = limits['x']\n"))
    assert result.exit_code == 1
    assert result.stderr == "kith: builder/transform.py:3: cannot be run: KeyError: 'x'\n"


def test_what_is_too_large_for_memory_is_folded_in_parts(monkeypatch):
    assert kith(SAMPLES).exit_code == 0
    monkeypatch.setattr("cli.fold_parts.PART_BYTES_MAX", 700_000)
    assert kith(SAMPLES, out="other.jsonl").exit_code == 0
    assert Path("other.jsonl").read_bytes() == Path("out.jsonl").read_bytes()
