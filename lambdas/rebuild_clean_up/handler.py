"""State CleanUp: deletes what a version has left; see `shared/app/rebuild/clean_up.py`."""

from typing import Any, Final

from shared.adapters.lambda_ import LambdaConsumers
from shared.app.rebuild.clean_up import clean_up
from shared.runtime import aws
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, CleanUpSettings, Outcome, again, done, now_ms
from shared.runtime.rebuild_tables import TableRebuild

REBUILD: Final = TableRebuild(CleanUpSettings)
ITEMS: Final = REBUILD.items(REBUILD.settings.user_store, REBUILD.settings.write_units)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Delete what the version has left, for as long as there is time."""
    return REBUILD.answer("CleanUp", _clean_up, event, context, gives_up=False)


def _clean_up(call: Call) -> Outcome:
    cleaned = clean_up(
        REBUILD.registry,
        LambdaConsumers(aws.client("lambda"), REBUILD.settings.ingest_function),
        ITEMS,
        REBUILD.objects,
        call.name,
        now_ms(),
        call.may_go_on,
    )
    return done(cleaned) if cleaned.done else again(cleaned)
