"""DynamoDB in memory: conditions and transactions as documented, and versions for reads that are stale.

What the service would refuse is a `SimulationError`: Kith must never ask for it. Faults are not made here.
"""

from botocore.exceptions import ClientError

from shared.adapters.dynamo.units import size_of
from shared.contract import IDENTIFIERS_PK, PROFILES_PK, PROFILES_SK, TTL_ATTRIBUTE
from tests.simulation import expressions
from tests.simulation.scheduler import SimulationError

PROFILES, IDENTIFIERS = "profiles", "identifiers"
KEYS = {PROFILES: (PROFILES_PK, PROFILES_SK), IDENTIFIERS: (IDENTIFIERS_PK,)}
STALE_US = 2_000_000
"""How far behind an eventually consistent read may be."""
ITEM_BYTES_MAX = 400 * 1024
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
_QUERY = {
    "TableName",
    "KeyConditionExpression",
    "ExpressionAttributeValues",
    "ScanIndexForward",
    "ConsistentRead",
}
_CONDITION = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
_ALL_OLD = "ReturnValuesOnConditionCheckFailure"
_WRITES = {
    "Put": {"TableName", "Item", _ALL_OLD, *_CONDITION},
    "Delete": {"TableName", "Key", _ALL_OLD, *_CONDITION},
    "ConditionCheck": {"TableName", "Key", _ALL_OLD, *_CONDITION},
    "Update": {"TableName", "Key", "UpdateExpression", _ALL_OLD, *_CONDITION},
}


def client_error(code, name, **answer):
    """An error as botocore raises it."""
    return ClientError({"Error": {"Code": code, "Message": "simulated"}, **answer}, name)


class Dynamo:
    """The tables. `now_us` tells the time."""

    def __init__(self, now_us):
        self.now_us = now_us
        self.tables = {PROFILES: {}, IDENTIFIERS: {}}
        self._before = {PROFILES: {}, IDENTIFIERS: {}}

    def execute(self, name, arguments, read):  # noqa: PLR0911 - one return per call
        """Do a call of a client, at once and whole; `read(table, key, versions)` picks what a read sees."""
        match name:
            case "batch_get_item":
                return self._batch_get(arguments, read)
            case "query":
                return self._query(arguments, read)
            case "batch_write_item":
                return self._batch_write(arguments)
            case "put_item":
                return self._write_one("Put", name, arguments)
            case "update_item":
                return self._write_one("Update", name, arguments)
            case "delete_item":
                return self._write_one("Delete", name, arguments)
            case "transact_write_items":
                return self._transact(arguments)
        raise SimulationError(f"unknown call {name}")

    def expired(self):
        """Return (table, key) of everything whose TTL has passed."""
        now_s = self.now_us() // 1_000_000
        return [
            (table, key)
            for table, items in self.tables.items()
            for key, item in items.items()
            if TTL_ATTRIBUTE in item and int(item[TTL_ATTRIBUTE]["N"]) < now_s
        ]

    def set(self, table, key, item):
        """Store an item, or (None) remove it; what was there stays visible to stale reads."""
        items, now = self.tables[table], self.now_us()
        versions = [one for one in self._before[table].get(key, ()) if one[0] >= now - STALE_US]
        self._before[table][key] = [*versions[-5:], (now, items.get(key))]
        if item is None:
            items.pop(key, None)
        else:
            items[key] = item

    def versions(self, table, key):
        """Return what a stale read may see: first what is stored, then what was until lately."""
        since = self.now_us() - STALE_US
        before = [item for until, item in self._before[table].get(key, ()) if until >= since]
        return [self.tables[table].get(key), *before]

    def _batch_get(self, arguments, read):
        _only(arguments, {"RequestItems"})
        responses = {}
        for table, request in arguments["RequestItems"].items():
            _only(request, {"Keys", "ConsistentRead"})
            keys = [_key_of(table, key, whole=False) for key in request["Keys"]]
            _bound(len(keys), 1, 100, "keys")
            _different(keys)
            if request.get("ConsistentRead"):
                found = [self.tables[table].get(key) for key in keys]
            else:
                found = [read(self.versions(table, key)) for key in keys]
            responses[table] = [dict(item) for item in found if item is not None]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _query(self, arguments, read):
        """Return the items of one partition between two sort keys, the last first: the one query there is."""
        _only(arguments, _QUERY)
        condition = f"{PROFILES_PK} = :pk AND {PROFILES_SK} BETWEEN :first AND :last"
        if arguments["KeyConditionExpression"] != condition or arguments["ScanIndexForward"]:
            raise SimulationError("a query of another kind")
        table = arguments["TableName"]
        pk, first, last = (
            arguments["ExpressionAttributeValues"][f":{one}"]["S"] for one in ("pk", "first", "last")
        )
        keys = {*self.tables[table], *self._before[table]}
        found = []
        for key in sorted((one for one in keys if one[0] == pk and first <= one[1] <= last), reverse=True):
            stored = self.tables[table].get(key)
            found.append(stored if arguments.get("ConsistentRead") else read(self.versions(table, key)))
        return {"Items": [dict(item) for item in found if item is not None]}

    def _batch_write(self, arguments):
        _only(arguments, {"RequestItems"})
        writes = []
        for table, requests in arguments["RequestItems"].items():
            for request in requests:
                ((verb, what),) = request.items()
                if verb == "PutRequest":
                    writes.append((table, _key_of(table, what["Item"]), _checked(what["Item"])))
                elif verb == "DeleteRequest":
                    writes.append((table, _key_of(table, what["Key"], whole=False), None))
                else:
                    raise SimulationError(f"unknown request {verb}")
        _bound(len(writes), 1, 25, "items")
        _different([(table, key) for table, key, _ in writes])
        for table, key, item in writes:
            self.set(table, key, item)
        return {"UnprocessedItems": {}}

    def _write_one(self, verb, name, arguments):
        table, key, holds, item = self._prepared(verb, arguments)
        if not holds:
            found = self.tables[table].get(key) if arguments.get(_ALL_OLD) == "ALL_OLD" else None
            answer = {"Item": dict(found)} if found is not None else {}
            raise client_error("ConditionalCheckFailedException", name, **answer)
        self.set(table, key, item)
        return {}

    def _transact(self, arguments):
        _only(arguments, {"TransactItems"})
        actions = [next(iter(one.items())) for one in arguments["TransactItems"]]
        _bound(len(actions), 1, 100, "actions")
        prepared = [self._prepared(verb, action) for verb, action in actions]
        _different([(table, key) for table, key, *_ in prepared])
        _bound(sum(size_of(item) for *_, item in prepared if item), 0, TRANSACTION_BYTES_MAX, "bytes")
        if not all(holds for _, _, holds, _ in prepared):
            raise client_error(
                "TransactionCanceledException",
                "TransactWriteItems",
                CancellationReasons=[
                    self._reason(one, action) for one, (_, action) in zip(prepared, actions, strict=True)
                ],
            )
        for (table, key, _, item), (verb, _) in zip(prepared, actions, strict=True):
            if verb != "ConditionCheck":
                self.set(table, key, item)
        return {}

    def _reason(self, prepared, action):
        table, key, holds, _ = prepared
        if holds:
            return {"Code": "None"}
        found = self.tables[table].get(key) if action.get(_ALL_OLD) == "ALL_OLD" else None
        return {"Code": "ConditionalCheckFailed"} | ({"Item": dict(found)} if found is not None else {})

    def _prepared(self, verb, arguments):
        """Return table, key, whether the condition holds, and the item afterwards."""
        if verb not in _WRITES:
            raise SimulationError(f"unknown action {verb}")
        _only(arguments, _WRITES[verb])
        table = arguments["TableName"]
        key = _key_of(table, arguments["Item"] if verb == "Put" else arguments["Key"], whole=verb == "Put")
        stored = self.tables[table].get(key)
        names = arguments.get("ExpressionAttributeNames", {})
        values = arguments.get("ExpressionAttributeValues", {})
        if "ExpressionAttributeValues" in arguments and not values:
            raise SimulationError("ExpressionAttributeValues must not be empty")
        condition = arguments.get("ConditionExpression")
        of_condition = expressions.values_of(condition) if condition else frozenset()
        mine = {name: values[name] for name in of_condition if name in values}
        holds = not condition or expressions.holds(condition, names, mine, stored)
        if verb == "Put":
            if set(values) != set(of_condition):
                raise SimulationError(f"values that nothing uses: {sorted(set(values) - of_condition)}")
            return table, key, holds, _checked(arguments["Item"])
        if verb == "Update":
            if not holds:
                return table, key, holds, None
            base = stored or dict(arguments["Key"])
            new = expressions.updated(arguments["UpdateExpression"], names, values, of_condition, base)
            return table, key, holds, _checked(new)
        return table, key, holds, None


def _only(arguments, known):
    if unknown := set(arguments) - known:
        raise SimulationError(f"unknown arguments {sorted(unknown)}")


def _bound(number, least, most, what):
    if not least <= number <= most:
        raise SimulationError(f"DynamoDB refuses {number} {what}")


def _different(keys):
    if len(set(keys)) < len(keys):
        raise SimulationError("DynamoDB refuses a call that names an item twice")


def _key_of(table, item, *, whole=True):
    names = KEYS[table]
    if not whole and set(item) != set(names):
        raise SimulationError(f"a key of {table} is {names}, not {sorted(item)}")
    return tuple(item[name]["S"] for name in names)


def _checked(item):
    if size_of(item) > ITEM_BYTES_MAX:
        raise SimulationError(f"an item of {size_of(item)} bytes")
    for name, wire in item.items():
        if len(wire) != 1 or ("N" in wire and type(wire["N"]) is not str) or wire.get("SS") == []:
            raise SimulationError(f"no value: {name}={wire}")
    return dict(item)
