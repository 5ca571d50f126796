"""Processes of all kinds, besides those that ingest: they begin, stand still and die at any moment."""

from tests.simulation.scheduler import Process

STALL_TICKS_MAX = 4000


class Processes:
    """The part of a world that has such processes."""

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self.processes = []

    def number(self):
        self._count += 1
        return self._count

    def work(self, name, work):
        """Have a new process do some work; return its task."""
        skew_us = self.random.randint(-2_000_000, 2_000_000)
        process = Process(f"{name}-{self.number()}", skew_us)
        self.processes = [one for one in self.processes if any(not task.is_done for task in one.tasks)]
        self.processes.append(process)
        return self.scheduler.spawn(lambda: work(process), process)

    def working(self):
        """Return all tasks of functions that are at work."""
        return [task for one in self.workers + self.processes for task in one.tasks if not task.is_done]

    # What happens, by the names of steps.

    def kill(self, at):
        """End any process."""
        process = self._any_process(at)
        if process in self.workers:
            self._end(process)
        elif process is not None:
            self.end(process)

    def end(self, process):
        """End a process in the midst of its work."""
        self.met[f"died: {process.kind}"] += 1
        self.scheduler.kill(process)

    def stall(self, at):
        """Have any process stand still, while others go on, or take its place."""
        process = self._any_process(at)
        if process is not None:
            self.met["a process stood still"] += 1
            self.scheduler.stall(process, at % STALL_TICKS_MAX)

    def _any_process(self, at):
        alive = [one for one in self.processes if any(not task.is_done for task in one.tasks)]
        either = self.workers + alive
        return either[at % len(either)] if either else None
