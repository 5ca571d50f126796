"""Planted faults of one too many, and one too few: what worlds must find that come to each bound exactly."""

from unittest.mock import patch

from shared.core import life, memory, plan


def breaks_one_late():
    """A profile may have one identifier more than it may."""
    check = plan.Planner._break_if_too_large

    def late(self, *arguments):
        with patch.object(plan, "IDENTIFIERS_MAX", plan.IDENTIFIERS_MAX + 1):
            check(self, *arguments)

    yield patch.object(plan.Planner, "_break_if_too_large", late)


def expires_at_the_moment():
    """An event that arrives in the last millisecond of a profile comes too late for it."""
    expires_at, fresh_until = life.expires_at, life.fresh_until
    yield patch.object(life, "expires_at", lambda *given, **named: expires_at(*given, **named) - 1)
    yield patch.object(life, "fresh_until", lambda *given, **named: fresh_until(*given, **named) - 1)


def remembers_one_too_few():
    """A full memory forgets two events for one."""
    add = memory.Memory.add

    def short(self, *arguments):
        with patch.object(memory, "REMEMBERED_MAX", memory.REMEMBERED_MAX - 1):
            add(self, *arguments)

    yield patch.object(memory.Memory, "add", short)


def counts_no_evictions():
    """What a full memory forgets is told by no counter."""
    forget = memory.Memory._forget

    def silent(self):
        forget(self)
        self.evicted = 0

    yield patch.object(memory.Memory, "_forget", silent)


MUTANTS_OF_BOUNDS = [breaks_one_late, expires_at_the_moment, remembers_one_too_few, counts_no_evictions]
