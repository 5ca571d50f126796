"""State Plan: chooses T0, and lists the archive before it; see `shared/app/rebuild/plan.py`."""

from typing import Any, Final

from shared.adapters.kinesis import KinesisShards
from shared.adapters.lambda_ import free_concurrency
from shared.app.rebuild.plan import plan, workers_for
from shared.runtime import aws
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, Outcome, PlanSettings, Rebuild, done, now_ms, waiting

REBUILD: Final = Rebuild(PlanSettings)
SHARDS: Final = KinesisShards(aws.client("kinesis"), REBUILD.settings.stream)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Plan as far as possible; at the end the answer names the manifest of Scan."""
    return REBUILD.answer("Plan", _plan, event, context)


def _plan(call: Call) -> Outcome:
    planned = plan(
        REBUILD.registry,
        REBUILD.progress,
        REBUILD.objects,
        SHARDS,
        call.name,
        now_ms(),
        REBUILD.settings.timing,
        REBUILD.settings.release,
    )
    if not planned.done:
        return waiting(planned, planned.wait_s)
    workers = workers_for(REBUILD.settings.concurrency, free_concurrency(aws.client("lambda")))
    return done(planned, manifest=planned.manifest, workers=workers)
