"""State CutOver: makes the version the active one; see `shared/app/rebuild/cut_over.py`."""

from typing import Any, Final

from shared.adapters.lambda_ import LambdaConsumers
from shared.app.rebuild.cut_over import cut_over
from shared.runtime import aws
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, ConsumerSettings, Outcome, Rebuild, done, now_ms

REBUILD: Final = Rebuild(ConsumerSettings)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Cut over; the answer names the version that is retired, 0 if there was none."""
    return REBUILD.answer("CutOver", _cut_over, event, context, gives_up=False)


def _cut_over(call: Call) -> Outcome:
    consumers = LambdaConsumers(aws.client("lambda"), REBUILD.settings.ingest_function)
    finished = cut_over(REBUILD.registry, consumers, call.name, now_ms())
    return done(finished, retired=finished.retired)
