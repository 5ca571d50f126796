"""State Shuffle: sorts one part by partition; see `shared/app/rebuild/shuffle.py`."""

from typing import Any, Final

import msgspec

from shared.app.rebuild.shuffle import PartNumber, shuffle
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, Outcome, Rebuild, RebuildSettings, done

REBUILD: Final = Rebuild(RebuildSettings)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Sort the part that the event's `item` names."""
    return REBUILD.answer("Shuffle", _shuffle, event, context)


def _shuffle(call: Call) -> Outcome:
    REBUILD.ensure_building(call.name)
    part = msgspec.convert(call.event["item"], PartNumber)
    return done(shuffle(call.name, part, REBUILD.objects, REBUILD.progress))
