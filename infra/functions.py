"""Functions: when the profile functions of builders run, and the function that runs them.

    profiles table -> its stream -> dispatch -> queue -> run -> sandbox
                                                  `-> dead letters

The stream tells of every profile that is due, the queue holds each back for as long as its builder says and
brings it again, later and later, until it is dealt with. The sandbox runs user code, and may do no more than
what its context offers.
"""

import json
from typing import Any, Final

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.archive import Archive
from infra.function import Function
from infra.settings import Settings
from infra.storage import Storage
from infra.user_code import allow_context
from shared import contract

DISPATCH_TIMEOUT: Final = Duration.seconds(60)
DISPATCH_BATCH_SIZE: Final = 500
DISPATCH_LANES: Final = 4
"""Invocations at work per shard of the stream; each profile keeps its order."""
FOR_EVER: Final = -1
"""How often, and how long, Lambda delivers a failing batch again."""

RUN_TIMEOUT: Final = Duration.minutes(5)
RUN_BATCH_SIZE: Final = 10
"""The most that a queue gives at once; they are run at the same time, so that none waits for another."""
RUN_MEMORY_MB: Final = 1024
SANDBOX_TIMEOUT: Final = Duration.minutes(2)
"""Well within the time of who waits for it."""

VISIBILITY: Final = Duration.minutes(30)
"""When a message comes again whose invocation was lost: six times its timeout, as AWS advises."""
KEPT: Final = Duration.days(14)
RECEIVES_MAX: Final = 100
"""After so many deliveries a message is dead: only one whose invocations are lost comes that far."""


class Functions(Construct):
    """Runs profile functions after profiles have changed."""

    def __init__(self, scope: Construct, settings: Settings, *, storage: Storage, archive: Archive) -> None:
        super().__init__(scope, "Functions")
        self._settings = settings
        self._archive = archive
        self.dead = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=KEPT,
            removal_policy=settings.removal_policy,
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=KEPT,
            visibility_timeout=VISIBILITY,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=RECEIVES_MAX),
            removal_policy=settings.removal_policy,
        )
        self.dispatch = self._dispatch(storage)
        self.sandbox = self._sandbox(storage)
        self.run = self._run(storage)

    def allow_calls(self, function: Function) -> None:
        """Let a function have profile functions run."""
        function.allow("lambda:InvokeFunction", on=[self.sandbox.arn])
        function.tell({contract.ENV_FUNCTIONS_SANDBOX: self.sandbox.arn})
        self._archive.allow_objects(
            function, "s3:GetObject", "s3:PutObject", prefix=contract.PREFIX_FUNCTION_INPUTS
        )

    def _dispatch(self, storage: Storage) -> Function:
        dispatch = Function(
            self,
            "functions_dispatch",
            self._settings,
            description="Puts profiles whose function is to run on the queue",
            timeout=DISPATCH_TIMEOUT,
            memory_mb=512,
            environment={contract.ENV_FUNCTIONS_QUEUE: self.queue.queue_url},
        )
        stream = storage.profiles.table_stream_arn
        dispatch.allow(
            "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", on=[str(stream)]
        )
        dispatch.allow(
            "dynamodb:ListStreams",
            on=[f"{storage.profiles.table_arn}/stream/*"],
            because="Lambda lists the streams of the table, whose names hold when they were made.",
        )
        dispatch.allow("sqs:SendMessage", on=[self.queue.queue_arn])
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Changes",
            event_source_arn=stream,
            function_name=dispatch.arn,
            starting_position="TRIM_HORIZON",
            batch_size=DISPATCH_BATCH_SIZE,
            parallelization_factor=DISPATCH_LANES,
            bisect_batch_on_function_error=False,
            maximum_retry_attempts=FOR_EVER,
            maximum_record_age_in_seconds=FOR_EVER,
            filter_criteria=_only(_due()),
        )
        mapping.node.add_dependency(dispatch)  # its role may read before the first batch
        return dispatch

    def _run(self, storage: Storage) -> Function:
        run = Function(
            self,
            "functions_run",
            self._settings,
            description="Has profile functions run, and writes their results",
            timeout=RUN_TIMEOUT,
            memory_mb=RUN_MEMORY_MB,
            environment={
                contract.ENV_PROFILES_TABLE: storage.profiles.table_name,
                contract.ENV_IDENTIFIERS_TABLE: storage.identifiers.table_name,
                contract.ENV_REGISTRY_TABLE: storage.registry.table_name,
                contract.ENV_ARCHIVE_BUCKET: self._archive.bucket.bucket_name,
                contract.ENV_FUNCTIONS_QUEUE: self.queue.queue_url,
                contract.ENV_FUNCTIONS_ATTEMPTS: str(self._settings.functions_attempts),
                contract.ENV_FUNCTIONS_RETRY_S: str(self._settings.functions_retry_s),
            },
        )
        self.allow_calls(run)
        run.allow(
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
            on=[self.queue.queue_arn],
        )
        # A result is one write; but events that were parked beside a profile are folded as ingestion does it.
        storage.allow_folding(run)
        run.allow("dynamodb:Query", on=[storage.profiles.table_arn])
        run.allow("dynamodb:GetItem", on=[storage.registry.table_arn])
        self._archive.allow_listing(run)
        self._archive.allow_objects(run, "s3:GetObject", prefix=contract.PREFIX_DEFINITIONS)
        self._archive.allow_objects(run, "s3:PutObject", prefix=contract.PREFIX_FUNCTION_ERRORS)
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Due",
            event_source_arn=self.queue.queue_arn,
            function_name=run.arn,
            batch_size=RUN_BATCH_SIZE,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(
                maximum_concurrency=self._settings.functions_concurrency
            ),
        )
        mapping.node.add_dependency(run)
        return run

    def _sandbox(self, storage: Storage) -> Function:
        sandbox = Function(
            self,
            "functions_sandbox",
            self._settings,
            description="Runs the profile functions of builders",
            timeout=SANDBOX_TIMEOUT,
            memory_mb=self._settings.functions_memory_mb,
            environment={},
        )
        allow_context(sandbox, storage)
        return sandbox


def _due() -> dict[str, Any]:
    """Return what a change is like that makes a profile due."""
    return {"dynamodb": {"NewImage": {contract.PROFILES_DUE: {"N": [{"exists": True}]}}}}


def _only(pattern: dict[str, Any]) -> lambda_.CfnEventSourceMapping.FilterCriteriaProperty:
    """Have Lambda deliver nothing but records that a pattern fits: for the others nobody is invoked."""
    return lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
        filters=[lambda_.CfnEventSourceMapping.FilterProperty(pattern=json.dumps(pattern))]
    )
