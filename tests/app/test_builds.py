"""How far a build is, by what is written of it."""

from dataclasses import replace

import pytest

from shared.app.builds import Builds
from shared.app.executions import STATES, Execution
from shared.app.registry import Status, Version
from tests.fakes.executions import FakeExecutions
from tests.fakes.registry import FakeProgress, FakeRegistry

NOW = 1_700_000_100_000


def version(number: int = 2, status: Status = Status.BUILDING) -> Version:
    return Version(
        builder="customers",
        version=number,
        status=status,
        definition_key="k",
        sha256="s",
        t0=0,
        created_at=NOW - 60_000,
        created_by="ann",
    )


class World:
    def __init__(self) -> None:
        self.registry, self.progress, self.executions = FakeRegistry(), FakeProgress(), FakeExecutions()

    def add(self, row: Version, execution: Execution | None = None) -> None:
        self.registry.add(row)
        if execution is not None:
            self.executions.running[row.builder, row.version] = execution

    @property
    def builds(self) -> Builds:
        return Builds(self.registry, self.progress, self.executions)

    def states(self):
        return {one.name: one for one in self.builds.of("customers", 2, NOW).states}


@pytest.fixture
def world():
    return World()


def execution(state: str, status: str = "RUNNING") -> Execution:
    return Execution(status=status, state=state, started_at=NOW - 60_000, entered_at=NOW - 10_000)


def test_states_are_done_running_or_waiting(world):
    world.add(version(), execution("Link"))
    assert [one.status for one in world.states().values()] == ["done", "done", "running", *["waiting"] * 5]


def test_a_map_tells_how_many_of_its_items_are_done_and_when_it_will_be(world):
    world.add(version(), execution("Scan"))
    world.progress.add_progress("customers", 2, {"plan.parts": 40, "scan.parts": 10, "scan.events": 9000})
    scan = world.states()["Scan"]
    assert (scan.done, scan.total, scan.counts) == (10, 40, {"events": 9000})
    assert (scan.events_per_s, scan.left_s) == (900, 30)


def test_before_anything_is_counted_nobody_knows_how_long_it_takes(world):
    world.add(version(), execution("Replay"))
    replay = world.states()["Replay"]
    assert (replay.done, replay.events_per_s, replay.left_s) == (0, 0, None)


def test_a_version_that_is_active_has_been_through_all_states(world):
    world.add(version(status=Status.ACTIVE), execution("CutOver"))
    assert {one.status for one in world.states().values()} == {"done"}
    assert list(world.states()) == list(STATES)


def test_a_version_that_failed_tells_in_which_state(world):
    world.add(version(status=Status.FAILED), execution("Replay", "FAILED"))
    assert world.states()["Replay"].status == "failed"
    assert world.states()["Verify"].status == "waiting"


def test_a_build_whose_execution_is_over_or_never_was_is_stuck(world):
    world.add(version())
    assert world.builds.of("customers", 2, NOW).is_stuck
    world.executions.running["customers", 2] = execution("Scan", "ABORTED")
    assert world.builds.of("customers", 2, NOW).is_stuck
    world.executions.running["customers", 2] = execution("Scan")
    assert not world.builds.of("customers", 2, NOW).is_stuck


def test_the_newest_build_is_the_one_under_way_or_the_last(world):
    assert world.builds.newest("customers") is None
    world.add(version(1, Status.ACTIVE))
    world.add(replace(version(3), status=Status.FAILED))
    assert world.builds.newest("customers").version == 3
    world.add(version(2))
    assert world.builds.newest("customers").version == 2
