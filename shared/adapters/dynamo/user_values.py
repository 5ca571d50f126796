"""Implements `UserValues` on the table of the store."""

from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from shared.app.user_store import Held, StoreUnavailableError
from shared.contract import TTL_ATTRIBUTE, USER_STORE_PK, USER_STORE_VALUE

_NONE_LIVE: Final = f"attribute_not_exists({USER_STORE_PK}) OR {TTL_ATTRIBUTE} <= :now"


class DynamoUserValues:
    """Keeps one item for each key; DynamoDB removes those that are over some time later."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, key: str) -> Held | None:
        """Return what is kept, live or not."""
        answer = self._call(self._client.get_item, Key={USER_STORE_PK: {"S": key}}, ConsistentRead=True)
        return _held(answer.get("Item"))

    def put(self, key: str, held: Held) -> None:
        """Keep a value, in place of another."""
        self._call(self._client.put_item, Item=_item(key, held))

    def put_if_dead(self, key: str, held: Held, now_s: float) -> Held | None:
        """Keep a value unless a live one is there; return that one."""
        try:
            self._call(
                self._client.put_item,
                Item=_item(key, held),
                ConditionExpression=_NONE_LIVE,
                ExpressionAttributeValues={":now": {"N": f"{now_s:.3f}"}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return _held(error.response.get("Item"))
        return None

    def delete(self, key: str) -> None:
        """Remove what is kept."""
        self._call(self._client.delete_item, Key={USER_STORE_PK: {"S": key}})

    def _call(self, call: Any, **arguments: Any) -> Any:
        try:
            return call(TableName=self._table, **arguments)
        except self._client.exceptions.ConditionalCheckFailedException:
            raise
        except ClientError as error:
            raise StoreUnavailableError(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(type(error).__name__) from error


def _item(key: str, held: Held) -> dict[str, Any]:
    item = {USER_STORE_PK: {"S": key}, USER_STORE_VALUE: {"S": held.text.decode()}}
    return item if held.expires_at is None else {**item, TTL_ATTRIBUTE: {"N": str(held.expires_at)}}


def _held(item: dict[str, Any] | None) -> Held | None:
    if item is None:
        return None
    expires_at = item.get(TTL_ATTRIBUTE)
    return Held(item[USER_STORE_VALUE]["S"].encode(), int(expires_at["N"]) if expires_at else None)
