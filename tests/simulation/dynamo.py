"""DynamoDB in memory: conditions and transactions as documented, and versions for reads that are stale.

What the service would refuse is a `SimulationError`: Kith must never ask for it. Faults are not made here.
"""

import re
from zlib import crc32

import msgspec
from botocore.exceptions import ClientError

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
    "Limit",
    "ExclusiveStartKey",
}
_CONDITION = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
_ALL_OLD = "ReturnValuesOnConditionCheckFailure"
PAGE_ITEMS_MAX = 5
"""A page of a scan, whose end is a megabyte there."""
_SCAN = {
    "TableName",
    "Segment",
    "TotalSegments",
    "FilterExpression",
    "ExpressionAttributeValues",
    "ConsistentRead",
    "ExclusiveStartKey",
}
_INSERT = re.compile(r'INSERT INTO "(\w+)" VALUE \{(.*)\}')
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
        self.watch = None
        """Is told of every change, if anybody wants to know: table, key, and the item as it is now."""
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
            case "batch_execute_statement":
                return self._insert_all(arguments)
            case "scan":
                return self._scan(arguments)
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
        if self.watch is not None:
            self.watch(table, key, item)

    def written(self, table):
        """Return the keys of all items that were ever written."""
        return self._before[table].keys()

    def versions(self, table, key):
        """Return what a stale read may see: first what is stored, then what was until lately."""
        since = self.now_us() - STALE_US
        before = [item for until, item in self._before[table].get(key, ()) if until >= since]
        return [self.tables[table].get(key), *before]

    def _batch_get(self, arguments, read):
        _only(arguments, {"RequestItems"})
        responses = {}
        for table, request in arguments["RequestItems"].items():
            _only(request, {"Keys", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"})
            wanted = _projected(request)
            keys = [_key_of(table, key, whole=False) for key in request["Keys"]]
            _bound(len(keys), 1, 100, "keys")
            _different(keys)
            if request.get("ConsistentRead"):
                found = [self.tables[table].get(key) for key in keys]
            else:
                found = [read(self.versions(table, key)) for key in keys]
            responses[table] = [
                {name: wire for name, wire in item.items() if wanted is None or name in wanted}
                for item in found
                if item is not None
            ]
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
        after = arguments.get("ExclusiveStartKey", {}).get(PROFILES_SK, {}).get("S")
        keys = {*self.tables[table], *self._before[table]}
        found = sorted((one for one in keys if one[0] == pk and first <= one[1] <= last), reverse=True)
        found = [one for one in found if after is None or one[1] < after]
        page = found[: min(arguments["Limit"], PAGE_ITEMS_MAX)]
        items = []
        for key in page:
            stored = self.tables[table].get(key)
            items.append(stored if arguments.get("ConsistentRead") else read(self.versions(table, key)))
        answer = {"Items": [dict(item) for item in items if item is not None]}
        if len(found) > len(page):
            answer["LastEvaluatedKey"] = _wire_of((PROFILES_PK, PROFILES_SK), page[-1])
        return answer

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

    def _insert_all(self, arguments):
        _only(arguments, {"Statements"})
        _bound(len(arguments["Statements"]), 0, 25, "statements")
        return {"Responses": [self._insert(one) for one in arguments["Statements"]]}

    def _insert(self, statement):
        _only(statement, {"Statement", "Parameters"})
        found = _INSERT.fullmatch(statement["Statement"])
        if found is None:
            raise SimulationError(f"unknown statement {statement['Statement']!r}")
        table, members = found.groups()
        names = [member.removesuffix(": ?").strip("'") for member in members.split(", ")]
        item = dict(zip(names, statement["Parameters"], strict=True))
        key = _key_of(table, item)
        if key in self.tables[table]:
            return {"Error": {"Code": "DuplicateItem", "Message": "simulated"}}
        self.set(table, key, _checked(item))
        return {"TableName": table}

    def _scan(self, arguments):
        """Read a page of a segment: keys are in the order of a hash, as they are there."""
        _only(arguments, _SCAN)
        table, names = arguments["TableName"], KEYS[arguments["TableName"]]
        if arguments["FilterExpression"] != f"begins_with({names[0]}, :prefix)":
            raise SimulationError(f"unknown filter {arguments['FilterExpression']!r}")
        prefix = arguments["ExpressionAttributeValues"][":prefix"]["S"]
        keys = sorted(
            (_place(key), key)
            for key in self.tables[table]
            if _place(key) % arguments["TotalSegments"] == arguments["Segment"]
        )
        if start := arguments.get("ExclusiveStartKey"):
            after = _key_of(table, start, whole=False)
            keys = [one for one in keys if one > (_place(after), after)]
        page = [key for _, key in keys[:PAGE_ITEMS_MAX]]
        answer = {"Items": [dict(self.tables[table][key]) for key in page if key[0].startswith(prefix)]}
        return answer | ({"LastEvaluatedKey": _wire_of(names, page[-1])} if len(keys) > len(page) else {})

    def _write_one(self, verb, name, arguments):
        returned = arguments.get("ReturnValues", "NONE")
        alone = {one: each for one, each in arguments.items() if one != "ReturnValues"}
        table, key, holds, item = self._prepared(verb, alone)
        if not holds:
            found = self.tables[table].get(key) if arguments.get(_ALL_OLD) == "ALL_OLD" else None
            answer = {"Item": dict(found)} if found is not None else {}
            raise client_error("ConditionalCheckFailedException", name, **answer)
        self.set(table, key, item)
        return {"Attributes": dict(item)} if returned == "ALL_NEW" else {}

    def _transact(self, arguments):
        _only(arguments, {"TransactItems"})
        actions = [next(iter(one.items())) for one in arguments["TransactItems"]]
        _bound(len(actions), 1, 100, "actions")
        prepared = [self._prepared(verb, action) for verb, action in actions]
        _different([(table, key) for table, key, *_ in prepared])
        _bound(sum(_bytes_of(item) for *_, item in prepared if item), 0, TRANSACTION_BYTES_MAX, "bytes")
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
        of_condition = expressions.used_by(condition)
        mine = [
            {name: given[name] for name in used if name in given}
            for used, given in zip(of_condition, (names, values), strict=True)
        ]
        holds = not condition or expressions.holds(condition, *mine, stored)
        if verb == "Put":
            if unused := {*names, *values}.difference(*of_condition):
                raise SimulationError(f"names or values that nothing uses: {sorted(unused)}")
            return table, key, holds, _checked(arguments["Item"])
        if verb == "Update":
            if not holds:
                return table, key, holds, None
            base = stored or dict(arguments["Key"])
            new = expressions.updated(arguments["UpdateExpression"], names, values, of_condition, base)
            return table, key, holds, _checked(new)
        return table, key, holds, None


def _projected(request):
    """Return the names that a read asks for; None for all."""
    if "ProjectionExpression" not in request:
        return None
    aliases = request["ExpressionAttributeNames"]
    return {aliases[alias] for alias in request["ProjectionExpression"].split(", ")}


def _place(key):
    return crc32(key[0].encode())


def _wire_of(names, key):
    return {name: {"S": value} for name, value in zip(names, key, strict=True)}


def _bytes_of(item):
    """About what an item takes, and rather more: it is asked for at every write."""
    return len(msgspec.msgpack.encode(item))


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
    if _bytes_of(item) > ITEM_BYTES_MAX:
        raise SimulationError(f"an item of {_bytes_of(item)} bytes")
    for name, wire in item.items():
        if len(wire) != 1 or ("N" in wire and type(wire["N"]) is not str) or wire.get("SS") == []:
            raise SimulationError(f"no value: {name}={wire}")
    return dict(item)
