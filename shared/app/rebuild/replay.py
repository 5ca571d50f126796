"""Replay: one partition, component by component, in order of arrival, through the engine that runs live.

Each finished profile is written once. A worker that runs out of time leaves a checkpoint and is called again.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from shared.app.functions.results import compute, time_for_one_s
from shared.app.rebuild.build import REPLAY, Build, ensure_building
from shared.app.rebuild.formats import fetch_json, find_json, read_block, records_of_block
from shared.app.rebuild.naming import Names, choose_names, give_names
from shared.app.rebuild.ports import ActiveProfiles, Loader, MayGoOn, Objects
from shared.app.rebuild.results import Linked, Result, leave
from shared.app.registry import Progress, Registry
from shared.core.compile import Builder, Contribution
from shared.core.identity.identifiers import Identifier
from shared.core.plan import Planner
from shared.core.profile import expiry
from shared.core.snapshot import Snapshot
from shared.core.spool import Rows, identifiers_of
from shared.core.writes import Plan

READERS: Final = 16
INSERTED_TOGETHER: Final = 500
"""Profiles and tombstones that are handed to the loader at a time."""
INSERTED_BYTES: Final = 2**25
"""Of the histories of profiles that wait for the loader."""
CHECKPOINT_PROFILES: Final = 10_000
"""Profiles and tombstones after which a checkpoint is left, beside the one at the end of a worker's time."""
PENDING_MAX: Final = 20_000
"""Contributions that are counted before their values are folded."""
SAMPLE_SIZE: Final = 10

Frames = list[bytes | memoryview]


class PartitionNumber(msgspec.Struct, frozen=True):
    """A line of Replay's manifest. The worker's input."""

    partition: int


class Replayed(msgspec.Struct, frozen=True):
    """How far a partition is; not `done`: call again. `profiles` counts those written so far."""

    done: bool
    partition: int
    profiles: int


class Checkpoint(msgspec.Struct):
    """How many components of a partition, in order, are replayed and written, and what was counted."""

    components: int = 0
    tally: dict[str, int] = {}
    sample: list[str] = []


def replay(
    registry: Registry,
    build: Build,
    partition: PartitionNumber,
    objects: Objects,
    loader: Loader,
    active: ActiveProfiles | None,
    progress: Progress,
    may_go_on: MayGoOn,
) -> Replayed:
    """Replay a partition from its checkpoint on; `active` is None if no version is active.

    The builder's profile function, if it has one, is run for each finished profile. Where that fails, or
    there is no time, the profile is written without a result: it is due, like any profile that has changed.

    A worker whose partition another one has finished meanwhile writes nothing more: the version's consumer
    may have deleted by now what it would insert again. Nor does one whose version has ended: BuildEndedError.
    """
    number = partition.partition
    result_key = build.name.result(REPLAY, number)
    if (finished := find_json(objects, result_key, Result)) is not None:
        return _finished(number, finished)
    checkpoint = find_json(objects, build.name.checkpoint(number), Checkpoint) or Checkpoint()
    replaying = _Replaying(registry, build, number, objects, loader, checkpoint, may_go_on)
    try:
        is_done = _replay(replaying, build, objects, active)
        replaying.leave_checkpoint()
    except _OvertakenError:
        return _finished(number, fetch_json(objects, result_key, Result))
    tally = checkpoint.tally
    profiles = tally.get("profiles", 0)
    if is_done:
        events = sum(tally.get(f"events_{one}", 0) for one in ("folded", "duplicate", "repeated"))
        counted = {"partitions": 1, "events": events, "profiles": profiles}
        leave(objects, progress, build.name, REPLAY, number, Result(tally, checkpoint.sample), counted)
    return Replayed(done=is_done, partition=number, profiles=profiles)


def _replay(
    replaying: "_Replaying",
    build: Build,
    objects: Objects,
    active: ActiveProfiles | None,
) -> bool:
    """Replay what is left of a partition; False if there is no time for all of it."""
    components = _components(build, objects, replaying.partition)
    identifiers = {one for frames in components.values() for one in _identifiers(frames)}
    names = choose_names(objects, build.name, replaying.partition, identifiers, active, build.t0)
    del identifiers
    left = sorted(components)[replaying.components :]
    for component in left:
        if not replaying.has_time():
            return False
        replaying.take(components.pop(component), names)
    return True


def _finished(partition: int, result: Result) -> Replayed:
    return Replayed(done=True, partition=partition, profiles=result.tally.get("profiles", 0))


class _OvertakenError(Exception):
    """Another worker has finished the partition."""


class _Replaying:
    """Plans components and hands what they end with to the loader, some at a time."""

    def __init__(
        self,
        registry: Registry,
        build: Build,
        partition: int,
        objects: Objects,
        loader: Loader,
        checkpoint: Checkpoint,
        may_go_on: MayGoOn,
    ) -> None:
        self._registry = registry
        self._build = build
        self.partition = partition
        self._objects = objects
        self._loader = loader
        self._checkpoint = checkpoint
        self._may_go_on = may_go_on
        self._left_s = build.left_s or (lambda: math.inf if may_go_on() else 0)
        self._tally = Counter(checkpoint.tally)
        self.components = checkpoint.components
        self._sample = checkpoint.sample
        self._waiting: list[Plan] = []
        self._waiting_count = 0
        self._waiting_bytes = 0
        self._unsaved = 0

    def has_time(self) -> bool:
        """Tell whether there is time for another component, and to run the function once."""
        build = self._build
        return self._may_go_on() and (
            build.function is None or self._left_s() >= time_for_one_s(build.builder)
        )

    def take(self, frames: Frames, names: Names) -> None:
        """Replay the next component. Raises `_OvertakenError`."""
        planned = plan_component(self._build.builder, frames, self._build.t0)
        self._tally.update(planned.tally)
        self._tally["profiles_expired_at_t0"] += expire(self._build.builder, planned, self._build.t0)
        give_names(planned, names)
        self._tally["profiles"] += len(planned.puts)
        ids = [put.profile.id for put in planned.puts]
        self._sample = sorted([*self._sample, *ids])[:SAMPLE_SIZE]
        self._waiting.append(planned)
        self._waiting_count += max(1, len(planned.puts) + len(planned.buries))
        self.components += 1
        self._waiting_bytes += sum(len(chunk.data) for put in planned.puts for chunk in put.chunks)
        if self._waiting_count >= INSERTED_TOGETHER or self._waiting_bytes >= INSERTED_BYTES:
            self._insert()
            if self._unsaved >= CHECKPOINT_PROFILES:
                self.leave_checkpoint()

    def leave_checkpoint(self) -> None:
        """Write what waits, and remember how far this is. Raises `_OvertakenError`."""
        self._insert()
        checkpoint = self._checkpoint
        checkpoint.components, checkpoint.tally = self.components, dict(self._tally)
        checkpoint.sample = self._sample
        self._objects.put(self._build.name.checkpoint(self.partition), msgspec.json.encode(checkpoint))
        self._unsaved = 0

    def _insert(self) -> None:
        if self._waiting:
            if self._objects.get(self._build.name.result(REPLAY, self.partition)) is not None:
                raise _OvertakenError
            function = self._build.function
            if function is not None:
                puts = [put for plan in self._waiting for put in plan.puts]
                compute(self._build.builder, puts, function, self._tally, self._left_s)
            ensure_building(self._registry, self._build.name)
            self._loader.insert(self._waiting)
            self._unsaved += self._waiting_count
            self._waiting, self._waiting_count, self._waiting_bytes = [], 0, 0


def plan_component(builder: Builder, frames: Iterable[bytes | memoryview], t0: int) -> Plan:
    """Plan all contributions of a component in one go, on an empty store; revisions begin with T0."""
    planner = Planner(builder, Snapshot(), t0 * 1000, actions_max=None)
    taken = repeated = 0
    for together in Rows(frames).by_arrival():
        if len(together) > 1:
            ordered = in_order(together)
            repeated += len(together) - len(ordered)
        else:
            ordered = together
        for one in ordered:
            planner.take(one)
            taken += 1
            if taken % PENDING_MAX == 0:
                planner.settle()
    planned = planner.finish(taken, ())
    planned.tally["events_repeated"] = repeated
    return planned


def in_order(together: Sequence[Contribution]) -> list[Contribution]:
    """Sort contributions of one arrival by id and place in the stream, and drop copies.

    Objects of the archive may overlap: what stands at one place twice is one record, and its events come
    with one id for the same identifiers. Of two such that a transformation made, the first one counts, as it
    does live: sorting keeps their order.
    """
    kept: dict[tuple[object, ...], Contribution] = {}
    for one in together:
        kept.setdefault((one.position, one.key[1], one.identifiers), one)
    return sorted(kept.values(), key=_order)


def _order(one: Contribution) -> tuple[object, ...]:
    shard, sequence, index = one.position
    return one.key[1], shard, len(sequence), sequence, index


def expire(builder: Builder, planned: Plan, t0: int) -> int:
    """Take profiles out of a plan that have expired at T0; return how many.

    Their pointers stay as long as those of any profile that expires: they tell that a later life is one.
    """
    live = [put for put in planned.puts if expiry(builder, put.profile) >= t0]
    expired = len(planned.puts) - len(live)
    planned.puts = live
    return expired


def _components(build: Build, objects: Objects, partition: int) -> dict[int, Frames]:
    """Return the frames of each component of a partition, in the order of the parts."""
    name = build.name
    linked = fetch_json(objects, name.linked, Linked)

    keys = [name.shuffled(part) for part in range(linked.parts)]
    components: dict[int, Frames] = {}
    with ThreadPoolExecutor(READERS, "kith-block") as readers:
        blocks = readers.map(lambda key: read_block(objects, key, partition, linked.partitions), keys)
        for key, block in zip(keys, blocks, strict=True):
            for component, frame in records_of_block(block, key):
                components.setdefault(component, []).append(frame)
    return components


def _identifiers(frames: Frames) -> Iterator[Identifier]:
    for frame in frames:
        for identifiers in identifiers_of(frame):
            yield from identifiers
