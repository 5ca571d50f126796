"""Objects of a bucket in memory; a tag is new with every writing, as that of different bytes is."""

from collections.abc import Iterable, Iterator
from itertools import count

from shared.adapters.s3 import Listed


class FakeObjects:
    def __init__(self) -> None:
        self.held: dict[str, tuple[bytes, str]] = {}
        self.modified_at: dict[str, int] = {}
        self.now = 0
        self._tags = count(1)

    def put(self, key: str, data: bytes) -> None:
        self.held[key] = (data, str(next(self._tags)))
        self.modified_at[key] = self.now

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if key in self.held:
            return False
        self.put(key, data)
        return True

    def get(self, key: str) -> tuple[bytes, str] | None:
        return self.held.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self.held[key][0][start : start + length]

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        for key in sorted(self.held):
            if key.startswith(prefix) and key > after and key in self.held:
                yield Listed(key, len(self.held[key][0]), self.modified_at[key])

    def delete(self, key: str) -> None:
        self.held.pop(key, None)

    def delete_all(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self.delete(key)

    def delete_if(self, key: str, tag: str) -> bool:
        if key in self.held and self.held[key][1] != tag:
            return False
        self.delete(key)
        return True
