"""State Verify: accounts for every event, and compares a sample; see `shared/app/rebuild/verify.py`."""

from typing import Any, Final

from shared.app.rebuild.verify import verify
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, Outcome, TableSettings, done
from shared.runtime.rebuild_tables import TableRebuild

REBUILD: Final = TableRebuild(TableSettings)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Verify the build as a whole."""
    return REBUILD.answer("Verify", _verify, event, context)


def _verify(call: Call) -> Outcome:
    REBUILD.ensure_building(call.name)
    active = REBUILD.active(call.name.builder)
    return done(verify(call.name, REBUILD.objects, REBUILD.lines(call.name, active), active))
