"""The shards of a stream in memory, which may split and merge between any two calls."""

from collections.abc import Callable, Sequence

WIDTH = 2**64


class FakeShards:
    """Ranges of hash keys by shard; `before_call` may change them."""

    def __init__(self, count: int, before_call: Callable[["FakeShards"], None] = lambda _: None) -> None:
        self.starts = {f"shard-{number}": number * WIDTH for number in range(count)}
        self.records: list[tuple[str, bytes]] = []
        self._made = count
        self._before_call = before_call

    def open_shards(self) -> dict[str, str]:
        self._before_call(self)
        return {shard: str(start) for shard, start in self.starts.items()}

    def put(self, data: Sequence[bytes], hash_key: str) -> list[str]:
        return [self._put(one, hash_key) for one in data]

    def _put(self, data: bytes, hash_key: str) -> str:
        self._before_call(self)
        shard = max((start, shard) for shard, start in self.starts.items() if start <= int(hash_key))[1]
        self.records.append((shard, data))
        return shard

    def split(self, shard: str) -> None:
        """Put two shards in the place of one."""
        start = self.starts.pop(shard)
        end = min((one for one in self.starts.values() if one > start), default=start + WIDTH)
        self.starts |= {self._name(): start, self._name(): (start + end) // 2}

    def merge(self, first: str, second: str) -> None:
        """Put one shard in the place of two."""
        self.starts[self._name()] = min(self.starts.pop(first), self.starts.pop(second))

    def _name(self) -> str:
        self._made += 1
        return f"shard-{self._made - 1}"
