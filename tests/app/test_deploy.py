"""What a deploy does with builder folders, and that it may die anywhere."""

from dataclasses import dataclass, field, replace

import pytest

from shared.app.deploy import Deployer, Outcome
from shared.app.folders import BrokenBuildersError, BuilderFolder
from shared.app.frozen import DamagedDefinitionError, freeze, thaw
from shared.app.rebuild.build import BuildName
from shared.app.rebuild.cut_over import cut_over
from shared.app.registry import Draft, Status
from shared.core.definition import with_custom_id
from shared.core.grammar import parse_definition
from tests.fakes.consumers import FakeConsumers
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.objects import FakeObjects
from tests.fakes.registry import FakeRegistry

CONSUMER = {"EventSourceArn": "arn:stream", "BatchSize": 1000}
NOW = 1_700_000_000_000


def yaml(name: str, *paths: str) -> str:
    return f"name: {name}\nidentifiers:\n  user_id: {{from: [{', '.join(paths or ('userId',))}]}}\n"


def folder(name: str = "customers", *paths: str, **files: str) -> BuilderFolder:
    texts = {file.replace("_py", ".py"): text for file, text in files.items()}
    return BuilderFolder(name, {"builder.yaml": yaml(name, *paths), **texts})


@dataclass
class Cloud:
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    objects: FakeObjects = field(default_factory=FakeObjects)
    consumers: FakeConsumers = field(default_factory=FakeConsumers)

    def deploy(self, *folders: BuilderFolder, life: Life | None = None, consumer=CONSUMER, now=NOW):
        ports = (self.registry, self.objects, self.consumers)
        if life is not None:
            ports = tuple(Mortal(port, life) for port in ports)
        return Deployer(*ports).deploy(folders, consumer, now)

    def state(self):
        objects = {key: data for key, (data, _) in self.objects.held.items()}
        return self.registry.__dict__, objects, self.consumers.__dict__


def test_a_new_folder_becomes_version_1_with_its_consumer():
    cloud = Cloud()
    assert cloud.deploy(folder()) == {"customers": [Outcome.PUBLISHED]}
    version = cloud.registry.version("customers", 1)
    assert cloud.registry.active() == {"customers": 1}
    assert (version.status, version.t0) == (Status.ACTIVE, 0)
    assert cloud.consumers.mappings == {"customers-v1": (0, CONSUMER)}
    assert version.definition_key == f"definitions/customers/1/{version.sha256}.json"


def test_the_frozen_object_holds_the_definition_and_the_texts_it_came_from():
    cloud = Cloud()
    source = folder(transform_py="def transform(event, context): ...\n")
    cloud.deploy(source)
    version = cloud.registry.version("customers", 1)
    frozen = thaw(cloud.objects.held[version.definition_key][0], version.sha256)
    assert frozen.files == source.files
    assert frozen.definition == with_custom_id(parse_definition(source.files["builder.yaml"]))


def test_a_changed_byte_of_a_frozen_definition_is_noticed():
    data, sha256 = freeze(parse_definition(yaml("customers")), {})
    with pytest.raises(DamagedDefinitionError):
        thaw(data.replace(b"userId", b"userID"), sha256)


def test_several_folders_are_published_at_once():
    cloud = Cloud()
    cloud.deploy(folder("accounts"), folder("customers"))
    assert cloud.registry.active() == {"accounts": 1, "customers": 1}


def test_the_same_deploy_again_changes_nothing():
    cloud = Cloud()
    cloud.deploy(folder())
    before = repr(cloud.state())
    assert cloud.deploy(folder()) == {"customers": [Outcome.UNCHANGED]}
    assert repr(cloud.state()) == before


def test_a_changed_folder_is_left_as_a_draft():
    cloud = Cloud()
    cloud.deploy(folder())
    assert cloud.deploy(folder("customers", "traits.id"), now=NOW + 1) == {"customers": [Outcome.DRAFTED]}
    draft = cloud.registry.draft("customers")
    assert draft.created_at == NOW + 1
    assert thaw(cloud.objects.held[draft.definition_key][0], draft.sha256).definition.name == "customers"
    assert cloud.registry.active() == {"customers": 1}
    assert len(cloud.registry.versions("customers")) == 1


def test_a_changed_python_file_is_a_change():
    cloud = Cloud()
    cloud.deploy(folder())
    assert cloud.deploy(folder(profile_py="def profile(*_): return None\n")) == {
        "customers": [Outcome.DRAFTED]
    }


def test_an_unchanged_draft_keeps_its_date():
    cloud = Cloud()
    cloud.deploy(folder())
    cloud.deploy(folder("customers", "a"))
    cloud.deploy(folder("customers", "a"), now=NOW + 99)
    assert cloud.registry.draft("customers").created_at == NOW


def test_a_folder_changed_back_drops_its_draft():
    cloud = Cloud()
    cloud.deploy(folder())
    cloud.deploy(folder("customers", "a"))
    assert cloud.deploy(folder()) == {"customers": [Outcome.UNCHANGED]}
    assert cloud.registry.draft("customers") is None


def test_a_deploy_never_drops_a_draft_that_a_person_made():
    cloud = Cloud()
    cloud.deploy(folder())
    mine = Draft(builder="customers", definition_key="k", sha256="s", created_at=NOW, created_by="ann")
    cloud.registry.put_draft(mine, None)
    cloud.deploy(folder())
    assert cloud.registry.draft("customers") == mine


def test_a_changed_folder_replaces_a_draft_that_was_made_by_a_clock_ahead():
    cloud = Cloud()
    cloud.deploy(folder())
    mine = Draft(builder="customers", definition_key="k", sha256="s", created_at=NOW + 99, created_by="ann")
    cloud.registry.put_draft(mine, None)
    assert cloud.deploy(folder("customers", "a")) == {"customers": [Outcome.DRAFTED]}
    assert cloud.registry.draft("customers").created_by == "deploy"


def test_a_draft_that_is_set_while_a_deploy_goes_on_stays():
    cloud = Cloud()
    cloud.deploy(folder())
    mine = Draft(builder="customers", definition_key="k", sha256="s", created_at=NOW, created_by="ann")
    put = cloud.registry.put_draft

    def slower(draft, was):
        put(mine, None)
        put(draft, was)

    cloud.registry.put_draft = slower
    assert cloud.deploy(folder("customers", "a")) == {"customers": [Outcome.DRAFTED]}
    assert cloud.registry.draft("customers") == mine


def test_a_folder_that_is_gone_leaves_its_version_at_work():
    cloud = Cloud()
    cloud.deploy(folder())
    assert cloud.deploy() == {"customers": [Outcome.GONE]}
    assert "customers-v1" in cloud.consumers.mappings


def test_changed_consumer_settings_reach_every_active_version():
    cloud = Cloud()
    cloud.deploy(folder("accounts"), folder("customers"))
    cloud.deploy(folder("customers"), consumer={**CONSUMER, "BatchSize": 5})
    assert {settings["BatchSize"] for _, settings in cloud.consumers.mappings.values()} == {5}


def test_a_broken_folder_fails_the_deploy_with_all_problems_and_changes_nothing():
    cloud = Cloud()
    bad = [
        BuilderFolder("a", {"builder.yaml": "name: a\nidentifiers: {x: {form: y}}\n", "profile.py": "def ("}),
        BuilderFolder("b", {}),
        BuilderFolder("c", {"builder.yaml": yaml("other")}),
    ]
    with pytest.raises(BrokenBuildersError) as caught:
        cloud.deploy(folder(), *bad)
    lines = str(caught.value).splitlines()
    assert any(line.startswith("a/profile.py:1:") for line in lines)
    assert any(line.startswith("a/builder.yaml:2:") and "form" in line for line in lines)
    assert "b/builder.yaml: is missing" in lines
    assert any(line.startswith("c/builder.yaml: name: must be the folder's name") for line in lines)
    assert repr(cloud.state()) == repr(Cloud().state())


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_deploy_that_died_in_any_call_is_finished_by_the_next(after):
    whole = Cloud()
    whole.deploy(folder("accounts"), folder("customers"))
    deaths = 0
    while True:
        cloud = Cloud()
        try:
            cloud.deploy(folder("accounts"), folder("customers"), life=Life(deaths + 1, after=after))
        except Crash:
            deaths += 1
        else:
            break
        cloud.deploy(folder("accounts"), folder("customers"))
        assert repr(cloud.state()) == repr(whole.state())
    assert deaths > 10


def test_a_begun_first_version_stays_what_it_was_frozen_as():
    calls = 0
    while True:
        cloud, calls = Cloud(), calls + 1
        try:
            cloud.deploy(folder(), life=Life(calls))
        except Crash:
            if not cloud.registry.versions("customers"):
                continue
        break
    frozen = cloud.registry.version("customers", 1).sha256
    assert cloud.deploy(folder("customers", "other")) == {"customers": [Outcome.PUBLISHED, Outcome.DRAFTED]}
    assert cloud.registry.version("customers", 1).sha256 == frozen
    assert cloud.registry.draft("customers").sha256 != frozen


def test_a_deploy_leaves_a_first_version_alone_that_a_person_is_publishing():
    cloud = Cloud()
    cloud.deploy(folder())
    mine = replace(cloud.registry.version("customers", 1), status=Status.BUILDING, created_by="ann")
    cloud.registry.__init__()
    cloud.registry.add(mine)
    assert cloud.deploy(folder()) == {"customers": [Outcome.UNCHANGED]}
    assert cloud.registry.active() == {}
    assert cloud.registry.version("customers", 1) == mine


def test_a_deploy_does_not_leave_the_consumer_of_a_version_that_another_replaces_meanwhile():
    for folders in ((folder(),), ()):
        cloud = Cloud()
        cloud.deploy(folder())
        second = replace(cloud.registry.version("customers", 1), version=2, status=Status.BUILDING, t0=NOW)
        cloud.registry.add(second)
        cloud.consumers.ensure_alias("customers", 2)
        cloud.consumers.ensure_mapping("customers", 2, NOW, CONSUMER)
        ensure_alias = cloud.consumers.ensure_alias

        def replaced_first(builder, version, cloud=cloud, ensure_alias=ensure_alias):
            if cloud.registry.active() == {"customers": 1}:
                cut_over(cloud.registry, cloud.consumers, BuildName("customers", 2), NOW)
            ensure_alias(builder, version)

        cloud.consumers.ensure_alias = replaced_first
        cloud.deploy(*folders, consumer={**CONSUMER, "BatchSize": 5})
        assert cloud.consumers.mappings == {"customers-v2": (NOW, {**CONSUMER, "BatchSize": 5})}
        assert cloud.consumers.aliases == ["customers-v2"]


def test_a_version_tells_when_it_was_finished():
    cloud = Cloud()
    cloud.deploy(folder())
    assert cloud.registry.version("customers", 1).finished_at == NOW
