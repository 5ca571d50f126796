"""Reading records: what each event of theirs gives to profiles, for every path that has records.

    record -> events -> transformation, if the builder has one -> contributions

Ingestion reads the stream so, and a rebuild the archive: what one of them makes of an event, the other does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from shared.core.compile import Builder, Contribution
from shared.core.containers import EVENTS_MAX
from shared.core.event import Event, Position
from shared.core.records import Record, Rejection, read_record, reject

HELD_BYTES_MAX: Final = 2**22
"""JSON text of the events that are transformed together, about."""
HELD_EVENTS_MAX: Final = EVENTS_MAX
"""Events that are transformed together, about: the smallest take far more memory than their text."""
DROPPED: Final = "transform"
"""Why an event is dropped that its transformation drops."""


class Postponed(msgspec.Struct, frozen=True, gc=False):
    """An event whose transformation asks to be tried again later.

    `rejection` is what the event is set aside as, should it never be tried again; `delay_s` is how long the
    transformation wants to wait, or None. One that is `unreached` was never given to it, for time was up or
    the events before it crashed: that counts as no attempt.
    """

    rejection: Rejection
    delay_s: float | None = None
    unreached: bool = False


Transformed = list[Event] | Rejection | Postponed
"""What an event becomes: events in its place (none: it is dropped), or why there are none."""


class Transformer(Protocol):
    """The transformation chain of one version of a builder, wherever it runs."""

    def run(self, events: Sequence[Event]) -> list[Transformed]:
        """Transform events, each alone; what becomes of each, in their order.

        Raises only if the transformation cannot be run at all now: nothing is known of the events then.
        """
        ...


class Read(msgspec.Struct, gc=False):
    """What one delivery gave: out of so many bytes of JSON text."""

    contributions: list[Contribution] = []
    rejections: list[Rejection] = []
    postponed: list[Postponed] = []
    text_bytes: int = 0


class Reader:
    """Reads records for one version of a builder.

    It counts `events_in`, and for each event what became of it:

        events_in + events_fanned_out
            = contributions + dropped.* + events_quarantined + events_postponed

    where `events_fanned_out` is by how many events the transformation made more of those it did not drop.
    """

    def __init__(self, builder: Builder, transformer: Transformer | None = None) -> None:
        self._builder = builder
        self._transformer = transformer

    def read(self, deliveries: Iterable[Sequence[Record]], tally: Counter[str]) -> Iterator[Read]:
        """Yield what each delivery gives, in their order: records that came together, or one alone."""
        if self._transformer is None:
            for records in deliveries:
                read = Read()
                for record in records:
                    if self._take_plain(record, read, tally):
                        continue
                    for item in read_record(*record):
                        tally["events_in"] += 1
                        read.text_bytes += _text_bytes(item)
                        if isinstance(item, Event):
                            self._take(item, [item], read, tally)
                        else:
                            _reject(item, read, tally)
                yield read
            return
        held: list[list[Event | Rejection]] = []
        held_bytes = held_events = 0
        for records in deliveries:
            items = [item for record in records for item in read_record(*record)]
            tally["events_in"] += len(items)
            held.append(items)
            held_bytes += sum(map(_text_bytes, items))
            held_events += len(items)
            if held_bytes > HELD_BYTES_MAX or held_events > HELD_EVENTS_MAX:
                yield from self._transform(held, self._transformer, tally)
                held, held_bytes, held_events = [], 0, 0
        yield from self._transform(held, self._transformer, tally)

    def _take_plain(self, record: Record, read: Read, tally: Counter[str]) -> bool:
        """Take up a record that is one plain event, which need not be decoded whole: nearly every one is.

        False, and nothing is done, for any other; and where something fails, so that it fails again there.
        """
        data, arrival, shard, sequence, index, _ = record
        if not data.startswith(b"{"):
            return False
        counted: Counter[str] = Counter()
        try:
            found = self._builder.read(data.rstrip(), arrival, Position(shard, sequence, index), counted)
        except Exception:  # noqa: BLE001 - decoded whole, it is set aside for what it is
            return False
        if found is None:
            return False
        tally["events_in"] += 1
        read.text_bytes += len(data)
        if counted:
            tally.update(counted)
        if isinstance(found, Contribution):
            read.contributions.append(found)
        else:
            tally[f"dropped.{found.reason}"] += 1
        return True

    def _transform(
        self, held: Sequence[list[Event | Rejection]], transformer: Transformer, tally: Counter[str]
    ) -> Iterator[Read]:
        """Transform the events of some deliveries together, and yield what each delivery gives."""
        events = [item for items in held for item in items if isinstance(item, Event)]
        transformed = iter(transformer.run(events) if events else ())
        for items in held:
            read = Read(text_bytes=sum(map(_text_bytes, items)))
            for item in items:
                became = next(transformed) if isinstance(item, Event) else item
                if isinstance(became, Rejection):
                    _reject(became, read, tally)
                elif isinstance(became, Postponed):
                    tally["events_postponed"] += 1
                    read.postponed.append(became)
                elif isinstance(item, Event):
                    self._take(item, became, read, tally)
            yield read

    def _take(self, event: Event, became: Sequence[Event], read: Read, tally: Counter[str]) -> None:
        """Take up all events that one event became, or, if one of them fails, reject that one event.

        What is read again later is always the event as it was sent.
        """
        try:
            found = [self._builder.contribute(one, tally) for one in became]
        except Exception as error:  # noqa: BLE001 - one event must never stop its neighbours
            _reject(reject(event, type(error).__qualname__), read, tally)
            return
        if not found:
            tally[f"dropped.{DROPPED}"] += 1
            return
        if len(found) > 1:
            tally["events_fanned_out"] += len(found) - 1
        for one in found:
            if isinstance(one, Contribution):
                read.contributions.append(one)
            else:
                tally[f"dropped.{one.reason}"] += 1


def _text_bytes(item: Event | Rejection) -> int:
    return item.size if isinstance(item, Event) else len(item.data)


def _reject(rejection: Rejection, read: Read, tally: Counter[str]) -> None:
    count_quarantined(rejection, tally)
    read.rejections.append(rejection)


def count_quarantined(rejection: Rejection, tally: Counter[str]) -> None:
    """Count what goes to quarantine, by its reason as well."""
    tally["events_quarantined"] += 1
    tally[f"quarantined.{rejection.reason}"] += 1
