"""The state machine of a rebuild: which state follows which, and what becomes of one that fails.

Its states carry references: which version, which manifest, how many partitions, how long to wait. What
workers find and count lies in objects, so that no payload grows with the data. A state named like a function
runs it, and the function answers with a `status`: done, again, waiting (with `wait_s`) or failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra import nag
from infra.function import LOG_RETENTION, Function, camel
from infra.settings import Settings
from shared import contract

MACHINE_TIMEOUT: Final = Duration.days(30)
"""Over the longest grace period (a week) and the longest rebuild that anybody should wait for."""
TASK_MARGIN: Final = Duration.minutes(1)
"""What a state waits longer than its function may run, so that it is the function's own end that is seen."""

WORKERS_END: Final = Duration.minutes(16)
"""Longer than any function may run: what Step Functions has given up, or was told to stop, still works on."""
WORKERS_END_LOCAL: Final = Duration.seconds(4)
"""The local engine waits a quarter of it."""

RETRY_FIRST: Final = Duration.seconds(2)
RETRY_LATEST: Final = Duration.minutes(5)

FAILED_BUILD: Final = "BuildFailed"
FAILED_CHILD: Final = "States.ExceedToleratedFailureThreshold"
"""A child of a map failed for good, after retries of its own."""

BUILD: Final = {
    "builder": sfn.JsonPath.string_at("$.builder"),
    "version": sfn.JsonPath.number_at("$.version"),
    "attempt": sfn.JsonPath.number_at("$$.State.RetryCount"),
}
"""What every function is told: which version, and how often this was tried before."""


WORKERS: Final = "$.plan.workers"
"""How many workers may be at work at once: Plan knows what the account allows."""

CANCELLED: Final = sfn.Condition.boolean_equals("$.options.clean_up", value=True)
"""This execution is to clean up after a version whose own execution was stopped."""
FAILED: Final = sfn.Condition.is_present("$.fail")


@dataclass(frozen=True, slots=True)
class Step:
    """A function as a state: the task itself, and the state that is next when it is done."""

    first: sfn.State
    last: sfn.Choice


class RebuildMachine(Construct):
    """Plan to CleanUp; after a failure Fail and CleanUp of the version that failed."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        functions: Mapping[str, Function],
        bucket: s3.IBucket,
    ) -> None:
        super().__init__(scope, "Machine")
        self._settings = settings
        self._functions = functions
        self._bucket = bucket
        self._fail = self._task("fail", {"error": sfn.JsonPath.string_at("$.error.Error")})
        self._failed = sfn.Fail(self, "Failed", error=FAILED_BUILD, cause_path="$.fail.reason")
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=LOG_RETENTION[settings.log_retention_days],
            removal_policy=settings.removal_policy,
        )
        role = self._role()
        self.resource = sfn.StateMachine(
            self,
            "Resource",
            comment="Builds a version of a builder from the archive, and cuts over to it",
            definition_body=sfn.DefinitionBody.from_chainable(self._definition()),
            role=role.without_policy_updates(),
            timeout=MACHINE_TIMEOUT,
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=log_group,
                level=sfn.LogLevel.ALL,
                include_execution_data=False,
            ),
        )
        # Step Functions refuses a machine whose role may not write its logs yet.
        self.resource.node.add_dependency(role)
        self._allow_children(role)

    # The way of a version

    def _definition(self) -> sfn.IChainable:
        clean_up = self._clean_up()
        build = self._build(clean_up)
        self._fail.next(clean_up)
        defaults = sfn.Pass(
            self,
            "Defaults",
            comment="What holds where an execution's input says nothing",
            result=sfn.Result.from_object(
                {"clean_up": False, "grace_s": self._settings.cleanup_grace_h * 3600}
            ),
            result_path="$.defaults",
        )
        start = sfn.Pass(
            self,
            "Start",
            comment="`cleaned` is the version that CleanUp deletes: this one, unless it becomes active",
            parameters={
                "builder": sfn.JsonPath.string_at("$.builder"),
                "version": sfn.JsonPath.number_at("$.version"),
                "cleaned": sfn.JsonPath.number_at("$.version"),
                "error": {"Error": FAILED_BUILD},
                "options": sfn.JsonPath.json_merge(
                    sfn.JsonPath.object_at("$.defaults"), sfn.JsonPath.object_at("$$.Execution.Input")
                ),
            },
        )
        is_cancelled = sfn.Choice(self, "IsCancelled")
        return defaults.next(start).next(is_cancelled.when(CANCELLED, self._fail).otherwise(build))

    def _build(self, clean_up: sfn.State) -> sfn.State:
        """Chain the states from Plan to the end of the grace period."""
        plan = self._step("plan", waits=True)
        scan = self._map("scan", manifest="$.plan.manifest")
        link = self._step("link")
        shuffle = self._map("shuffle", manifest="$.link.shuffle")
        replay = self._map(
            "replay",
            manifest="$.link.replay",
            more={
                "partitions": sfn.JsonPath.number_at("$.link.partitions"),
                "workers": sfn.JsonPath.number_at(WORKERS),
            },
        )
        verify = self._step("verify")
        follow = self._step("follow", waits=True)
        # Once it has begun nothing is undone: it is redriven.
        cut_over = self._step("cut_over", catches=False)
        plan.last.otherwise(scan)
        scan.next(link.first)
        link.last.otherwise(shuffle)
        shuffle.next(replay)
        replay.next(verify.first)
        verify.last.otherwise(follow.first)
        follow.last.otherwise(cut_over.first)
        cut_over.last.when(
            sfn.Condition.number_equals("$.cut_over.retired", 0), sfn.Succeed(self, "NothingToCleanUp")
        ).otherwise(self._grace(clean_up))
        return plan.first

    def _grace(self, clean_up: sfn.State) -> sfn.State:
        """Wait while somebody may still read the old version, then clean it up."""
        grace = sfn.Wait(self, "Grace", time=sfn.WaitTime.seconds_path("$.options.grace_s"))
        retired = sfn.Pass(self, "CleanUpRetired", input_path="$.cut_over.retired", result_path="$.cleaned")
        grace.next(retired).next(clean_up)
        return grace

    def _clean_up(self) -> sfn.State:
        """Wait until nobody writes any more, then loop over CleanUp.

        The execution of a build that failed then ends as failed.
        """
        is_local = self._settings.target == "local"
        workers_end = sfn.Wait(
            self,
            "WorkersEnd",
            time=sfn.WaitTime.duration(WORKERS_END_LOCAL if is_local else WORKERS_END),
        )
        task = self._task("clean_up", {"version": sfn.JsonPath.number_at("$.cleaned")})
        refused = sfn.Fail(self, "NotCleanedUp", error=FAILED_BUILD, cause_path="$.clean_up.reason")
        outcome = sfn.Choice(self, "CleanUpOutcome")
        outcome.when(_answers("clean_up", "again"), task)
        outcome.when(_answers("clean_up", "failed"), refused)
        outcome.when(sfn.Condition.and_(FAILED, sfn.Condition.not_(CANCELLED)), self._failed)
        outcome.otherwise(sfn.Succeed(self, "Done"))
        task.next(outcome)
        workers_end.next(task)
        return workers_end

    # States

    def _step(self, name: str, *, waits: bool = False, catches: bool = True) -> Step:
        """Make a task and the choice after it, of which the way on (`otherwise`) is left open."""
        task = self._task(name)
        if catches:
            task.add_catch(self._fail, errors=["States.ALL"], result_path="$.error")
        outcome = sfn.Choice(self, f"{camel(name)}Outcome")
        outcome.when(_answers(name, "failed"), self._fail)
        if waits:
            wait = sfn.Wait(self, f"{camel(name)}Wait", time=sfn.WaitTime.seconds_path(f"$.{name}.wait_s"))
            outcome.when(_answers(name, "waiting"), wait.next(task))
        task.next(outcome)
        return Step(task, outcome)

    def _map(self, name: str, *, manifest: str, more: Mapping[str, Any] | None = None) -> sfn.DistributedMap:
        """Run a function for each line of a manifest in the bucket, again and again until it is done."""
        lines = sfn.DistributedMap(
            self,
            camel(name),
            label=camel(name),
            map_execution_type=sfn.StateMachineType.STANDARD,
            item_reader=sfn.S3JsonLItemReader(bucket=self._bucket, key=sfn.JsonPath.string_at(manifest)),
            item_selector={
                "builder": sfn.JsonPath.string_at("$.builder"),
                "version": sfn.JsonPath.number_at("$.version"),
                "item": sfn.JsonPath.object_at("$$.Map.Item.Value"),
                **(more or {}),
            },
            max_concurrency_path=WORKERS,
            tolerated_failure_percentage=0,
            result_path=sfn.JsonPath.DISCARD,
        )
        more_paths = {key: sfn.JsonPath.number_at(f"$.{key}") for key in more or {}}
        task = self._task(
            name, {"item": sfn.JsonPath.object_at("$.item"), **more_paths}, state=f"{camel(name)}One"
        )
        failed = sfn.Fail(self, f"{camel(name)}Failed", error=FAILED_BUILD, cause="The registry says why.")
        task.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        done = sfn.Succeed(self, f"{camel(name)}Done", output_path=sfn.JsonPath.DISCARD)
        outcome = sfn.Choice(self, f"{camel(name)}Outcome")
        outcome.when(_answers(name, "failed"), failed)
        outcome.when(_answers(name, "again"), task).otherwise(done)
        lines.item_processor(task.next(outcome))
        lines.add_retry(errors=[FAILED_CHILD], max_attempts=0)
        _retry(lines)
        lines.add_catch(self._fail, errors=["States.ALL"], result_path="$.error")
        return lines

    def _task(
        self, name: str, more: Mapping[str, Any] | None = None, *, state: str | None = None
    ) -> tasks.LambdaInvoke:
        function = self._functions[f"rebuild_{name}"]
        timeout = function.timeout.plus(TASK_MARGIN)
        task = tasks.LambdaInvoke(
            self,
            state or camel(name),
            lambda_function=function.resource,
            payload=sfn.TaskInput.from_object({**BUILD, **(more or {})}),
            payload_response_only=True,
            result_path=f"$.{name}",
            retry_on_service_exceptions=False,
            task_timeout=sfn.Timeout.duration(timeout),
        )
        _retry(task)
        return task

    # What it may do

    def _role(self) -> iam.Role:
        """Make a role of its own: CDK's grants would allow every version of each function."""
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        manifests = self._bucket.arn_for_objects(f"{contract.PREFIX_REBUILD}*")
        _allow(role, ["lambda:InvokeFunction"], [function.arn for function in self._functions.values()])
        _allow(
            role,
            ["s3:GetObject"],
            [manifests],
            because="An object's ARN is its key, and keys of manifests are made at run time.",
        )
        _allow(
            role,
            [
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeLogGroups",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
            ],
            ["*"],
            because="CloudWatch Logs knows no resource for the delivery of a service's logs.",
        )
        _allow(
            role,
            [
                "xray:GetSamplingRules",
                "xray:GetSamplingTargets",
                "xray:PutTelemetryRecords",
                "xray:PutTraceSegments",
            ],
            ["*"],
            because="X-Ray knows no resources for traces.",
        )
        return role

    def _allow_children(self, role: iam.Role) -> None:
        """Let a Distributed Map start, watch and redrive its children: executions of this machine."""
        policy = cast("iam.Policy", self.resource.node.find_child("DistributedMapPolicy"))  # CDK's own
        policy.attach_to_role(role)
        children = [
            resource
            for statement in Stack.of(self).resolve(policy.document)["Statement"]
            for resource in _as_list(statement["Resource"])
        ]
        nag.acknowledge_wildcards(policy, children, "Executions have no ARN before they are started.")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allow(
    role: iam.Role, actions: Sequence[str], resources: Sequence[str], because: str | None = None
) -> None:
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources)))
    if because:
        nag.acknowledge_wildcards(role, resources, because)


def _answers(name: str, status: str) -> sfn.Condition:
    return sfn.Condition.string_equals(f"$.{name}.status", status)


def _retry(state: sfn.TaskStateBase | sfn.DistributedMap) -> None:
    """Try again after any error, later each time and never at the same time as others that failed."""
    state.add_retry(
        errors=["States.ALL"],
        interval=RETRY_FIRST,
        max_attempts=contract.REBUILD_RETRIES,
        backoff_rate=2,
        max_delay=RETRY_LATEST,
        jitter_strategy=sfn.JitterType.FULL,
    )
