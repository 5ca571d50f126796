"""Errors of profile functions in the archive bucket: one JSON object per profile."""

from collections.abc import Iterator

import msgspec

from shared.adapters.s3 import S3Objects
from shared.app.functions.errors import DamagedFunctionError, FunctionError, prefix_of


class S3FunctionErrors:
    """The `Errors` port on a bucket."""

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects

    def put(self, error: FunctionError) -> None:
        """Keep an error, over an older one of its profile."""
        self._objects.put(error.key, msgspec.json.encode(error))

    def list(self, builder: str | None = None) -> Iterator[FunctionError]:
        """Yield errors: all, or those of one builder. Raises `DamagedFunctionError`."""
        for listed in self._objects.list(prefix_of(builder)):
            found = self._objects.get(listed.key)
            if found is not None:
                yield _read(listed.key, found[0])

    def delete(self, error: FunctionError) -> None:
        """Forget an error, unless its function has failed again since. Raises `DamagedFunctionError`."""
        found = self._objects.get(error.key)
        if found is not None and _read(error.key, found[0]) == error:
            self._objects.delete_if(error.key, found[1])


def _read(key: str, data: bytes) -> FunctionError:
    try:
        return msgspec.json.decode(data, type=FunctionError)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedFunctionError(f"{key} is no error of a function; delete it to go on") from error
