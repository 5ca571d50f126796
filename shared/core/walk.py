"""The way through a history: from the heads of a profile to the chunks that are within the window."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from shared.core.history import Head, HistoryGoneError, open_chunk

HISTORY_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of the chunks within the window, as they are stored: about 250,000 events of a click stream. Whoever runs
functions holds that many bytes of several profiles at once."""


class HistoryTooLargeError(Exception):
    """A history takes more bytes than a profile function is given. The message says how many it may take."""


class Walk:
    """What was found of a history so far, and what is still to be read.

    `chained` are names of chunks by profile, whose predecessors follow them, mostly; `named` are chunks that
    were told all at once.
    """

    def __init__(self, heads: Iterable[Head], since_ms: int) -> None:
        self.found: dict[Head, bytes] = {}
        self.chained: defaultdict[str, set[str]] = defaultdict(set)
        self.named: set[Head] = set()
        self._since = since_ms
        self._known = set(heads)
        self._bytes = 0
        for head in self._known:
            self.chained[head.profile_id].add(head.name)

    def take(self, head: Head, data: bytes) -> None:
        """Take a chunk that was asked for. Raises `HistoryTooLargeError`."""
        opened = open_chunk(data, head.profile_id)
        if opened.updated_at < self._since:
            return
        self.found[head] = data
        self._bytes += len(data)
        if self._bytes > HISTORY_BYTES_MAX:
            raise HistoryTooLargeError(too_large())
        new = opened.within(self._since) - self._known
        self._known |= new
        if opened.tells_all:
            self.named |= new
        else:
            for one in new:
                self.chained[one.profile_id].add(one.name)


def too_large() -> str:
    """Say of a history that it is too large."""
    return f"the history takes more than {HISTORY_BYTES_MAX // 2**20} MB, compressed"


def reachable(
    heads: Iterable[Head], since_ms: int, read: Callable[[Head], bytes | None]
) -> dict[Head, bytes]:
    """Return the chunks that heads lead to, as far back as events since then may be.

    Raises `HistoryGoneError` when one of them is not there, and `HistoryTooLargeError`.
    """
    walk = Walk(heads, since_ms)
    while walk.chained or walk.named:
        waiting = [Head(one, name) for one, names in walk.chained.items() for name in names]
        waiting += walk.named
        walk.chained.clear()
        walk.named.clear()
        for head in waiting:
            data = read(head)
            if data is None:
                raise gone(head.profile_id)
            walk.take(head, data)
    return walk.found


def gone(profile_id: str) -> HistoryGoneError:
    """Return the error for a chunk that is not there."""
    return HistoryGoneError(f"a chunk of {profile_id} is gone")
