"""What a warm process remembers: bounded, thread-safe, least recently used goes first."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """A map that holds values up to a total weight; each weighs 1 unless told."""

    def __init__(self, weight_max: int) -> None:
        self._weight_max = weight_max
        self._weight = 0
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """Return what is held, and count it as used."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Hold a value, and let go of what has not been used for longest."""
        with self._lock:
            self._drop(key)
            self._held[key] = (value, weight)
            self._weight += weight
            while self._weight > self._weight_max:
                _, (_, gone) = self._held.popitem(last=False)
                self._weight -= gone

    def drop(self, key: K) -> None:
        """Let go of a value, if it is held."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._weight -= found[1]
