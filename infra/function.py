"""The only Lambda function there is: one folder, one role that may do only what it is allowed here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import nag
from infra.bundle import bundle_function
from infra.settings import Settings
from shared import contract

LOG_RETENTION: Final = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}


def camel(name: str) -> str:
    """Write a folder's name as construct ids and states are written: rebuild_cut_over as RebuildCutOver."""
    return name.title().replace("_", "")


class Function(Construct):
    """Runs `lambdas/<name>/handler.py` on Python 3.13, arm64, and logs to a group of its own."""

    def __init__(  # noqa: PLR0913 - each names what differs between functions
        self,
        scope: Construct,
        name: str,
        settings: Settings,
        *,
        description: str,
        timeout: Duration,
        memory_mb: int,
        environment: Mapping[str, str],
        concurrency: int | None = None,
        folders: Sequence[str] = (),
    ) -> None:
        """Make the function; `concurrency` is reserved for it, and its limit."""
        super().__init__(scope, f"{camel(name)}Function")
        self.name = name
        self.timeout = timeout
        bundle = bundle_function(name, settings.target, folders)
        self.digest = bundle.digest
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=LOG_RETENTION[settings.log_retention_days],
            removal_policy=settings.removal_policy,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", on=[log_group.log_group_arn])
        self.resource = lambda_.Function(
            self,
            "Resource",
            description=description,
            code=lambda_.Code.from_asset(str(bundle.path), asset_hash=bundle.digest),
            handler=f"lambdas.{name}.handler.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mb,
            timeout=timeout,
            reserved_concurrent_executions=concurrency,
            role=self.role,
            log_group=log_group,
            environment={
                contract.ENV_STAGE: settings.stage,
                "POWERTOOLS_SERVICE_NAME": contract.SERVICE,
                **environment,
            },
        )
        nag.acknowledge(
            self.resource,
            "AwsSolutions-L1",
            "The bundled wheels are built for Python 3.13, which AWS supports into 2029.",
        )

    @property
    def arn(self) -> str:
        """The function's ARN, without an alias."""
        return self.resource.function_arn

    @property
    def versions(self) -> str:
        """The ARN that any alias or version of the function fits."""
        return f"{self.arn}:*"

    @property
    def only_mappings(self) -> Mapping[str, Mapping[str, Any]]:
        """The condition that an event source mapping is one of the function's, by an alias or without."""
        return {"ArnLike": {"lambda:FunctionArn": [self.arn, self.versions]}}

    def tell(self, environment: Mapping[str, str]) -> None:
        """Add to what the function finds in its environment."""
        for name, value in environment.items():
            self.resource.add_environment(name, value)

    def allow(
        self,
        *actions: str,
        on: Sequence[str],
        when: Mapping[str, Mapping[str, Any]] | None = None,
        because: str | None = None,
    ) -> None:
        """Let the function do the actions on resources, given by ARN, under an IAM condition.

        A `*` among the resources needs a reason (`because`), or synthesis fails.
        """
        self.role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(on), conditions=when)
        )
        if because:
            nag.acknowledge_wildcards(self.role, on, because)
