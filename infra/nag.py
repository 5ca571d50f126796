"""cdk-nag's AwsSolutions rules over the whole app, and the reasons where one does not apply."""

import json
from collections.abc import Iterable
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import Construct, IConstruct


def check(app: IConstruct) -> None:
    """Make synthesis fail on whatever the AwsSolutions pack finds and nobody acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of one rule on a construct; `rule` carries the finding in brackets."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_wildcards(construct: Construct, resources: Iterable[Any], reason: str) -> None:
    """Accept a `*` in exactly these resources of a role's policies."""
    stack = Stack.of(construct)
    for resource in resources:
        named = _named(stack.resolve(resource))
        if "*" in named:
            acknowledge(construct, f"AwsSolutions-IAM5[Resource::{named}]", reason)


def _named(value: Any) -> str:
    """Write a resolved ARN as cdk-nag names it in findings: references in angle brackets."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_named(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case {}:
            return json.dumps(value, separators=(",", ":"))
        case _:
            return str(value)
