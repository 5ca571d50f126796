"""State Replay: makes the profiles of one partition; see `shared/app/rebuild/replay.py`."""

from dataclasses import replace
from typing import Any, Final

import msgspec

from shared import contract
from shared.app.rebuild.replay import PartitionNumber, replay
from shared.runtime.log import logger
from shared.runtime.metrics import emit
from shared.runtime.rebuild import Answer, Call, Outcome, ReplaySettings, again, done
from shared.runtime.rebuild_tables import TableRebuild, loader, with_function

REBUILD: Final = TableRebuild(ReplaySettings)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Replay the partition that the event's `item` names, one of `partitions`, among `workers`."""
    return REBUILD.answer("Replay", _replay, event, context)


def _replay(call: Call) -> Outcome:
    build = replace(with_function(REBUILD, REBUILD.build(call.name)), left_s=call.left_s)
    replayed = replay(
        REBUILD.registry,
        build,
        msgspec.convert(call.event["item"], PartitionNumber),
        REBUILD.objects,
        loader(REBUILD, build, call.event["partitions"], call.event["workers"]),
        REBUILD.active_profiles(call.name.builder),
        REBUILD.progress,
        call.may_go_on,
    )
    if not replayed.done:
        return again(replayed)
    emit({contract.METRIC_REBUILD_PROFILES: replayed.profiles}, call.name.builder)
    return done(replayed)
