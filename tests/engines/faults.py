"""Between a process and an engine: what the network does to calls, as the simulation has it, but for real.

What is raised here is what botocore raises once its own retries have ended.
"""

import threading
import time
from contextlib import suppress

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from tests.simulation.dynamo import client_error

READS = ("throttled", "unreached", "slow", "unprocessed")
WRITES = ("throttled", "unreached", "lost", "late", "twice", "slow")
WRITES_OF_ONE = (*WRITES, "held")
FAULTS = {
    "batch_get_item": READS,
    "batch_write_item": (*WRITES, "unprocessed", "half"),
    "batch_execute_statement": (*WRITES, "refused"),
    "put_item": WRITES_OF_ONE,
    "update_item": WRITES_OF_ONE,
    "delete_item": WRITES_OF_ONE,
    "transact_write_items": (*(one for one in WRITES if one != "twice"), "rival"),
}
"""A transaction that is sent twice by a client's retry carries the token of the first."""
LATE_S_MAX = 0.15
SLOW_S_MAX = 0.05


class FaultyClient:
    """A botocore client whose calls go wrong at a rate; `random` decides how."""

    def __init__(self, client, random):
        self._client = client
        self._random = random
        self._late = []
        self.rate = 0

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda **arguments: self._call(name, method, arguments)

    def settle(self):
        """Wait until every request has arrived that its sender had given up."""
        late, self._late = self._late, []
        for one in late:
            one.join()

    def _call(self, name, method, arguments):
        fault = self._random.choice(FAULTS[name]) if self._random.random() < self.rate else None
        match fault:
            case "throttled":
                raise client_error("ProvisionedThroughputExceededException", name)
            case "unreached":
                raise ConnectTimeoutError(endpoint_url="")
            case "late":
                self._send_late(method, arguments)
                raise ReadTimeoutError(endpoint_url="")
            case "rival":
                codes = [{"Code": "None"} for _ in arguments["TransactItems"]]
                codes[self._random.randrange(len(codes))] = {"Code": "TransactionConflict"}
                raise client_error("TransactionCanceledException", name, CancellationReasons=codes)
            case "held":
                raise client_error("TransactionConflictException", name)
            case "unprocessed" | "half" | "refused":
                return self._partly(name, method, arguments, is_lost=fault == "half")
            case "slow":
                time.sleep(self._random.random() * SLOW_S_MAX)
        answer = method(**arguments)
        if fault == "twice":
            answer = method(**arguments)
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="")
        return answer

    def _send_late(self, method, arguments):
        """Have a request arrive after its sender has given it up."""

        def arrive():
            time.sleep(delay_s)
            with suppress(Exception):  # nobody is there to be told
                method(**arguments)

        delay_s = self._random.random() * LATE_S_MAX
        self._late.append(threading.Thread(target=arrive))
        self._late[-1].start()

    def _all_but_one(self, method, statements):
        refused = self._random.randrange(len(statements))
        rest = statements[:refused] + statements[refused + 1 :]
        answers = method(Statements=rest)["Responses"] if rest else []
        return {"Responses": [*answers[:refused], {"Error": {"Code": "ThrottlingError"}}, *answers[refused:]]}

    def _partly(self, name, method, arguments, *, is_lost):
        """Do a part of a batch, and leave the rest; or lose the answer on top of that."""
        if name == "batch_execute_statement":
            return self._all_but_one(method, arguments["Statements"])
        [(table, request)] = arguments["RequestItems"].items()
        if name == "batch_get_item":
            at = 1 + self._random.randrange(len(request["Keys"]))
            first, rest = request["Keys"][:at], request["Keys"][at:]
            answer = method(RequestItems={table: request | {"Keys": first}})
            return answer | {"UnprocessedKeys": {table: request | {"Keys": rest}} if rest else {}}
        at = (len(request) + 1) // 2 if is_lost else self._random.randrange(len(request))
        if request[:at]:
            method(RequestItems={table: request[:at]})
        if is_lost:
            raise ReadTimeoutError(endpoint_url="")
        return {"UnprocessedItems": {table: request[at:]} if request[at:] else {}}
