"""User code: what a function that runs it may do, which is what the context of user code offers."""

from aws_cdk import ArnFormat, Stack

from infra.function import Function
from infra.storage import Storage
from shared import contract


def allow_context(function: Function, storage: Storage) -> None:
    """Let a function that runs user code do what the context of user code offers, and no more."""
    function.allow(
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        on=[storage.user_store.table_arn],
    )
    function.tell({contract.ENV_USER_STORE: storage.user_store.table_name})
    secrets = Stack.of(function).format_arn(
        service="secretsmanager",
        resource="secret",
        resource_name=f"{contract.SECRETS}*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    function.allow(
        "secretsmanager:GetSecretValue",
        on=[secrets],
        because="Secrets are made by hand, with a random ending, after the stack; their names begin alike.",
    )
