"""Publishing, rolling back and cancelling: one build at a time, and what died in between is finished."""

from dataclasses import dataclass, field, replace

import pytest

from shared.app.deploy import DEPLOYED_BY
from shared.app.executions import RUNNING, Execution
from shared.app.folders import BuilderFolder, read_folders
from shared.app.frozen import DamagedDefinitionError
from shared.app.publish import Asked, CannotPublishError, Publisher
from shared.app.registry import Status
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.executions import FakeExecutions
from tests.fakes.objects import FakeObjects
from tests.fakes.registry import FakeRegistry

NOW = 1_700_000_000_000
ASKED = Asked(by="ann", now=NOW)


def candidate(path: str = "userId", name: str = "customers"):
    text = f"name: {name}\nidentifiers:\n  user_id: {{from: {path}}}\n"
    (read,) = read_folders([BuilderFolder(name, {"builder.yaml": text})])
    return read


@dataclass
class Cloud:
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    objects: FakeObjects = field(default_factory=FakeObjects)
    executions: FakeExecutions = field(default_factory=FakeExecutions)

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.registry, self.objects, self.executions)

    def mortal(self, life: Life) -> Publisher:
        return Publisher(*(Mortal(port, life) for port in (self.registry, self.objects, self.executions)))

    def published(self, path: str) -> None:
        """Publish a definition, and have its build end at once."""
        self.publisher.set_draft(candidate(path), "ann", NOW)
        version = self.publisher.publish_draft("customers", ASKED)
        was = self.registry.active().get("customers")
        self.registry.activate(version, was)
        if was is not None:
            old = self.registry.version("customers", was)
            self.registry.replace(old, replace(old, status=Status.RETIRED))

    def statuses(self) -> dict[int, Status]:
        return {one.version: one.status for one in self.registry.versions("customers")}

    def state(self) -> str:
        objects = {key: data for key, (data, _) in self.objects.held.items()}
        return repr((self.registry.__dict__, objects, self.executions.__dict__))


@pytest.fixture
def cloud() -> Cloud:
    """A builder with an active version 1 and a draft of another definition."""
    cloud = Cloud()
    cloud.published("userId")
    cloud.publisher.set_draft(candidate("traits.id"), "ann", NOW)
    return cloud


def test_a_draft_becomes_the_next_version_and_is_built(cloud):
    version = cloud.publisher.publish_draft("customers", replace(ASKED, grace_s=60))
    assert (version.version, version.status, version.created_by) == (2, Status.BUILDING, "ann")
    assert version.definition_key == f"definitions/customers/2/{candidate('traits.id').sha256}.json"
    assert cloud.publisher.frozen(version).definition == candidate("traits.id").definition
    assert cloud.executions.graces["customers", 2] == 60
    assert cloud.registry.draft("customers") is None
    assert cloud.registry.active() == {"customers": 1}, "until it is built"


def test_a_builder_that_was_never_deployed_starts_with_version_1():
    cloud = Cloud()
    cloud.publisher.set_draft(candidate(), "ann", NOW)
    assert cloud.publisher.publish_draft("customers", ASKED).version == 1


def test_without_a_draft_there_is_nothing_to_publish(cloud):
    cloud.publisher.publish_draft("customers", ASKED)
    with pytest.raises(CannotPublishError, match="no draft; its version 2 is building"):
        cloud.publisher.publish_draft("customers", ASKED)
    with pytest.raises(CannotPublishError, match="no builder accounts"):
        cloud.publisher.publish_draft("accounts", ASKED)


def test_a_draft_that_says_what_the_active_version_says_is_none(cloud):
    assert cloud.publisher.set_draft(candidate("userId"), "ann", NOW + 1) is None
    assert cloud.registry.draft("customers") is None


def test_a_draft_that_has_meanwhile_become_the_active_version_is_dropped(cloud):
    draft = cloud.registry.draft("customers")
    cloud.published("traits.id")
    cloud.registry.put_draft(draft, None)
    with pytest.raises(CannotPublishError, match="which is active"):
        cloud.publisher.publish_draft("customers", ASKED)
    assert cloud.registry.draft("customers") is None
    assert len(cloud.statuses()) == 2


def test_of_two_who_set_a_draft_at_once_one_wins_whatever_their_clocks_say(cloud):
    def other():
        cloud.publisher.set_draft(candidate("other"), "bob", NOW - 1)

    registry = Meanwhile(cloud.registry, "put_draft", other)
    with pytest.raises(CannotPublishError, match="another draft"):
        Publisher(registry, cloud.objects, cloud.executions).set_draft(candidate("mine"), "ann", NOW + 1)
    assert cloud.registry.draft("customers").created_by == "bob"
    cloud.publisher.set_draft(candidate("mine"), "eve", NOW - 2)
    assert cloud.registry.draft("customers").created_by == "eve"


def test_a_second_build_is_refused(cloud):
    cloud.publisher.publish_draft("customers", ASKED)
    cloud.publisher.set_draft(candidate("other"), "bob", NOW)
    with pytest.raises(CannotPublishError, match="version 2 of customers is building, published by ann"):
        cloud.publisher.publish_draft("customers", ASKED)
    with pytest.raises(CannotPublishError, match="--replace"):
        cloud.publisher.rollback("customers", 1, ASKED)
    assert cloud.statuses() == {1: Status.ACTIVE, 2: Status.BUILDING}
    assert cloud.registry.draft("customers") is not None, "it waits"


def test_a_build_is_replaced_when_asked_for(cloud):
    cloud.publisher.publish_draft("customers", ASKED)
    cloud.publisher.set_draft(candidate("other"), "bob", NOW)
    version = cloud.publisher.publish_draft("customers", Asked(by="bob", now=NOW, replaces=True))
    assert version.version == 3
    assert cloud.statuses() == {1: Status.ACTIVE, 2: Status.FAILED, 3: Status.BUILDING}
    assert cloud.registry.version("customers", 2).reason == "cancelled by bob"
    assert not cloud.executions.of("customers", 2).runs
    assert cloud.executions.cleaning == [("customers", 2)]


class Meanwhile:
    """A port before whose first call of a name somebody else does something."""

    def __init__(self, port, name, other) -> None:
        self._port, self._name, self._other = port, name, other

    def __getattr__(self, name):
        if name == self._name and self._other is not None:
            other, self._other = self._other, None
            other()
        return getattr(self._port, name)


def test_of_two_who_publish_at_once_one_wins(cloud):
    def other():
        cloud.publisher.publish_draft("customers", replace(ASKED, by="bob"))

    registry = Meanwhile(cloud.registry, "add", other)
    with pytest.raises(CannotPublishError, match="somebody else has just published version 2"):
        Publisher(registry, cloud.objects, cloud.executions).publish_draft("customers", ASKED)
    assert cloud.statuses() == {1: Status.ACTIVE, 2: Status.BUILDING}
    assert cloud.registry.version("customers", 2).created_by == "bob"


def test_of_two_who_both_start_the_build_of_one_version_one_wins(cloud):
    """The second finds the row of the first, who has not started the build yet, or may never."""
    told = []

    def other():
        told.append(cloud.publisher.publish_draft("customers", replace(ASKED, by="bob")))

    executions = Meanwhile(cloud.executions, "start", other)
    with pytest.raises(CannotPublishError, match="somebody else has just published version 2"):
        Publisher(cloud.registry, cloud.objects, executions).publish_draft("customers", ASKED)
    assert [one.version for one in told] == [2]
    assert cloud.registry.draft("customers") is None


def test_an_earlier_version_is_published_again(cloud):
    cloud.published("traits.id")
    version = cloud.publisher.rollback("customers", 1, ASKED)
    assert version.version == 3
    assert version.sha256 == candidate("userId").sha256
    assert cloud.executions.of("customers", 3).runs


def test_a_version_that_does_not_exist_cannot_come_back(cloud):
    with pytest.raises(CannotPublishError, match=r"no version 7: it has 1 \(active\)"):
        cloud.publisher.rollback("customers", 7, ASKED)


def test_a_frozen_definition_that_was_changed_is_not_published(cloud):
    draft = cloud.registry.draft("customers")
    cloud.objects.put(draft.definition_key, b"{}")
    with pytest.raises(DamagedDefinitionError, match=f"^{draft.definition_key}: "):
        cloud.publisher.publish_draft("customers", ASKED)
    with pytest.raises(DamagedDefinitionError, match=f"^{draft.definition_key}: "):
        cloud.publisher.frozen(draft)
    assert cloud.statuses() == {1: Status.ACTIVE}


def test_a_build_is_cancelled_and_its_draft_stays_gone(cloud):
    cloud.publisher.publish_draft("customers", ASKED)
    cancelled = cloud.publisher.cancel("customers", "bob", NOW + 5)
    assert (cancelled.version, cancelled.status) == (2, Status.FAILED)
    assert (cancelled.reason, cancelled.finished_at) == ("cancelled by bob", NOW + 5)
    assert cloud.executions.cleaning == [("customers", 2)]
    assert cloud.publisher.cancel("customers", "eve", NOW + 6) == cancelled, "again is the same as once"
    assert cloud.executions.cleaning == [("customers", 2)]


def cleaned(cloud, version):
    row = cloud.registry.version("customers", version)
    return cloud.registry.replace(row, replace(row, cleaned_at=NOW))


def failed(cloud, reason, status):
    """Publish the draft, and have its build fail; its execution cleans up, or has ended."""
    version = cloud.publisher.publish_draft("customers", ASKED)
    cloud.registry.replace(version, replace(version, status=Status.FAILED, reason=reason))
    cloud.executions.running["customers", 2] = Execution(status=status, state="Replay")


@pytest.mark.parametrize("reason", ["cancelled by bob", "Replay: no"])
def test_a_version_whose_clean_up_died_is_cleaned_up_by_another_cancel(cloud, reason):
    failed(cloud, reason, "FAILED")
    for _ in range(2):
        assert cloud.publisher.cancel("customers", "eve", NOW).reason == reason
        assert cloud.executions.cleaning == [("customers", 2)]
    cloud.executions.cleaning.clear()  # it died
    cloud.publisher.cancel("customers", "eve", NOW)
    assert cloud.executions.cleaning == [("customers", 2)]


def test_a_version_whose_own_execution_cleans_up_is_left_to_it(cloud):
    failed(cloud, "Replay: no", RUNNING)
    cloud.publisher.cancel("customers", "eve", NOW)
    assert cloud.executions.of("customers", 2).runs
    assert cloud.executions.cleaning == []


def test_what_is_cleaned_up_is_not_cleaned_up_again(cloud):
    failed(cloud, "Replay: no", "FAILED")
    cleaned(cloud, 2)
    with pytest.raises(CannotPublishError, match=r"no version of customers is building: .*2 \(failed\)"):
        cloud.publisher.cancel("customers", "ann", NOW)
    cloud.publisher.rollback("customers", 1, ASKED)
    assert cloud.executions.cleaning == []


def test_only_what_builds_can_be_cancelled(cloud):
    with pytest.raises(CannotPublishError, match=r"no version of customers is building: it has 1 \(active\)"):
        cloud.publisher.cancel("customers", "ann", NOW)


def test_a_cancel_wins_against_a_build_that_writes_its_row(cloud):
    version = cloud.publisher.publish_draft("customers", ASKED)
    registry = Meanwhile(
        cloud.registry, "replace", lambda: cloud.registry.replace(version, replace(version, t0=NOW))
    )
    cancelled = Publisher(registry, cloud.objects, cloud.executions).cancel("customers", "ann", NOW)
    assert (cancelled.status, cancelled.t0) == (Status.FAILED, NOW)


def test_a_cancel_that_comes_too_late_changes_nothing(cloud):
    version = cloud.publisher.publish_draft("customers", ASKED)
    registry = Meanwhile(cloud.registry, "replace", lambda: cloud.registry.activate(version, 1))
    with pytest.raises(CannotPublishError, match="no longer building: it is active"):
        Publisher(registry, cloud.objects, cloud.executions).cancel("customers", "ann", NOW)
    assert cloud.executions.of("customers", 2).runs


def test_the_version_of_a_deploy_is_left_to_it():
    cloud = Cloud()
    cloud.publisher.set_draft(candidate(), "ann", NOW)
    cloud.publisher.publish_draft("customers", Asked(by=DEPLOYED_BY, now=NOW))
    cloud.publisher.set_draft(candidate("other"), "ann", NOW)
    for act in (
        lambda: cloud.publisher.cancel("customers", "ann", NOW),
        lambda: cloud.publisher.publish_draft("customers", ASKED),
        lambda: cloud.publisher.publish_draft("customers", replace(ASKED, replaces=True)),
    ):
        with pytest.raises(CannotPublishError, match="a deploy is publishing version 1"):
            act()


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize(
    "act",
    [
        lambda publisher: publisher.publish_draft("customers", ASKED),
        lambda publisher: publisher.rollback("customers", 1, ASKED),
    ],
    ids=["publish", "rollback"],
)
def test_what_died_in_any_call_is_finished_by_publishing_again(act, after):
    def fresh() -> Cloud:
        cloud = Cloud()
        cloud.published("userId")
        cloud.publisher.set_draft(candidate("traits.id"), "ann", NOW)
        return cloud

    whole = fresh()
    act(whole.publisher)
    deaths = 0
    while True:
        cloud = fresh()
        try:
            act(cloud.mortal(Life(deaths + 1, after=after)))
        except Crash:
            deaths += 1
        else:
            break
        try:
            act(cloud.publisher)
        except CannotPublishError as error:
            assert "is building" in str(error)  # noqa: PT017 - it had come so far that only this is left to say
        assert cloud.state() == whole.state()
    assert deaths >= 5


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_cancel_that_died_in_any_call_is_finished_by_the_next(after):
    deaths = 0
    while True:
        cloud = Cloud()
        cloud.publisher.set_draft(candidate(), "ann", NOW)
        cloud.publisher.publish_draft("customers", ASKED)
        try:
            cloud.mortal(Life(deaths + 1, after=after)).cancel("customers", "ann", NOW)
        except Crash:
            deaths += 1
        else:
            break
        cloud.publisher.cancel("customers", "ann", NOW)
        assert cloud.statuses() == {1: Status.FAILED}
        assert not cloud.executions.of("customers", 1).runs
        assert cloud.executions.cleaning == [("customers", 1)]
    assert deaths >= 3


def test_what_a_cancel_left_undone_is_done_by_the_next_publish(cloud):
    cloud.publisher.publish_draft("customers", ASKED)
    building = cloud.registry.version("customers", 2)
    cloud.registry.replace(building, replace(building, status=Status.FAILED, reason="cancelled by bob"))
    cloud.publisher.rollback("customers", 1, ASKED)
    assert cloud.executions.cleaning == [("customers", 2)]
