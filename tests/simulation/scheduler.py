"""Tasks that take turns on one thread: who goes on is drawn from the seed, at every call of a service.

A task runs alone until it calls `switch`, so a run is decided by its draws and nothing else. Tasks of a
process die with it, wherever they stand.
"""

from concurrent.futures import Executor
from heapq import heappop, heappush

from greenlet import greenlet


class SimulationError(BaseException):
    """The simulation itself is wrong, or met what it does not know. No product code may catch this."""


class Killed(BaseException):
    """The process is gone; nothing catches this."""


class ProcessDiedError(Exception):
    """Whom a process worked for is told that it died."""


class Process:
    """What dies as a whole. `skew_us` is how far its clock is off."""

    def __init__(self, name, skew_us=0):
        self.name = name
        self.skew_us = skew_us
        self.is_dead = False
        self.tasks = []
        self.called = ""
        """The call of DynamoDB that it made last, perhaps has just sent."""

    @property
    def kind(self):
        """What it does, by its name."""
        return self.name.rpartition("-")[0]


class Task:
    """Work that goes on until its next switch whenever it is its turn."""

    def __init__(self, work, process):
        self.work = work
        self.process = process
        self.greenlet = None
        self.waiters = []
        self.is_ready = False
        self.is_done = False
        self.result = None
        self.error = None


class Scheduler:
    """Takes turns between tasks; `random` decides all that is left open."""

    def __init__(self, random, tick_us):
        self.random = random
        self.tick_us = tick_us
        self.now_us = 0
        self.ticks = 0
        self.current = None
        self._hub = None
        self._ready = []
        self._sleeping = []
        self._naps = 0
        self._is_over = False

    @property
    def is_idle(self):
        return not self._ready and not self._sleeping

    def spawn(self, work, process=None):
        """Have work begin some time."""
        task = Task(work, process)
        if process is not None:
            process.tasks = [one for one in process.tasks if not one.is_done]
            process.tasks.append(task)
        self.wake(task)
        return task

    def wake(self, task):
        """Let a task that left have its turn again."""
        if not task.is_ready and not task.is_done:
            task.is_ready = True
            self._ready.append(task)

    def switch(self, ticks=0):
        """Within a task: let others go on, for at least so many ticks."""
        task = self.current
        if self._is_over or (task.process is not None and task.process.is_dead):
            raise Killed
        if ticks:
            self._naps += 1
            heappush(self._sleeping, (self.ticks + ticks, self._naps, task))
        else:
            self.wake(task)
        self.leave()

    def wait(self, other):
        """Within a task: go on when another task is done; return what it returned, raise what it raised."""
        if not other.is_done:
            other.waiters.append(self.current)
            self.leave()
        if isinstance(other.error, Killed):
            raise ProcessDiedError
        if other.error is not None:
            raise other.error
        return other.result

    def kill(self, process):
        """End a process, and whatever it is doing."""
        process.is_dead = True
        self._sleeping = sorted(entry for entry in self._sleeping if entry[-1].process is not process)
        for task in process.tasks:
            self.wake(task)

    def stall(self, process, ticks):
        """Have a process stand still for so long, wherever it is, as far as it does not wait for others."""
        for task in [one for one in self._ready if one.process is process]:
            self._ready.remove(task)
            task.is_ready = False
            self._naps += 1
            heappush(self._sleeping, (self.ticks + ticks, self._naps, task))

    def step(self):
        """Let one task go on until it switches; False when there is none."""
        self.ticks += 1
        self.now_us += self.tick_us
        if not self._ready and self._sleeping:
            self.ticks = max(self.ticks, self._sleeping[0][0])
        while self._sleeping and self._sleeping[0][0] <= self.ticks:
            self.wake(heappop(self._sleeping)[-1])
        if not self._ready:
            return False
        at = int(self.random.random() * len(self._ready))
        task, self._ready[at] = self._ready[at], self._ready[-1]
        self._ready.pop()
        task.is_ready = False
        if not task.is_done:
            self._go_on(task)
        return True

    def abandon(self):
        """End every task that still stands somewhere, as if all processes were killed."""
        self._is_over = True
        for task in [*self._ready, *(entry[-1] for entry in self._sleeping)]:
            if not task.is_done and task.greenlet is not None:
                self._go_on(task)
        self._ready, self._sleeping = [], []

    def _go_on(self, task):
        self._hub = greenlet.getcurrent()
        self.current = task
        if task.greenlet is None:
            task.greenlet = greenlet(lambda: self._run(task))
        task.greenlet.switch()
        self.current = None

    def leave(self):
        """Within a task: go away until somebody wakes it."""
        task = self.current
        self._hub.switch()
        if self._is_over:
            raise Killed
        if task.process is not None and task.process.is_dead:
            raise Killed

    def _run(self, task):
        try:
            if task.process is not None and task.process.is_dead:
                raise Killed  # noqa: TRY301 - it is as if it had been at work already
            task.result = task.work()
        except SimulationError:
            raise  # to the hub, which is the end of the run
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
            task.error = error
        task.is_done = True
        for waiter in task.waiters:
            self.wake(waiter)


class Pool(Executor):
    """Threads of one process, as tasks: at most so many are at work at once."""

    def __init__(self, scheduler, process, workers):
        self._scheduler = scheduler
        self._process = process
        self._free = workers
        self._queue = []

    def submit(self, function, /, *args, **kwargs):
        job = _Job(self._scheduler, lambda: function(*args, **kwargs))
        self._queue.append(job)
        self._start()
        return job

    def shutdown(self, wait=True, *, cancel_futures=False):  # noqa: FBT002 - as Executor has it
        """Do nothing: whoever leaves a pool has waited for its jobs."""

    def _start(self):
        while self._free and self._queue:
            self._free -= 1
            self._scheduler.spawn(self._work, self._process)

    def _work(self):
        while self._queue:
            job = self._queue.pop(0)
            job.run()
            if self._queue:
                self._scheduler.switch()
        self._free += 1


class _Job:
    """As much of a Future as pools of the product are asked for."""

    def __init__(self, scheduler, work):
        self._scheduler = scheduler
        self._work = work
        self._waiters = []
        self._is_done = False
        self._result = None
        self._error = None
        self._is_canceled = False

    def run(self):
        if not self._is_canceled:
            try:
                self._result = self._work()
            except Exception as error:  # noqa: BLE001 - whoever asks for the result is told
                self._error = error
        self._is_done = True
        for task in self._waiters:
            self._scheduler.wake(task)

    def result(self, timeout=None):
        del timeout
        if not self._is_done:
            self._waiters.append(self._scheduler.current)
            self._scheduler.leave()
        if self._error is not None:
            raise self._error
        return self._result

    def done(self):
        return self._is_done

    def cancel(self):
        self._is_canceled = True
        return False
