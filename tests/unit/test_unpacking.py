"""Unpacking: what was packed comes back, and nothing comes to more than whoever asks allows."""

import gzip
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.core.unpacking import (
    PackedError,
    unpack_any_zstd,
    unpack_gzip,
    unpack_zlib,
    unpack_zstd,
    zstd_frames,
)
from tests.kinesis import gzip_of, sizeless_zstd_of, zstd_of

BYTES_MAX = 2**20
WAYS = {
    "zlib": (zlib.compress, unpack_zlib),
    "gzip": (gzip_of, unpack_gzip),
    "a frame of zstd": (zstd_of, unpack_zstd),
    "frames of zstd": (zstd_of, unpack_any_zstd),
    "frames of zstd that do not say how much they hold": (sizeless_zstd_of, unpack_any_zstd),
    "frames of zstd, one by one": (zstd_of, lambda data, most: b"".join(zstd_frames(data, most))),
}
EACH_WAY = pytest.mark.parametrize(("pack", "unpack"), WAYS.values(), ids=WAYS)


@EACH_WAY
@given(st.binary(max_size=5000), st.integers(1, 50))
def test_what_was_packed_comes_back_and_one_byte_less_is_refused(pack, unpack, data, times):
    text = data * times
    assert unpack(pack(text), len(text)) == text
    if text:
        with pytest.raises(PackedError, match=f"more than {len(text) - 1} bytes") as found:
            unpack(pack(text), len(text) - 1)
        assert found.value.cause == "too_large"


@EACH_WAY
@given(st.binary(min_size=1, max_size=5000), st.data())
def test_what_is_cut_off_is_no_less_than_what_was_packed(pack, unpack, text, data):
    packed = pack(text)
    with pytest.raises(PackedError) as found:
        unpack(packed[: data.draw(st.integers(1, len(packed) - 1))], BYTES_MAX)
    assert found.value.cause in {"truncated", "corrupt"}


@pytest.mark.parametrize("name", ["zlib", "a frame of zstd"])
def test_what_stands_behind_the_only_one_is_refused(name):
    pack, unpack = WAYS[name]
    with pytest.raises(PackedError) as found:
        unpack(pack(b"text") + b"\0", BYTES_MAX)
    assert found.value.cause == "corrupt"


@pytest.mark.parametrize(("pack", "unpack"), [(gzip.compress, unpack_gzip), (zstd_of, unpack_any_zstd)])
def test_what_several_hold_is_bounded_all_together(pack, unpack):
    both = pack(b"a" * 1000) + pack(b"b" * 1000)
    assert unpack(both, 2000) == b"a" * 1000 + b"b" * 1000
    with pytest.raises(PackedError, match="more than 1999 bytes"):
        unpack(both, 1999)


def test_frames_are_bounded_each_on_its_own():
    frames = zstd_of(b"a" * 1000) + zstd_of(b"b" * 1000)
    assert list(zstd_frames(frames, 1000)) == [b"a" * 1000, b"b" * 1000]


@EACH_WAY
def test_what_comes_to_far_more_takes_no_more_memory_than_the_bound_and_what_is_unpacked_at_once(
    pack, unpack
):
    packed = pack(bytes(2**26))
    tracemalloc.start()
    try:
        with pytest.raises(PackedError, match="more than"):
            unpack(packed, BYTES_MAX)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**24
    finally:
        tracemalloc.stop()


def test_a_frame_that_lies_about_how_much_it_holds_is_damaged():
    packed = bytearray(zstd_of(bytes(300)))
    assert zstandard.frame_content_size(bytes(packed)) == 300
    packed[5:7] = (300 - 256 - 100).to_bytes(2, "little", signed=True)  # the size is told from 256 on
    with pytest.raises(PackedError, match="is damaged"):
        unpack_zstd(bytes(packed), BYTES_MAX)


def test_a_frame_that_does_not_say_how_much_it_holds_is_not_read_where_all_say():
    with pytest.raises(PackedError, match="is damaged"):
        unpack_zstd(sizeless_zstd_of(b"text"), BYTES_MAX)
