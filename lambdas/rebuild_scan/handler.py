"""State Scan: reads one part of the archive; see `shared/app/rebuild/scan.py`."""

from typing import Any, Final

import msgspec

from shared import contract
from shared.adapters.quarantine import S3Quarantine
from shared.app.rebuild.plan import Part
from shared.app.rebuild.scan import scan
from shared.runtime.log import logger
from shared.runtime.metrics import emit
from shared.runtime.rebuild import Answer, Call, Outcome, Rebuild, ScanSettings, done
from shared.runtime.transformation import lambda_transformer

REBUILD: Final = Rebuild(ScanSettings)
QUARANTINE: Final = S3Quarantine(REBUILD.objects)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Read the part that the event's `item` lists."""
    return REBUILD.answer("Scan", _scan, event, context)


def _scan(call: Call) -> Outcome:
    part = msgspec.convert(call.event["item"], Part)
    build = REBUILD.build(call.name)
    frozen = REBUILD.definition(call.name).frozen
    transformer = lambda_transformer(frozen, build.version, REBUILD.settings.transform_function)
    scanned = scan(build, part, REBUILD.objects, QUARANTINE, REBUILD.progress, transformer)
    emit({contract.METRIC_REBUILD_EVENTS: scanned.events}, call.name.builder)
    return done(scanned)
