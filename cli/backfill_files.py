"""The files that are backfilled, here or in S3, and the folder where their lines wait."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cli.errors import Failure
from cli.lines import lines_of

S3_SCHEME: Final = "s3://"
PIECE_BYTES: Final = 16 * 2**20
"""What is asked of S3 at a time: a connection that breaks costs no more."""
ATTEMPTS_MAX: Final = 5
"""How often a piece is asked for, when it breaks off."""

_GZIP: Final = b"\x1f\x8b"


class FileSource:
    """A file on this machine, plain or gzip; `name` is what it is called where it came from."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self.name = name

    def lines(self) -> Iterator[bytes]:
        """Yield its lines; raises OSError, EOFError or zlib.error where they cannot be read."""
        with self._path.open("rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(self._path) if packed else self._path.open("rb") as file:
            yield from lines_of(file)  # type: ignore[arg-type] # a GzipFile reads as any binary file does


class FolderSpool:
    """A file for each hour that waits, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, hour: int, data: bytes) -> None:
        """Add to what waits for an hour."""
        with (self._folder / str(hour)).open("ab") as file:
            file.write(data)

    def take(self, hour: int) -> bytes:
        """Return what waits for an hour, and hold it no longer."""
        path = self._folder / str(hour)
        data = path.read_bytes()
        path.unlink()
        return data


def s3_names(client: Any, url: str) -> list[str]:
    """List what an s3:// URL means: an object, or all objects below a prefix that ends with a slash."""
    bucket, _, key = url.removeprefix(S3_SCHEME).partition("/")
    if key and not key.endswith("/"):
        return [url]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    keys = [one["Key"] for page in pages for one in page.get("Contents", ()) if one["Size"]]
    if not keys:
        raise Failure(f"there are no objects below {url}")
    return [f"{S3_SCHEME}{bucket}/{one}" for one in keys]


def download(client: Any, url: str, path: Path) -> None:
    """Copy an object of S3 to a file, as it is now: if it is written again meanwhile, S3 refuses to go on."""
    bucket, _, key = url.removeprefix(S3_SCHEME).partition("/")
    head = client.head_object(Bucket=bucket, Key=key)
    with path.open("wb") as file:
        for start in range(0, head["ContentLength"], PIECE_BYTES):
            end = min(start + PIECE_BYTES, head["ContentLength"]) - 1
            file.write(_piece(client, bucket, key, f"bytes={start}-{end}", head["ETag"]))


def _piece(client: Any, bucket: str, key: str, span: str, tag: str) -> bytes:
    """Read some bytes of an object; again where the answer breaks off, which the client does not."""
    from botocore.exceptions import BotoCoreError

    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return bytes(client.get_object(Bucket=bucket, Key=key, Range=span, IfMatch=tag)["Body"].read())
        except BotoCoreError:
            continue
    return bytes(client.get_object(Bucket=bucket, Key=key, Range=span, IfMatch=tag)["Body"].read())
