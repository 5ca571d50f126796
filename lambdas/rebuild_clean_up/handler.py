"""State CleanUp: deletes what a version has left; see `shared/app/rebuild/clean_up.py`."""

from typing import Any, Final

from shared.adapters.quarantine import S3Quarantine
from shared.app.rebuild.clean_up import clean_up
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, Outcome, TableSettings, again, done
from shared.runtime.rebuild_tables import TableRebuild

REBUILD: Final = TableRebuild(TableSettings)
QUARANTINE: Final = S3Quarantine(REBUILD.objects)
ITEMS: Final = REBUILD.items()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Delete what the version has left, for as long as there is time."""
    return REBUILD.answer("CleanUp", _clean_up, event, context, gives_up=False)


def _clean_up(call: Call) -> Outcome:
    cleaned = clean_up(
        REBUILD.registry,
        ITEMS,
        QUARANTINE,
        REBUILD.objects,
        call.name,
        call.may_go_on,
    )
    return done(cleaned) if cleaned.done else again(cleaned)
