"""`kith verify`: two stored versions, compared."""

import json
from dataclasses import replace

import pytest

from cli.publishing import now_ms
from shared import contract
from shared.app.registry import Status
from shared.core.compile import Builder
from shared.core.grammar import parse_definition
from shared.core.times import format_time
from tests.people import HOUR, an_event
from tests.unit.test_cli_cloud import NAMES, NOW, ingest
from tests.unit.test_cli_publishing import YAML, clients, cloud, kith

__all__ = ["clients", "cloud"]  # fixtures

COUNTS = YAML + "attributes:\n  orders: {aggregation: count}\n"


@pytest.fixture
def two_versions(cloud, tmp_path, request):
    """Two versions of a builder, 2 active; the tables are shared, so each test has a builder of its own."""
    name = f"b{abs(hash(request.node.name)) % 10**9}"
    texts = [text.replace("people", name) for text in (COUNTS, COUNTS)]
    texts[1] += "  spent: {from: properties.total, type: number, aggregation: sum}\n"
    cloud.deploy(name, texts[0])
    folder = tmp_path / name
    folder.mkdir()
    (folder / "builder.yaml").write_text(texts[getattr(request, "param", 0)] + "# another remark\n")
    assert kith("draft", folder).exit_code == 0
    assert kith("publish", name).exit_code == 0
    first, second = cloud.registry.versions(name)
    cloud.registry.activate(replace(second, finished_at=NOW + HOUR), was=1)
    cloud.registry.replace(first, replace(first, status=Status.RETIRED))
    definition = parse_definition((folder / "builder.yaml").read_text())
    return Versions(cloud, name, [Builder(parse_definition(texts[0])), Builder(definition)])


class Versions:
    def __init__(self, cloud, name, builders) -> None:
        self.cloud, self.name, self.builders = cloud, name, builders

    def ingest(self, *events, versions=(1, 2)):
        for version in versions:
            ingest(self.cloud.client, *events, builder=self.builders[version - 1], version=version)


def test_versions_that_hold_the_same_are_equal(two_versions):
    two_versions.ingest(
        *(an_event(messageId=str(number), userId=f"u{number % 7}", arrival=NOW - 10) for number in range(30))
    )
    result = kith("verify", two_versions.name)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{two_versions.name}: version 1 (retired): 7 profiles and version 2 (active): 7 profiles",
        "7 profiles equal",
    ]
    told = json.loads(kith("verify", two_versions.name, "--versions", 2, 1, "--json").stdout)
    assert (told["versions"], told["equal"], told["different"]) == ([2, 1], 7, 0)


@pytest.mark.parametrize("two_versions", [1], indirect=True)
def test_a_changed_attribute_is_told_as_one(two_versions):
    two_versions.ingest(an_event(messageId="1", userId="u", arrival=NOW - 10, properties={"total": 5}))
    result = kith("verify", two_versions.name)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[1:5] == [
        "0 profiles equal",
        "1 profile different:",
        "  definition: 1 profile",
        "    attributes.spent: 1",
    ]
    assert lines[-1].split() == ["attributes.spent", "definition", "-", "5"]


def test_what_only_one_version_has_is_told_with_its_cause(two_versions):
    event = an_event(messageId="1", userId="u", arrival=NOW - HOUR)
    two_versions.ingest(event)
    two_versions.ingest(an_event(messageId="2", userId="u", arrival=NOW + HOUR), versions=[2])
    two_versions.ingest(an_event(messageId="3", userId="lost", arrival=NOW - HOUR), versions=[1])
    told = json.loads(kith("verify", two_versions.name, "--json").stdout)
    assert told["causes"] == {"to be followed": 1, "unexplained": 1}
    assert told["places"]["profile"] == {"unexplained": 1}
    assert told["places"]["attributes.orders"] == {"to be followed": 1}


def test_what_was_backfilled_between_two_versions_is_told_as_that(two_versions, tmp_path):
    registry, name = two_versions.cloud.registry, two_versions.name
    first, second = registry.versions(name)
    published = now_ms()
    registry.replace(first, replace(first, t0=NOW, created_at=published - HOUR))
    history = tmp_path / "history.jsonl"
    since = json.dumps({"type": "track", "userId": "u", "timestamp": format_time(NOW - 10 * HOUR)})
    history.write_text(since + "\n")
    assert kith("backfill", history).exit_code == 0
    registry.replace(second, replace(registry.version(name, 2), t0=NOW, created_at=published + HOUR))
    two_versions.ingest(an_event(messageId="1", userId="u", arrival=NOW - HOUR))
    two_versions.ingest(an_event(messageId="2", userId="u", arrival=NOW - 10 * HOUR), versions=[2])
    try:
        told = json.loads(kith("verify", name, "--json").stdout)
    finally:
        for one in two_versions.cloud.objects.list(contract.PREFIX_BACKFILL):
            two_versions.cloud.objects.delete(one.key)
    assert told["causes"] == {"archive": 1}


def test_a_version_that_was_cleaned_up_cannot_be_compared(two_versions):
    two_versions.ingest(an_event(messageId="1", userId="u", arrival=NOW), versions=[2])
    result = kith("verify", two_versions.name)
    assert (result.exit_code, result.stderr) == (
        1,
        f"kith: version 1 of {two_versions.name} has no profiles: it was cleaned up\n",
    )


@pytest.mark.usefixtures("cloud")
def test_two_versions_are_needed():
    assert "has not two versions with profiles" in kith("verify", "people").stderr
    assert "has no version 7; it has 1" in kith("verify", "people", "--versions", 1, 7).stderr


def test_a_version_that_is_being_built_is_compared_when_named_as_soon_as_it_has_profiles(two_versions):
    name, registry = two_versions.name, two_versions.cloud.registry
    two_versions.ingest(an_event(messageId="1", userId="u", arrival=NOW))
    active = registry.version(name, 2)
    third = replace(active, version=3, status=Status.BUILDING, finished_at=0, has_items=False, rev=1)
    registry.add(third)
    assert kith("verify", name).exit_code == 0, "of the others"
    for versions in ((2, 3), (3, 2)):
        assert (
            f"version 3 of {name} has no profiles yet" in kith("verify", name, "--versions", *versions).stderr
        )
    registry.replace(third, replace(third, has_items=True))
    result = kith("verify", name, "--versions", 2, 3)
    assert result.exit_code == 1
    assert "version 3 is still being built: what it lacks may be to come" in result.stdout.splitlines()
    retired = registry.version(name, 1)
    registry.replace(retired, replace(retired, cleaned_at=NOW))
    assert (
        f"version 1 of {name} has no profiles: it was cleaned up"
        in kith("verify", name, "--versions", 1, 2).stderr
    )
    assert "has not two versions with profiles: version 3 is being built" in kith("verify", name).stderr


def test_a_row_of_the_registry_that_somebody_has_damaged_is_told_in_a_sentence(cloud):
    key = {contract.REGISTRY_PK: {"S": "people"}, contract.REGISTRY_SK: {"S": contract.registry_version(1)}}
    cloud.client("dynamodb").put_item(TableName=NAMES[contract.OUTPUT_REGISTRY_TABLE], Item=key)
    for command in (("verify", "people"), ("versions", "people"), ("builds",), ("cancel", "people")):
        result = kith(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert (
            result.stderr == "kith: the registry is damaged: the row of a version of people cannot be read\n"
        )
