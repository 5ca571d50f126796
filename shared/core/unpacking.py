"""Unpacking: whatever decompresses what is held in memory does it here, and says how much it may come to.

A byte of gzip or zlib stands for up to a thousand, one of zstd for up to thirty thousand: a few KB that are
damaged, or mean harm, would fill any memory. So nobody unpacks more than they would ever have packed.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from zstandard import ZstdDecompressor

Cause = Literal["truncated", "corrupt", "too_large"]

_AT_ONCE: Final = 2**24
"""Bytes that are unpacked at once, at most: how far a bound is overshot before that is noticed."""
_ZLIB_CHUNK_BYTES: Final = _AT_ONCE // 1024
_ZSTD_CHUNK_BYTES: Final = _AT_ONCE // 2**15
_WINDOW_BYTES_MAX: Final = 2**25
"""How far back a frame of zstd may refer: over the text of a whole record."""
_ZLIB_BITS: Final = 15
_GZIP_BITS: Final = 31


class PackedError(Exception):
    """Bytes that cannot be unpacked, or come to more than they may. The message holds nothing of them."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause: Cause = cause


class _Decompressor(Protocol):
    """What zlib and zstandard agree on: an object that unpacks one gzip member, or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Kind(NamedTuple):
    """How something is packed, and of how much of that no more than `_AT_ONCE` comes."""

    start: Callable[[], _Decompressor]
    failure: type[Exception]
    chunk_bytes: int


_ZLIB: Final = _Kind(lambda: zlib.decompressobj(_ZLIB_BITS), zlib.error, _ZLIB_CHUNK_BYTES)
_GZIP: Final = _Kind(lambda: zlib.decompressobj(_GZIP_BITS), zlib.error, _ZLIB_CHUNK_BYTES)


def unpack_zlib(packed: bytes, bytes_max: int) -> bytes:
    """Return what one stream of zlib holds, and nothing behind it. Raises PackedError."""
    text, end = _member(packed, 0, _ZLIB, bytes_max)
    if end < len(packed):
        raise PackedError("corrupt", "there is more than the compressed data")
    return text


def unpack_gzip(packed: bytes, bytes_max: int) -> bytes:
    """Return what all members of gzip hold together. Raises PackedError."""
    return b"".join(_members(packed, _GZIP, bytes_max))


def unpack_zstd(packed: bytes, bytes_max: int, decompressor: "ZstdDecompressor | None" = None) -> bytes:
    """Return what one frame of zstd holds that says how much that is. Raises PackedError."""
    from zstandard import ZstdDecompressor, ZstdError, frame_content_size  # noqa: PLC0415 - as in `_zstd`

    try:
        if frame_content_size(packed) > bytes_max:
            raise _too_large(bytes_max)
        return (decompressor or ZstdDecompressor()).decompress(packed, allow_extra_data=False)
    except (ZstdError, MemoryError):
        raise PackedError("corrupt", "the compressed data is damaged") from None


def unpack_any_zstd(packed: bytes, bytes_max: int) -> bytes:
    """Return what all frames of zstd hold together, whatever they say. Raises PackedError."""
    return b"".join(_members(packed, _zstd(), bytes_max))


def zstd_frames(packed: bytes, bytes_max: int) -> Iterator[bytes]:
    """Yield what each frame of zstd holds, none of them more than so many bytes. Raises PackedError."""
    at, kind = 0, _zstd()
    while at < len(packed):
        text, at = _member(packed, at, kind, bytes_max)
        yield text


def _zstd() -> _Kind:
    # Imported where needed: most streams have no use for it, and it would delay every cold start.
    from zstandard import ZstdDecompressor, ZstdError  # noqa: PLC0415

    decompressor = ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
    return _Kind(decompressor.decompressobj, ZstdError, _ZSTD_CHUNK_BYTES)


def _members(packed: bytes, kind: _Kind, bytes_max: int) -> Iterator[bytes]:
    """Yield what each member holds, all of them together no more than so many bytes."""
    size = at = 0
    while at < len(packed):
        text, at = _member(packed, at, kind, bytes_max, size)
        size += len(text)
        yield text


def _member(packed: bytes, at: int, kind: _Kind, bytes_max: int, size: int = 0) -> tuple[bytes, int]:
    """Return what the member holds that begins at a place, and where it ends; `size` came before."""
    parts: list[bytes] = []
    member = kind.start()
    try:
        while not member.eof:
            chunk = packed[at : at + kind.chunk_bytes]
            if not chunk:
                raise PackedError("truncated", "the compressed data ends too early")
            parts.append(member.decompress(chunk))
            size += len(parts[-1])
            if size > bytes_max:
                raise _too_large(bytes_max)
            at += len(chunk)
    except kind.failure:
        raise PackedError("corrupt", "the compressed data is damaged") from None
    return b"".join(parts), at - len(member.unused_data)


def _too_large(bytes_max: int) -> PackedError:
    return PackedError("too_large", f"it holds more than {bytes_max} bytes")
