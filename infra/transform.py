"""Transform: the function that runs the transformations of builders, and may do nothing else."""

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function
from infra.settings import Settings
from infra.storage import Storage
from infra.user_code import allow_context
from shared import contract

TIMEOUT: Final = Duration.seconds(60)
"""Well within the time of who waits for it."""
MEMORY_MB: Final = 2048
"""What user code may take in the two processes that are kept, and as much again."""


class Transform(Construct):
    """Transforms events for ingestion; its role may do what the context of user code offers, and no more."""

    def __init__(self, scope: Construct, settings: Settings, *, storage: Storage) -> None:
        super().__init__(scope, "Transform")
        self.transform = Function(
            self,
            "transform",
            settings,
            description="Runs the transformations of builders on events",
            timeout=TIMEOUT,
            memory_mb=MEMORY_MB,
            environment={},
        )
        allow_context(self.transform, storage)

    def allow_calls(self, function: Function) -> None:
        """Let a function have events transformed."""
        function.allow("lambda:InvokeFunction", on=[self.transform.arn])
        function.resource.add_environment(contract.ENV_TRANSFORM_FUNCTION, self.transform.arn)
