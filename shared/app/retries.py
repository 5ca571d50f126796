"""Retries: events whose transformation asked to be tried again wait in the archive bucket until they are due.

The drain takes them through ingestion again, with their original envelope, so arrival and position stay. The
envelope counts how often the event was tried; after the last time it goes to quarantine.

So do records wait whose events kept losing races for a profile, and could not be parked beside it: on the
stream they would hold up all that follow them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from shared import contract
from shared.app.delivery import Envelope
from shared.app.quarantine import cut_envelopes
from shared.core.records import ENVELOPE_EXTRA
from shared.core.times import format_time, parse_time

DELAYS_S: Final = (600, 6_000, 60_000)
"""How long an event waits after each time it was tried: 10, 100 and 1000 minutes."""
DELAY_S_MAX: Final = 21_600
"""What a transformation may choose instead: with it, too, all attempts end within the dedup window."""
CONTENDED_S: Final = 10
"""How long a record waits whose events lost too many races."""
_ATTEMPT: Final = "attempt"
_HAS_WAITED: Final = "kith_has_waited"
"""What the envelope of such a record says from then on."""


class Retry(NamedTuple):
    """An envelope that is to be delivered again, and after how long."""

    envelope: Envelope
    delay_s: float


class Waiting(msgspec.Struct, frozen=True):
    """What an object holds: envelopes of one version of a builder."""

    builder: str
    version: int
    records: list[Envelope]


class Due(NamedTuple):
    """An object that is due, since `modified_at` (ms UTC): the drain knows how long it has waited."""

    key: str
    modified_at: int


class Objects(Protocol):
    """Where envelopes wait."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over an older one of the same key."""
        ...


class ListedKey(Protocol):
    """An object as a listing shows it."""

    @property
    def key(self) -> str:
        """Its key."""
        ...


class Retries:
    """Keeps envelopes as objects whose keys begin with when they are due; `now` gives ms UTC."""

    def __init__(self, objects: Objects, now: Callable[[], int]) -> None:
        self._objects = objects
        self._now = now

    def put(self, builder: str, version: int, retries: Sequence[Retry]) -> None:
        """Keep envelopes until they are due."""
        by_delay: dict[float, list[Envelope]] = {}
        for one in retries:
            by_delay.setdefault(one.delay_s, []).append(one.envelope)
        for delay_s, envelopes in by_delay.items():
            due = self._now() + round(delay_s * 1000)
            for some in cut_envelopes(envelopes):
                data = msgspec.json.encode(Waiting(builder, version, some))
                self._objects.put(_key(due, builder, data), data)


def attempts_of(envelope: Envelope) -> int:
    """Return how often the events of an envelope were tried before."""
    extra: Mapping[str, Any] = envelope.get(ENVELOPE_EXTRA, {})
    return int(extra.get(_ATTEMPT, 0))


def retry_of(envelope: Envelope, attempts: int, delay_s: float | None, *, unreached: bool = False) -> Retry:
    """Make the next attempt of events that were tried `attempts` times before, and now once more.

    Unless they were `unreached`: then they were not tried now.
    """
    tried = attempts if unreached else attempts + 1
    if unreached:
        chosen: float = DELAYS_S[0]
    else:
        chosen = DELAYS_S[attempts] if delay_s is None else min(delay_s, DELAY_S_MAX)
    return Retry({**envelope, ENVELOPE_EXTRA: {**envelope[ENVELOPE_EXTRA], _ATTEMPT: tried}}, chosen)


def retry_of_contended(envelope: Envelope) -> Retry:
    """Let a record wait whose events lost too many races."""
    return Retry({**envelope, _HAS_WAITED: True}, CONTENDED_S)


def has_waited(envelope: Envelope) -> bool:
    """Tell whether an envelope was set aside before, whole or in part."""
    return _HAS_WAITED in envelope or ENVELOPE_EXTRA in envelope


def due_of(listed: Iterator[ListedKey], now: int) -> Iterator[Due]:
    """Yield the objects that are due at `now` (ms UTC), out of all that wait, in the order of their keys."""
    for one in listed:
        due = parse_time(one.key.removeprefix(contract.PREFIX_RETRIES).partition("/")[0])
        if due is None:
            continue
        if due > now:
            return
        yield Due(one.key, due)


def read_waiting(data: bytes) -> Waiting:
    """Read an object. Raises `msgspec.MsgspecError` for anything else."""
    return msgspec.json.decode(data, type=Waiting)


def _key(due: int, builder: str, data: bytes) -> str:
    """Name an object by when it is due, and by what it holds."""
    digest = blake2b(data, digest_size=16).hexdigest()
    return f"{contract.PREFIX_RETRIES}{format_time(due)}/{builder}/{digest}.json"
