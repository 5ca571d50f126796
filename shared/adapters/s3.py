"""Objects in one S3 bucket."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


DELETED_TOGETHER: Final = 1000
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_UNMET: Final = frozenset({"412", "PreconditionFailed"})
_REFUSED: Final = _UNMET | {"409", "ConditionalRequestConflict"}


class Listed(NamedTuple):
    """An object as a listing shows it; `modified_at` ms UTC."""

    key: str
    size: int
    modified_at: int


class S3Objects:
    """Puts, gets, lists and deletes the objects of a bucket by key."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over an older one of the same key."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=_content_type(key))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one of this key; say whether it was written.

        S3 itself sees to the condition; the look before serves engines that ignore it. Of a conflict
        (409) nobody knows yet whether there will be one: that is raised like any error.
        """
        errors = self._client.exceptions
        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except errors.ClientError as error:
            if error.response["Error"]["Code"] not in _ABSENT:
                raise
        else:
            return False
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=data, ContentType=_content_type(key), IfNoneMatch="*"
            )
        except errors.ClientError as error:
            if error.response["Error"]["Code"] in _UNMET:
                return False
            raise
        return True

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its tag, which changes with them; None if there is no such object."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read(), answer["ETag"]

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return some bytes of an object, fewer where it ends; KeyError if there is no such object."""
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + length - 1}"
            )
        except self._client.exceptions.NoSuchKey:
            raise KeyError(key) from None
        return bytes(answer["Body"].read())

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Yield the objects below a prefix, by key; only those whose key comes after `after`."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=after):
            for one in page.get("Contents", ()):
                modified: datetime = one["LastModified"]
                yield Listed(one["Key"], one["Size"], int(modified.timestamp() * 1000))

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete objects, those that exist. Raises RuntimeError if S3 keeps some of them."""
        waiting = iter(keys)
        while some := list(islice(waiting, DELETED_TOGETHER)):
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
            )
            if answer.get("Errors"):
                raise RuntimeError(f"{len(answer['Errors'])} objects could not be deleted")

    def delete_if(self, key: str, tag: str) -> bool:
        """Delete an object unless it was written again since it had this tag; say whether it is gone.

        S3 itself compares the tag; the look before serves engines that ignore the condition.
        """
        errors = self._client.exceptions
        try:
            if self._client.head_object(Bucket=self._bucket, Key=key)["ETag"] != tag:
                return False
            self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=tag)
        except errors.ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _ABSENT:
                return True
            if code in _REFUSED:
                return False
            raise
        return True


def _content_type(key: str) -> str:
    """Say what an object is by the end of its name; no encoding: nobody is to unpack it on the way."""
    ends = {".json": "application/json", ".gz": "application/gzip"}
    return next((kind for end, kind in ends.items() if key.endswith(end)), "application/octet-stream")
