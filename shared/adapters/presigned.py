"""Objects that whoever knows their URL may read for some minutes, and nobody else."""

import urllib.request
from hashlib import sha256
from http.client import HTTPException
from typing import Any, Final

VALID_S: Final = 600
TIME_S: Final = 30.0
BYTES_MAX: Final = 2**26
"""Of an object: over twice what the largest history takes that a profile function is handed."""


class PresignedObjects:
    """Puts objects below a prefix of a bucket, named by what they hold."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, data: bytes) -> str:
        """Write an object, and return a URL of it."""
        place = {"Bucket": self._bucket, "Key": f"{self._prefix}{sha256(data).hexdigest()}"}
        self._client.put_object(**place, Body=data)
        url: str = self._client.generate_presigned_url("get_object", Params=place, ExpiresIn=VALID_S)
        return url


def fetch_object(url: str) -> bytes:
    """Return what a URL of `put` stands for. Raises OSError where it cannot be read, or is too large."""
    if not url.startswith(("https://", "http://")):
        raise ValueError("no URL of an object")
    try:
        with urllib.request.urlopen(url, timeout=TIME_S) as answer:  # noqa: S310 - checked above
            data: bytes = answer.read(BYTES_MAX + 1)
            if answer.length:  # what was announced, and did not come
                raise OSError("an object was cut off")
    except (HTTPException, ValueError) as error:
        raise OSError(f"an object cannot be read: {type(error).__name__}") from None
    if len(data) > BYTES_MAX:
        raise OSError(f"an object has more than {BYTES_MAX} bytes")
    return data
