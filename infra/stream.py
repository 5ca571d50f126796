"""Stream: where events come in."""

from aws_cdk import Duration
from aws_cdk import aws_kinesis as kinesis
from constructs import Construct

from infra import nag
from infra.function import Function
from infra.settings import Settings
from shared import contract


class Stream(Construct):
    """An encrypted Kinesis stream that keeps records for 7 days, for versions that must catch up."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "Stream")
        self.stream = kinesis.Stream(
            self,
            "Resource",
            stream_mode=kinesis.StreamMode[settings.stream_mode.upper()],
            shard_count=settings.shards,
            retention_period=Duration.hours(contract.STREAM_RETENTION_H),
            encryption=kinesis.StreamEncryption.MANAGED,
            removal_policy=settings.removal_policy,
        )
        nag.acknowledge(
            self.stream,
            "AwsSolutions-KDS3",
            "With AWS's own key, producers of other teams need no grant on a key of ours.",
        )

    def allow_reading(self, function: Function) -> None:
        """Let Lambda read the stream in the name of a function that consumes it."""
        function.allow(
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
            on=[self.stream.stream_arn],
        )
