"""Between processes and services: calls take time, get lost, come late or twice, and answers are stale.

This is the seam of a botocore client (of its whole retry layer): what is raised here is what botocore raises
once its own retries have ended, and `twice` is what such a retry does after an answer that got lost.
"""

from contextlib import contextmanager

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from tests.simulation.dynamo import client_error
from tests.simulation.scheduler import Killed

READS = ("throttled", "unreached", "slow", "unprocessed")
QUERIES = ("throttled", "unreached", "slow")
WRITES = ("throttled", "unreached", "lost", "late", "twice", "slow")
WRITES_OF_ONE = (*WRITES, "held")
BATCH_WRITES = (*WRITES, "unprocessed", "half")
TRANSACTIONS = (*WRITES, "rival")
INSERTS = (*WRITES, "refused")
OF_OBJECTS = ("throttled", "lost")
PUTS_OF_OBJECTS = (*OF_OBJECTS, "late")
LATE_TICKS_MAX = 400
SLOW_TICKS_MAX = 300
STALE_RATE = 0.3
TORN_RATE = 0.2


class Faults:
    """Draws what goes wrong. Each fault has a number, by which a shorter run leaves it out."""

    def __init__(self, random, rate, happened, without):
        self.random = random
        self.rate = rate
        self.rate_of_writes = 0
        """How often writes to DynamoDB go wrong, if that is more often: whatever can be read."""
        self._happened = happened
        self._without = without
        self._count = 0

    def draw(self, what, kinds, *, times=1, least=0):
        """Return what goes wrong with a call, or None.

        `times`: so much more often than with others; `least`: at least so often.
        """
        rate = max(self.rate * times, least)
        if not rate or self.random.random() >= rate:
            return None
        kind = self.random.choice(kinds)
        self._count += 1
        number = f"f{self._count}"
        if number in self._without:
            return None
        self._happened.append((number, f"{kind}: {what}"))
        return kind

    @contextmanager
    def none(self):
        """Have nothing go wrong for a while."""
        before = self.rate, self.rate_of_writes
        self.rate = self.rate_of_writes = 0
        yield
        self.rate, self.rate_of_writes = before

    def below(self, limit):
        """Draw a number below a limit."""
        return int(self.random.random() * limit)


class Client:
    """A botocore client of DynamoDB for one process. `scheduler` switches around every call."""

    def __init__(self, world, process):
        self._world = world
        self._dynamo = world.dynamo
        self._scheduler = world.scheduler
        self._faults = world.faults
        self._process = process

    def batch_get_item(self, **arguments):
        fault = self._send("batch_get_item", READS)
        left = {}
        if fault == "unprocessed":
            arguments, left = _without_some(arguments, self._faults)
        torn = self._faults.random.random() < TORN_RATE
        answer = {"Responses": {}}
        for part in _halves_of_keys(arguments) if torn else [arguments]:
            for table, items in self._dynamo.execute("batch_get_item", part, self._see)["Responses"].items():
                answer["Responses"].setdefault(table, []).extend(items)
            self._scheduler.switch()
        return answer | {"UnprocessedKeys": left}

    def query(self, **arguments):
        self._send("query", QUERIES)
        answer = self._dynamo.execute("query", arguments, self._see)
        self._scheduler.switch()
        return answer

    def batch_write_item(self, **arguments):
        fault = self._send("batch_write_item", BATCH_WRITES, self._faults.rate_of_writes)
        [(table, requests)] = arguments["RequestItems"].items()
        left = []
        if fault in {"unprocessed", "half"}:
            at = self._faults.below(len(requests)) if fault == "unprocessed" else (len(requests) + 1) // 2
            requests, left = requests[:at], requests[at:]
        if requests:
            self._do("batch_write_item", {"RequestItems": {table: requests}}, fault)
        if fault == "half":
            raise ReadTimeoutError(endpoint_url="")
        return {"UnprocessedItems": {table: left} if left else {}}

    def batch_execute_statement(self, **arguments):
        fault = self._send("batch_execute_statement", INSERTS, self._faults.rate_of_writes)
        refused = self._faults.below(len(arguments["Statements"])) if fault == "refused" else None
        kept = [one for at, one in enumerate(arguments["Statements"]) if at != refused]
        answers = self._do("batch_execute_statement", {"Statements": kept}, fault)["Responses"]
        if refused is not None:
            answers.insert(refused, {"Error": {"Code": "ThrottlingError", "Message": "simulated"}})
        return {"Responses": answers}

    def scan(self, **arguments):
        self._send("scan", READS)
        answer = self._dynamo.execute("scan", arguments, self._see)
        self._scheduler.switch()
        return answer

    def put_item(self, **arguments):
        return self._write("put_item", arguments, WRITES_OF_ONE)

    def update_item(self, **arguments):
        return self._write("update_item", arguments, WRITES_OF_ONE)

    def delete_item(self, **arguments):
        return self._write("delete_item", arguments, WRITES_OF_ONE)

    def transact_write_items(self, **arguments):
        return self._write("transact_write_items", arguments, TRANSACTIONS)

    def _write(self, name, arguments, kinds):
        return self._do(name, arguments, self._send(name, kinds, self._faults.rate_of_writes))

    def _send(self, name, kinds, least=0):
        """Let the request travel; return what goes wrong with it, unless it is over at that."""
        self._process.called = name
        self._scheduler.switch()
        fault = self._faults.draw(f"{name} of {self._process.name}", kinds, least=least)
        if fault == "slow":
            self._scheduler.switch(1 + self._faults.below(SLOW_TICKS_MAX))
        if fault == "throttled":
            raise client_error("ProvisionedThroughputExceededException", name)
        if fault == "unreached":
            raise ConnectTimeoutError(endpoint_url="")
        return fault

    def _do(self, name, arguments, fault):
        if fault == "late":
            self._world.later(lambda: self._dynamo.execute(name, arguments, self._see))
            raise ReadTimeoutError(endpoint_url="")
        if fault == "rival":
            codes = [{"Code": "None"} for _ in arguments["TransactItems"]]
            codes[self._faults.below(len(codes))] = {"Code": "TransactionConflict"}
            raise client_error("TransactionCanceledException", name, CancellationReasons=codes)
        if fault == "held":  # by a transaction
            raise client_error("TransactionConflictException", name)
        answer = self._dynamo.execute(name, arguments, self._see)
        if fault == "twice" and name != "transact_write_items":  # whose token makes a retry the same one
            self._scheduler.switch(self._faults.below(20))
            answer = self._dynamo.execute(name, arguments, self._see)
        self._scheduler.switch()
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="")
        return answer

    def _see(self, versions):
        if self._world.setting.is_stale and len(versions) > 1 and self._faults.random.random() < STALE_RATE:
            seen = versions[self._faults.below(len(versions))]
            if seen != versions[0]:
                self._world.met["a read was stale"] += 1
            return seen
        return versions[0]


class Objects:
    """The bucket for one process: strongly consistent, as S3 is; it, too, fails now and then."""

    def __init__(self, world, process):
        self._world = world
        self._held = world.objects
        self._process = process

    def put(self, key, data):
        self._call("put", lambda: self._held.put(key, data), PUTS_OF_OBJECTS)

    def put_if_absent(self, key, data):
        return self._call("put_if_absent", lambda: self._held.put_if_absent(key, data))

    def get(self, key):
        return self._call("get", lambda: self._held.get(key))

    def get_range(self, key, start, length):
        return self._call("get_range", lambda: self._held.get_range(key, start, length))

    def list(self, prefix, after=""):
        return iter(self._call("list", lambda: list(self._held.list(prefix, after))))

    def delete(self, key):
        self._call("delete", lambda: self._held.delete(key))

    def delete_all(self, keys):
        keys = list(keys)
        self._call("delete_all", lambda: self._held.delete_all(keys))

    def delete_if(self, key, tag):
        return self._call("delete_if", lambda: self._held.delete_if(key, tag))

    def _call(self, name, work, kinds=OF_OBJECTS):
        self._world.scheduler.switch()
        fault = self._world.faults.draw(f"s3 {name} of {self._process.name}", kinds)
        if fault == "throttled":
            raise client_error("SlowDown", name)
        if fault == "late":
            self._world.later(lambda: self._work(work))
            raise ReadTimeoutError(endpoint_url="")
        answer = self._work(work)
        self._world.scheduler.switch()
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="")
        return answer

    def _work(self, work):
        self._held.now = self._world.now_ms
        return work()


def late(scheduler, ticks, work):
    """Have a request arrive after its sender has given it up."""

    def arrive():
        scheduler.switch(ticks)
        try:
            work()
        except Killed:
            raise
        except Exception:  # noqa: BLE001, S110 - nobody is there to be told
            pass

    scheduler.spawn(arrive)


def _without_some(arguments, faults):
    [(table, request)] = arguments["RequestItems"].items()
    keys = request["Keys"]
    at = 1 + faults.below(len(keys))
    left = {table: request | {"Keys": keys[at:]}} if keys[at:] else {}
    return {"RequestItems": {table: request | {"Keys": keys[:at]}}}, left


def _halves_of_keys(arguments):
    [(table, request)] = arguments["RequestItems"].items()
    keys = request["Keys"]
    middle = (len(keys) + 1) // 2
    parts = [part for part in (keys[:middle], keys[middle:]) if part]
    return [{"RequestItems": {table: request | {"Keys": part}}} for part in parts]
