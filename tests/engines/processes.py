"""Worker processes as the world sees them: started when needed, killed at any moment, frozen for a while."""

import multiprocessing
import os
import signal
import threading
from contextlib import suppress

from tests.engines.worker import serve

FORKS = multiprocessing.get_context("forkserver")
"""Processes are forked off a server that has imported all they need: so they are there at once."""
FORKS.set_forkserver_preload(["tests.engines.worker"])


class ProcessDiedError(Exception):
    """It did not live to answer."""


class Worker:
    """One process. `config` is what `worker.py` is started with."""

    def __init__(self, config):
        self._pipe, theirs = FORKS.Pipe()
        self._process = FORKS.Process(target=serve, args=(config, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def is_alive(self):
        return self._process.is_alive()

    def call(self, **request):
        """Have it ingest a batch; return its answer, ProcessDiedError if there is none."""
        try:
            self._pipe.send(request)
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise ProcessDiedError from error

    def kill(self):
        """End it, wherever it stands."""
        self._process.kill()

    def freeze(self, seconds):
        """Stop it for a while, wherever it stands: what it had in mind, it does later."""
        if self.is_alive:
            self._signal(signal.SIGSTOP)
            threading.Timer(seconds, self._thaw).start()

    def close(self):
        """End it, and leave nothing behind."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    def _thaw(self):
        with suppress(ValueError):  # it has been closed meanwhile
            if self.is_alive:
                self._signal(signal.SIGCONT)

    def _signal(self, number):
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)


class Workers:
    """The processes of the function: one call each at a time, and no more of them than the world allows."""

    def __init__(self, config, processes_max):
        self._config = config
        self._free = threading.Semaphore(processes_max)
        self._lock = threading.Lock()
        self._idle = []
        self._busy = set()
        self._count = 0

    def call(self, **request):
        """Have any process ingest a batch; ProcessDiedError if it did not live to answer."""
        with self._free:
            worker = self._take()
            try:
                return worker.call(**request)
            finally:
                with self._lock:
                    self._busy.discard(worker)
                    if worker.is_alive:
                        self._idle.append(worker)
                    else:
                        worker.close()

    def kill(self, at):
        """Kill one of them, at work or not."""
        if worker := self._one(at):
            worker.kill()

    def kill_all(self):
        with self._lock:
            for worker in (*self._busy, *self._idle):
                worker.kill()

    def freeze(self, at, seconds):
        if worker := self._one(at):
            worker.freeze(seconds)

    def settle(self):
        """Wait until every request has arrived that its sender had given up. Nobody may be calling."""
        for worker in self._idle:
            with suppress(ProcessDiedError):
                worker.call(records=[], now_ms=0, fault_rate=0, settle=True)

    def close(self):
        """End all of them. Nobody may be calling any more."""
        for worker in self._idle:
            worker.close()
        self._idle = []

    def _take(self):
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    break
                worker.close()
            else:
                self._count += 1
                worker = Worker(self._config | {"number": self._count})
            self._busy.add(worker)
            return worker

    def _one(self, at):
        with self._lock:
            some = [*self._busy, *self._idle]
            return some[at % len(some)] if some else None
