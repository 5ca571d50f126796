"""`kith fold` runs `profile.py`: the same however the work is split, and whatever else happens."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.test_cli_fold import SAMPLES, a_builder, kith

COUNTING = """
from collections import Counter

config = {}

async def profile(events, user, context):
    counts = Counter(event["type"] for event in events)
    first = next(iter(events))
    return {
        "traits": {"counts": dict(counts), "anonymousId": user.anonymous_id, "first": first["messageId"]},
        "profile_id": user.user_id,
    }
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def profiles_in(path):
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def test_the_result_of_the_function_is_laid_over_its_profile():
    result = kith(SAMPLES, builder=a_builder(profile=COUNTING))
    assert result.exit_code == 0, result.stderr
    profiles = profiles_in("out.jsonl")
    for one in profiles:
        counts = {name: times for name, times in one["traits"].items() if name.startswith("counts.")}
        assert 0 < sum(counts.values()) <= one["event_count"]
        assert (
            one["published_id"] in one["identifiers"]["user_id"] if "user_id" in one["identifiers"] else True
        )
    types = Counter(json.loads(line)["type"] for line in SAMPLES.read_bytes().splitlines())
    assert sum(one["traits"].get("counts.page", 0) for one in profiles) <= types["page"]
    assert kith(SAMPLES, builder=a_builder(), out="plain.jsonl").exit_code == 0
    assert [one["profile_id"] for one in profiles_in("plain.jsonl")] == [
        one["profile_id"] for one in profiles
    ]


def test_traits_that_cannot_be_kept_are_counted():
    source = "def profile(events, user, context):\n    return {'traits': {'a': 10 ** 50, 'b': 1}}\n"
    result = kith(SAMPLES, builder=a_builder(profile=source))
    assert result.exit_code == 0, result.stderr
    profiles = profiles_in("out.jsonl")
    assert f"{len(profiles)} traits of profile.py left out" in result.stderr
    assert all("a" not in one["traits"] and one["traits"]["b"] == 1 for one in profiles)


def test_the_chain_and_the_function_have_one_store():
    chain = "def transform(event, context):\n    context.store.set('latest', event['messageId'])\n"
    source = "def profile(events, user, context): return {'traits': {'at': context.store.get('latest')}}"
    assert kith(SAMPLES, builder=a_builder(transform=chain, profile=source)).exit_code == 0
    latest = json.loads(SAMPLES.read_bytes().splitlines()[-1])["messageId"]
    assert {one["traits"]["at"] for one in profiles_in("out.jsonl")} == {latest}


def test_what_a_function_does_to_its_user_changes_no_profile():
    event = {
        "type": "identify",
        "userId": "u1",
        "timestamp": "2026-01-01T00:00:00Z",
        "traits": {"tags": ["a"], "plan": "gold"},
    }
    Path("events.jsonl").write_text(json.dumps(event))
    source = """
def profile(events, user, context):
    user.traits["tags"].append("b")
    user.identifiers["user_id"].clear()
    del user.traits["plan"]
    return {"traits": {"n": 1}}
"""
    assert kith("events.jsonl", builder=a_builder(profile=source)).exit_code == 0
    [profile] = profiles_in("out.jsonl")
    assert profile["traits"] == {"tags": ["a"], "plan": "gold", "n": 1}
    assert profile["identifiers"] == {"user_id": ["u1"]}


def test_parts_processes_and_a_chain_change_not_one_byte_of_the_results():
    builder = a_builder("def transform(event, context):\n    return event\n", profile=COUNTING)
    assert kith(SAMPLES, builder=builder).exit_code == 0
    expected = Path("out.jsonl").read_bytes()
    result = kith(SAMPLES, builder=builder, out="other.jsonl", workers=2)
    assert result.exit_code == 0, result.stderr
    assert Path("other.jsonl").read_bytes() == expected
    Path("builder/transform.py").unlink()
    for workers in (1, 2):
        assert kith(SAMPLES, builder=builder, out="other.jsonl", workers=workers).exit_code == 0
        assert Path("other.jsonl").read_bytes() == expected


def test_a_window_says_how_far_back_the_events_go():
    builder = a_builder(
        profile="def profile(events, user, context):\n    return {'traits': {'n': len(list(events))}}\n"
    )
    path = Path("builder/builder.yaml")
    path.write_text(path.read_text() + "\nprofile_function: {window: 7 days}\n")
    lines = [
        json.dumps({"type": "page", "messageId": day, "userId": "u", "timestamp": f"2026-01-{day}T00:00:00Z"})
        for day in ("01", "02", "09")
    ]
    Path("in.jsonl").write_text("\n".join(lines))
    assert kith("in.jsonl", builder=builder).exit_code == 0
    [profile] = profiles_in("out.jsonl")
    assert (profile["traits"]["n"], profile["event_count"]) == (2, 3)


def test_a_function_that_fails_for_a_profile_is_told_and_costs_that_profile_its_result_only():
    code = (
        "def profile(events, user, context):\n    return {'traits': {'id': user.identifiers['user_id'][0]}}\n"
    )
    builder = a_builder(profile=code)
    Path("in.jsonl").write_text(
        '{"messageId": "1", "userId": "u", "timestamp": "2026-01-01T00:00:00Z"}\n'
        '{"messageId": "2", "anonymousId": "c", "timestamp": "2026-01-01T00:00:00Z"}\n'
    )
    result = kith("in.jsonl", builder=builder)
    assert result.exit_code == 0
    assert "2 profiles, 1 profile without a result of profile.py" in result.stderr
    assert "has no result: KeyError at profile.py:2 (function_error)" in result.stderr
    assert sorted(one["traits"].get("id", "") for one in profiles_in("out.jsonl")) == ["", "u"]


def test_a_function_that_cannot_be_run_is_told_with_its_line():
    for workers in (1, 2):
        result = kith(SAMPLES, builder=a_builder(profile="limits = {}\nlimits['x']\n"), workers=workers)
        assert result.exit_code == 1
        assert result.stderr == "kith: builder/profile.py:2: cannot be run: KeyError: 'x'\n"


SECRETIVE = """
def transform(event, context):
    print("with", context.env["KEY"])
    if event["type"] == "identify":
        raise type(context.env["KEY"], (Exception,), {})(context.env["KEY"])
    event["custom_id"] = None
    context.store.set("seen", (context.store.get("seen") or 0) + 1)
    return {**event, "seen": context.store.get("seen")}
"""


def some_samples():
    Path("some.jsonl").write_bytes(b"\n".join(SAMPLES.read_bytes().splitlines()[:300]))
    return "some.jsonl"


def secretive(code=SECRETIVE):
    folder = a_builder(transform=code)
    yaml = Path(folder, "builder.yaml").read_text()
    seen = "attributes:\n  seen: {from: seen, type: number, aggregation: max}\n"
    Path(folder, "builder.yaml").write_text(
        yaml.replace("attributes:\n", seen, 1) + "\nenv: {KEY: {secret: kith/key}}\n"
    )
    return folder


def test_secrets_come_from_the_environment_and_are_seen_nowhere(monkeypatch):
    monkeypatch.setenv("KEY", "s3cret")
    result = kith(some_samples(), builder=secretive())
    assert result.exit_code == 0, result.stderr
    assert "transform.py: info: with ***" in result.stderr
    told = result.stdout + result.stderr + Path("some.jsonl.rejected").read_text()
    assert "*** at transform.py:5" in told
    assert "s3cret" not in told
    lines = len(Path("some.jsonl").read_bytes().splitlines())
    most = max(one["attributes"].get("seen", 0) for one in profiles_in("out.jsonl"))
    assert lines / 2 < most <= lines, "the store lasts as long as the command"


def test_a_secret_that_the_environment_does_not_have_is_told():
    result = kith(some_samples(), builder=secretive())
    assert "warn: KEY is a secret: to have it here, set it in the environment" in result.stderr
