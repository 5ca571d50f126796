"""Bytes that mean harm, a few each time: what was found once, and what hypothesis makes of good input."""

import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import fuzz, main
from tests.fuzz.bounds import TooMuchError, run
from tests.fuzz.faulty import FAULTY
from tests.fuzz.target import Target, corpus
from tests.fuzz.targets import TARGETS
from tests.kinesis import gzip_of, zstd_of
from tests.soaking import share_s

FIND_S_MAX = 20
TOKENS = (
    *(
        b'"',
        b"\\",
        b"\\ud800",
        b"\x00",
        b"\xff",
        b"\xff\xff\xff\xff",
        b"{",
        b"[",
        b"]",
        b"}",
        b",",
        b":",
        b"\n",
    ),
    *(b"1e400", b"-0", b"1E+999999999999999999", b"null", b'"messageId"', b'"traits"', b"\x1f\x8b", b"\xc1"),
)


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_and_the_corpus_of_what_was_found_are_read_or_refused(name):
    target = TARGETS[name]
    for data in [b"", *target.seeds(), *corpus(name)]:
        run(target, data)


@st.composite
def damaged(draw, seeds):
    """Good input with some bytes changed, cut, doubled, put in, or taken from other input."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 1 + len(data) // 4)))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] ^= draw(st.integers(1, 255))
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:at] = draw(st.sampled_from(TOKENS))
            case 4:
                data[at:end] = draw(st.binary(max_size=8))
            case 5:
                other = draw(st.sampled_from(seeds))
                data[at:] = other[min(at, len(other)) :]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_or_refused(name):
    target = TARGETS[name]
    seeds = [*target.seeds(), *corpus(name)]

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(seeds))
    def check(data):
        run(target, data)

    check()


def zstd_bomb(size, begins=b"", *, tells=True):
    """A frame of some bytes and so many zeros, which takes no time to make."""
    blocks = size // 2**17
    told = b"\xc0\x58" + (size + len(begins)).to_bytes(8, "little") if tells else b"\x00\x58"
    start = (len(begins) << 3).to_bytes(3, "little") + begins if begins else b""
    zeros, last_zeros = ((2**17 << 3 | 2 | is_last).to_bytes(3, "little") + b"\0" for is_last in (0, 1))
    return b"\x28\xb5\x2f\xfd" + told + start + zeros * (blocks - 1) + last_zeros


def zlib_bomb(size, begins=b"", byte=b"\0"):
    return zlib.compress(begins + byte * size, 1)


BOMBS = {
    "an array of numbers": ("record", lambda: zstd_of(b"[" + b"1," * 1_900_000 + b"1]")),
    "an event of empty objects": ("record", lambda: zstd_of(b'{"a":[' + b"{}," * 300_000 + b"1]}")),
    "blank lines": ("record", lambda: gzip_of(b"\n" * 2**25)),
    "an archive of line ends": ("archive_object", lambda: gzip_of(b"\n" * 2**26)),
    "a chunk of zeros": ("history", lambda: zstd_bomb(2**33)),
    "a delta of zeros": ("delta", lambda: b"\x02" + zlib_bomb(2**27)),
    "a profile of zeros": ("chunks", lambda: b"\x01" + zlib_bomb(2**27)),
    "a profile of empty lists": (
        "chunks",
        lambda: b"\x01" + zlib_bomb(2**27, b"\x81\xa5state\xdd\x08\0\0\0", b"\x90"),
    ),
    "names of zeros": ("names", lambda: zstd_bomb(2**33)),
    "links of zeros": ("links", lambda: zstd_bomb(2**33)),
    "a spool of one frame": ("spool", lambda: zstd_bomb(2**33, b"\xff\xff\xff\xff")),
    "a block of zeros": ("rebuild", lambda: zstd_bomb(2**33, b"\0\0\0\0\xff\xff\xff\xff")),
    "a block that does not say how much it holds": ("rebuild", lambda: zstd_bomb(2**33, tells=False)),
}
"""Well below a few hundred KB each, which a record, an object or an item may have."""
BOMB_BYTES_MAX = 640 * 2**20
"""A worker of a rebuild, which has three times as much, may hold half a gigabyte of a block."""


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_far_more_is_read_or_refused_within_bounds(name):
    target, bomb = BOMBS[name]
    run(TARGETS[target], bomb(), memory_bytes_max=BOMB_BYTES_MAX)


@pytest.mark.parametrize(
    "harm", [FAULTY["goes_on"], Target(lambda _: bytearray(2**27), list)], ids=["goes on", "fills memory"]
)
def test_what_takes_too_much_is_found_out(harm):
    """The negative control of the bounds that every input has here."""
    with pytest.raises(TooMuchError):
        run(harm, b"kith \x7f\x00", cpu_s_max=0.2, memory_bytes_max=2**26)


@pytest.mark.parametrize("name", FAULTY)
def test_the_fuzzer_finds_what_takes_a_few_bytes_to_find(name, tmp_path):
    """The negative control: a fuzzer that finds nothing proves nothing."""
    pytest.importorskip("atheris", reason="atheris has no wheel for this system")
    folders = {"corpus": tmp_path / "corpus", "kept": tmp_path / "kept"}
    assert fuzz(name, FIND_S_MAX, **folders, input_s_max=1, memory_mb_max=256) == (name, False)
    [found] = (tmp_path / "corpus" / name).iterdir()
    assert found.read_bytes().startswith(b"kith")


@pytest.mark.soak
def test_everything_that_reads_bytes_is_fuzzed_for_as_long_as_asked():
    pytest.importorskip("atheris", reason="atheris has no wheel for this system")
    assert main(["--time", str(int(share_s("fuzzing")))]) == 0
