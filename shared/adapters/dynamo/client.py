"""The few DynamoDB calls that the store makes, on a low-level botocore client.

Each counts the request units that it takes by the documented rules. What botocore's own retries could not
mend is raised as botocore raises it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.adapters.dynamo.attempts import until_done
from shared.adapters.dynamo.inserts import Inserter, calls, insert
from shared.adapters.dynamo.keys import Range
from shared.adapters.dynamo.units import Units, read_units, size_of, write_units
from shared.adapters.dynamo.wire import Item, Wire
from shared.app.ports import Clock
from shared.contract import PROFILES_PK, PROFILES_SK

GET_KEYS_MAX: Final = 100
WRITE_ITEMS_MAX: Final = 25
UNPROCESSED_ATTEMPTS_MAX: Final = 8
HELD: Final = "TransactionConflictException"
HELD_ATTEMPTS_MAX: Final = 4
TRANSACTION_FACTOR: Final = 2
"""Transactions take twice the units."""
CONNECTIONS_MAX: Final = 32
ATTEMPTS_MAX: Final = 4
T = TypeVar("T")


class ConditionFailedError(Exception):
    """Something else is stored than a write expected; `found` is the item, None if there is none."""

    def __init__(self, found: Item | None) -> None:
        super().__init__("the stored item is not as expected")
        self.found = found


class CanceledError(Exception):
    """A transaction lost a race; `reasons` holds (code, found item or None) per action."""

    def __init__(self, reasons: list[tuple[str, Item | None]]) -> None:
        super().__init__(f"transaction canceled: {sorted({code for code, _ in reasons})}")
        self.reasons = reasons


class Condition(NamedTuple):
    """A condition expression and the values it names."""

    expression: str
    values: Mapping[str, Wire] = {}

    def arguments(self) -> dict[str, Any]:
        """Return the condition as arguments of a call."""
        arguments: dict[str, Any] = {"ConditionExpression": self.expression}
        if self.values:  # DynamoDB takes no empty map here
            arguments["ExpressionAttributeValues"] = self.values
        return arguments


class Change(NamedTuple):
    """An update of one item: its key, an update expression, and the names and values that it uses."""

    key: Item
    expression: str
    names: Mapping[str, str]
    values: Mapping[str, Wire]

    def arguments(self, condition: Condition) -> dict[str, Any]:
        """Return the update, on a condition, as arguments of a call."""
        return {
            "Key": self.key,
            "UpdateExpression": self.expression,
            "ExpressionAttributeNames": self.names,
            "ConditionExpression": condition.expression,
            "ExpressionAttributeValues": {**self.values, **condition.values},
        }


class Action(NamedTuple):
    """One action of a transaction.

    `verb` is Put, Update, Delete or ConditionCheck; `target` an item, what changes of it, or its key.
    """

    verb: str
    table: str
    target: Item | Change
    condition: Condition
    size: int
    """Bytes of the larger of what is written and what is known to be there."""


def dynamo_client(endpoint: str | None = None) -> Any:
    """Return a DynamoDB client for many small calls at once, on the environment's region and endpoint."""
    session = botocore.session.get_session()
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        max_pool_connections=CONNECTIONS_MAX,
        parameter_validation=False,  # a third of the time of a call; the store's own tests check its calls
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
        tcp_keepalive=True,
        user_agent=session.user_agent(),  # unless it is given, it is put together anew, twice for each call
    )
    return session.create_client("dynamodb", endpoint_url=endpoint, config=config)


class Client:
    """Calls DynamoDB and counts units."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.units = Units()
        self._inserter = Inserter(client, clock, self.units, UNPROCESSED_ATTEMPTS_MAX)

    def get(
        self, table: str, keys: Sequence[Item], *, consistent: bool, names: Sequence[str] = ()
    ) -> list[Item]:
        """Return the items that exist under different keys, in no order; of each all, or what is named."""
        options: dict[str, Any] = {"ConsistentRead": consistent}
        if names:
            aliases = {f"#{number}": name for number, name in enumerate(names)}
            options |= {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}
        found: list[Item] = []
        for some in chunks(keys, GET_KEYS_MAX):
            self._until_done(partial(self._get_some, table, options, found), some)
        return found

    def query(self, table: str, where: Range, *, consistent: bool, page: int) -> Iterator[Item]:
        """Yield the items of a range, the last one first, in pages of so many as they are asked for."""
        more: dict[str, Any] = {}
        while True:
            answer = self._client.query(
                TableName=table,
                KeyConditionExpression=f"{PROFILES_PK} = :pk AND {PROFILES_SK} BETWEEN :first AND :last",
                ExpressionAttributeValues={":pk": where.pk, ":first": where.first, ":last": where.last},
                ScanIndexForward=False,
                Limit=page,
                ConsistentRead=consistent,
                **more,
            )
            self.units.read(read_units(sum(map(size_of, answer["Items"])), consistent=consistent))
            yield from answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def write(self, table: str, puts: Sequence[Item], deletes: Sequence[tuple[Item, int]]) -> None:
        """Put items and delete (key, size in bytes), without any condition."""
        requests: list[tuple[Any, int]] = [({"PutRequest": {"Item": item}}, size_of(item)) for item in puts]
        requests += [({"DeleteRequest": {"Key": key}}, size) for key, size in deletes]
        for some in chunks(requests, WRITE_ITEMS_MAX):
            self._until_done(partial(self._write_some, table), [request for request, _ in some])
            self.units.write(sum(write_units(size) for _, size in some))

    def insert(self, table: str, items: Iterable[Item]) -> None:
        """Write items that are never written over: one that exists is there, whoever put it there.

        Raises `NotInsertedError`.
        """
        for some in calls(insert(table, item) for item in items):
            self._inserter.insert(some)

    def put(self, table: str, item: Item, condition: Condition, size: int) -> None:
        """Put an item on a condition. `size` is that of the larger of it and what it replaces, in bytes.

        Raises `ConditionFailedError` with what is stored.
        """
        self._write(partial(self._client.put_item, TableName=table, Item=item, **condition.arguments()), size)

    def change(self, table: str, change: Change, condition: Condition, size: int) -> None:
        """Update an item on a condition. `size` is what it takes before or after, the larger, in bytes.

        Raises `ConditionFailedError` with what is stored.
        """
        self._write(partial(self._client.update_item, TableName=table, **change.arguments(condition)), size)

    def update(self, table: str, key: Item, expression: str, condition: Condition, size: int) -> bool:
        """Update an item of about that many bytes; False when the condition does not hold."""
        call = partial(self._client.update_item, UpdateExpression=expression)
        return self._holds(partial(call, TableName=table, Key=key, **condition.arguments()), size)

    def updated(self, table: str, key: Item, expression: str, condition: Condition, size: int) -> Item:
        """Update an item of about that many bytes, and return it as it is then.

        Raises `ConditionFailedError` with what is stored.
        """
        call = partial(self._client.update_item, UpdateExpression=expression, ReturnValues="ALL_NEW")
        answer = self._write(partial(call, TableName=table, Key=key, **condition.arguments()), size)
        item: Item = answer["Attributes"]
        return item

    def delete(self, table: str, key: Item, condition: Condition, size: int) -> bool:
        """Delete an item of about that many bytes; False when the condition does not hold."""
        call = partial(self._client.delete_item, TableName=table, Key=key, **condition.arguments())
        return self._holds(call, size)

    def transact(self, actions: Sequence[Action]) -> None:
        """Do all actions or none. Raises `CanceledError` when a condition or a rival stands against it."""
        try:
            self._client.transact_write_items(TransactItems=[_transact_item(one) for one in actions])
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            raise CanceledError(_reasons(error)) from error
        finally:
            self.units.write(TRANSACTION_FACTOR * sum(write_units(one.size) for one in actions))

    def _holds(self, call: Callable[[], Any], size: int) -> bool:
        """Write one item; False when the condition does not hold."""
        try:
            self._alone(call)
            holds = True
        except ClientError as error:
            _found_instead(error)
            holds = False
        self.units.write(write_units(size))
        return holds

    def _alone(self, call: Callable[[], Any]) -> Any:
        """Write one item, and again while a transaction has hold of it: botocore does not ask again then."""
        attempt = 1
        while True:
            try:
                return call()
            except ClientError as error:
                if error.response["Error"]["Code"] != HELD or attempt == HELD_ATTEMPTS_MAX:
                    raise
            self._clock.pause(attempt)
            attempt += 1

    def _write(self, call: Callable[..., Any], size: int) -> Any:
        try:
            answer = self._alone(partial(call, ReturnValuesOnConditionCheckFailure="ALL_OLD"))
        except ClientError as error:
            found = _found_instead(error)
            self.units.write(write_units(size if found is None else size_of(found)))
            raise ConditionFailedError(found) from error
        self.units.write(write_units(size))
        return answer

    def _get_some(
        self, table: str, options: Mapping[str, Any], found: list[Item], keys: Sequence[Item]
    ) -> list[Item]:
        """Add what exists under keys to what is `found`; return the keys that are left."""
        answer = self._client.batch_get_item(RequestItems={table: {"Keys": list(keys), **options}})
        items: list[Item] = answer["Responses"].get(table, [])
        left: list[Item] = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        found += items
        # Keys that lead to nothing take a unit, too.
        sizes = [*map(size_of, items), *[0] * (len(keys) - len(left) - len(items))]
        consistent = options["ConsistentRead"]
        self.units.read(sum(read_units(size, consistent=consistent) for size in sizes))
        return left

    def _write_some(self, table: str, requests: Sequence[Any]) -> list[Any]:
        """Put and delete; return the requests that are left."""
        answer = self._client.batch_write_item(RequestItems={table: requests})
        left: list[Any] = answer.get("UnprocessedItems", {}).get(table, [])
        return left

    def _until_done(self, call: Callable[[Sequence[T]], Sequence[T]], wanted: Sequence[T]) -> None:
        until_done(call, wanted, self._clock, UNPROCESSED_ATTEMPTS_MAX)


def chunks(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield parts of at most `size`, in order."""
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def _found_instead(error: ClientError) -> Item | None:
    """Return what a failed condition found; raise any other error again."""
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    answer: dict[str, Any] = {**error.response}
    return answer.get("Item") or None


def _transact_item(action: Action) -> dict[str, Any]:
    target, condition = action.target, action.condition
    if isinstance(target, Change):
        arguments = target.arguments(condition)
    else:
        part = "Item" if action.verb == "Put" else "Key"
        arguments = {part: target, **condition.arguments()}
    return {
        action.verb: {
            "TableName": action.table,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **arguments,
        }
    }


def _reasons(error: ClientError) -> list[tuple[str, Item | None]]:
    answer: dict[str, Any] = {**error.response}
    reasons = answer.get("CancellationReasons", [])
    return [(one.get("Code") or "None", one.get("Item") or None) for one in reasons]
