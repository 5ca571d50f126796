"""Storage: the tables of profiles, of the way to them, of versions, and of what user code keeps."""

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.function import Function
from infra.settings import Settings
from shared import contract


class Storage(Construct):
    """Tables billed by request, encrypted, recoverable to any second of the last 35 days."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "Storage")
        self._settings = settings
        self.profiles = self._table(
            "Profiles",
            contract.PROFILES_PK,
            contract.PROFILES_SK,
            expires_by=contract.TTL_ATTRIBUTE,
            stream=dynamodb.StreamViewType.NEW_IMAGE,
        )
        self.identifiers = self._table(
            "Identifiers", contract.IDENTIFIERS_PK, expires_by=contract.TTL_ATTRIBUTE
        )
        self.registry = self._table("Registry", contract.REGISTRY_PK, contract.REGISTRY_SK)
        self.user_store = self._table("UserStore", contract.USER_STORE_PK, expires_by=contract.TTL_ATTRIBUTE)

    def allow_folding(self, function: Function) -> None:
        """Let a function write profiles as ingestion does, and the ways to them."""
        function.allow(
            "dynamodb:BatchGetItem",
            "dynamodb:BatchWriteItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:DeleteItem",
            "dynamodb:PartiQLInsert",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            on=[self.profiles.table_arn],
        )
        function.allow(  # pointers are moved and expire; nobody deletes one
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            on=[self.identifiers.table_arn],
        )

    def _table(
        self,
        name: str,
        partition_key: str,
        sort_key: str | None = None,
        *,
        expires_by: str | None = None,
        stream: dynamodb.StreamViewType | None = None,
    ) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            name,
            partition_key=_text(partition_key),
            sort_key=_text(sort_key) if sort_key else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=expires_by,
            stream=stream,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            deletion_protection=not self._settings.is_development,
            removal_policy=self._settings.removal_policy,
        )


def _text(key: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=key, type=dynamodb.AttributeType.STRING)
