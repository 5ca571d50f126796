"""Limits that a run of a few dozen events reaches: segments, chunks, transactions, breaking, parking."""

from contextlib import ExitStack, contextmanager
from random import Random
from unittest.mock import patch

from shared.adapters.dynamo.piles import Tail
from tests.oracle import DEFAULTS, Limits

SMALL = Limits(identifiers=4, canonical_bytes=1500)

NEVER = 10**9
QUIET_MS_MAX = 4000
"""As far as the clocks of two processes may be apart."""


def limits_of(setting):
    """What breaks a profile in this world, and how many events one remembers."""
    limits = SMALL if setting.is_small else DEFAULTS
    return limits._replace(remembered=setting.remembered)


def _attempts_max(setting, random):
    """Who loses all of its races waits in the bucket, and what comes after it does not: no order is kept.

    So it is in any case where something is damaged, and who is not shown that would race for ever.
    """
    attempts_max = random.choice([3, 6, 12])
    return NEVER if setting.is_ordered and not setting.has_damage else attempts_max


@contextmanager
def tuned(setting):
    """Have the product work with this world's limits."""
    random = Random(f"tuning {setting.seed}")
    limits = limits_of(setting)
    is_decided_by_order = setting.is_small or setting.kind == "limited"
    values = {
        "shared.core.plan.IDENTIFIERS_MAX": limits.identifiers,
        "shared.core.plan.CANONICAL_BYTES_MAX": limits.canonical_bytes,
        "shared.core.memory.REMEMBERED_MAX": limits.remembered,
        "shared.adapters.dynamo.piles.REMEMBERED_MAX": limits.remembered,
        "shared.adapters.dynamo.piles.Traces.held_max": limits.remembered + limits.remembered // 2,
        "shared.adapters.dynamo.piles.Traces.kept_max": limits.remembered,
        # What is parked is taken later: where profiles break, that order decides.
        "shared.app.ingest.PARK_AFTER": NEVER if is_decided_by_order else random.choice([2, 2, 5]),
        "shared.app.ingest.ATTEMPTS_MAX": _attempts_max(setting, random),
        "shared.adapters.dynamo.client.size_of": lambda _: 1024,  # it only counts units, and takes long
        "shared.adapters.dynamo.layout.MERGED_AT": random.choice([2, 3, 10]),
        "shared.adapters.dynamo.piles.Entries.tail": Tail(random.choice([2, 4, 16]), 1, 8192, 0),
        "shared.adapters.dynamo.piles.Traces.tail": Tail(random.choice([2, 6, 24]), 1, 4096, 0),
    }
    if random.random() < 0.2:
        values["shared.adapters.dynamo.writes.ITEM_BYTES_MAX"] = 1500
        values["shared.adapters.dynamo.overflow.CHUNK_BYTES_MAX"] = 600
    # What is parked as somebody asked for quiet is taken later, too.
    values["shared.app.quiet.QUIET_AFTER"] = NEVER if is_decided_by_order else random.choice([1, 1, 2, NEVER])
    values["shared.app.quiet.WAITS_MAX"] = random.choice([0, 1, 3])
    values["shared.app.quiet.QUIET_MS"] = random.choice([200, QUIET_MS_MAX])
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(patch(name, value))
        yield limits
