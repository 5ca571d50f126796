"""How far builds are: what registry, counters and executions say of them, put together for people to read."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from shared.app.executions import STATES, Execution, Executions
from shared.app.registry import Progress, Registry, Status, Version


class _Map(NamedTuple):
    """Which counters tell how far a map is: its items, how many there are, and what its workers count."""

    unit: str
    total: str
    counts: tuple[str, ...]


_MAPS: Final[Mapping[str, _Map]] = {
    "Scan": _Map("parts", "plan.parts", ("events", "quarantined")),
    "Shuffle": _Map("parts", "plan.parts", ()),
    "Replay": _Map("partitions", "link.partitions", ("events", "profiles")),
}


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """One state of a build: `waiting`, `running`, `done` or `failed`.

    Of a map also how many of its items are done, and what it counted; while it runs, how many events that is
    in a second, and in how many seconds it will be done if it goes on like that.
    """

    name: str
    status: str
    unit: str = ""
    done: int = 0
    total: int = 0
    counts: dict[str, int] = {}
    events_per_s: int = 0
    left_s: int | None = None

    def settled(self) -> "State":
        """Return the state without what changes while nothing happens."""
        return msgspec.structs.replace(self, events_per_s=0, left_s=None)


class Build(msgspec.Struct, frozen=True):
    """A version and its build. `execution` is what Step Functions says of it, empty if it never started."""

    version: Version
    execution: str
    states: list[State]

    @property
    def is_building(self) -> bool:
        """Say whether the version is on its way."""
        return self.version.status is Status.BUILDING

    @property
    def is_stuck(self) -> bool:
        """Say whether nothing works at a version that is still to be built."""
        return self.is_building and self.execution not in ("RUNNING", "PENDING_REDRIVE")


class Builds:
    """Reads builds."""

    def __init__(self, registry: Registry, progress: Progress, executions: Executions) -> None:
        self._registry = registry
        self._progress = progress
        self._executions = executions

    def newest(self, builder: str) -> Version | None:
        """Return the version of a builder that is building, else its newest; None if it has none."""
        versions = self._registry.versions(builder)
        building = [one for one in versions if one.status is Status.BUILDING]
        found = building or versions
        return found[-1] if found else None

    def of(self, builder: str, version: int, now: int) -> Build:
        """Return how far a version is at a time (ms UTC); LookupError if there is no such version."""
        row = self._registry.version(builder, version)
        if row is None:
            raise LookupError(f"builder {builder} has no version {version}")
        execution = self._executions.of(builder, version)
        counters = self._progress.progress(builder, version)
        return Build(
            version=row,
            execution="" if execution is None else execution.status,
            states=[] if execution is None else _states(row, execution, counters, now),
        )


def _states(version: Version, execution: Execution, counters: Mapping[str, int], now: int) -> list[State]:
    reached = _reached(version, execution)
    states = []
    for number, name in enumerate(STATES):
        if number < reached:
            status = "done"
        elif number > reached:
            status = "waiting"
        else:
            status = "failed" if version.status is Status.FAILED or not execution.runs else "running"
        runs_since = execution.entered_at if status == "running" else 0
        states.append(_state(name, status, counters, (now - runs_since) / 1000 if runs_since else 0.0))
    return states


def _reached(version: Version, execution: Execution) -> int:
    """Return the number of the state that a build is in, or failed in; one more than all when it is built."""
    if version.status in (Status.ACTIVE, Status.RETIRED):
        return len(STATES)
    return STATES.index(execution.state) if execution.state in STATES else 0


def _state(name: str, status: str, counters: Mapping[str, int], running_s: float) -> State:
    if name not in _MAPS or status == "waiting":
        return State(name, status)
    unit, total_name, count_names = _MAPS[name]
    prefix = name.lower()
    done, total = counters.get(f"{prefix}.{unit}", 0), counters.get(total_name, 0)
    events = counters.get(f"{prefix}.events", 0)
    is_known = running_s > 0 and done > 0 and total > 0
    return State(
        name,
        status,
        unit=unit,
        done=done,
        total=total,
        counts={one: counters[f"{prefix}.{one}"] for one in count_names if counters.get(f"{prefix}.{one}")},
        events_per_s=round(events / running_s) if running_s > 0 else 0,
        left_s=round((total - done) * running_s / done) if is_known else None,
    )
