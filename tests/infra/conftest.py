import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.app import make_app
from infra.bundle import ROOT

CDK_CONTEXT: Mapping[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]

Resource = dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """A template, and what cdk-nag found."""

    template: dict[str, Any]
    findings: list[Any]

    def resources(self, kind: str) -> dict[str, Resource]:
        """Properties of all resources of a type, by logical id."""
        return {name: resource["Properties"] for name, resource in self.raw(kind).items()}

    def raw(self, kind: str) -> dict[str, Resource]:
        """Whole resources of a type, policies and all."""
        return {
            name: resource
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == f"AWS::{kind}"
        }

    def one(self, kind: str, name: str) -> Resource:
        """Properties of the resource of a type whose logical id contains a name."""
        [found] = [resource for key, resource in self.resources(kind).items() if name in key]
        return found

    def functions(self) -> dict[str, Resource]:
        """Properties of functions by the folder of their handler."""
        functions = self.resources("Lambda::Function").values()
        return {function["Handler"].split(".")[1]: function for function in functions}

    def statements(self, function: str) -> Iterator[Resource]:
        """What a function's role may do."""
        role = self.functions()[function]["Role"]["Fn::GetAtt"][0]
        for policy in self.resources("IAM::Policy").values():
            if {"Ref": role} in policy["Roles"]:
                yield from policy["PolicyDocument"]["Statement"]


def synthesize(outdir: Path, **settings: Any) -> Synthesized:
    app = make_app({**CDK_CONTEXT, "aws:cdk:disable-asset-staging": True, **settings}, str(outdir))
    assembly = app.synth()
    report = json.loads((outdir / "validation-report.json").read_text())
    return Synthesized(assembly.stacks[0].template, report["pluginReports"])


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The development stage, as it comes."""
    return synthesize(tmp_path_factory.mktemp("dev"))


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """A stage with every optional part in it."""
    return synthesize(
        tmp_path_factory.mktemp("prod"),
        stage="prod",
        shards="4",
        archive_retention="400",
        archive_window_s="30",
        archive_concurrency="4",
        ingest_concurrency="20",
        alarm_email="ops@example.com",
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def flat(value: Any) -> str:
    """A template's value as text, with references in angle brackets."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return separator.join(flat(part) for part in parts)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case _:
            return str(value)


def masked(template: Any) -> Any:
    """A template whose digests are masked: what remains changes only with the infrastructure."""
    text = re.sub(r"\b[0-9a-f]{32,64}\b", "DIGEST", json.dumps(template))
    return json.loads(text)
