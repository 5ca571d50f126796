"""State Fail: ends a version that cannot be built; see `shared/app/rebuild/fail.py`."""

from typing import Any, Final

from shared.adapters.lambda_ import LambdaConsumers
from shared.app.rebuild.fail import fail
from shared.runtime import aws
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, ConsumerSettings, Outcome, Rebuild, done, now_ms

REASONS: Final = {
    "States.ExceedToleratedFailureThreshold": "a worker failed again and again: its log says why",
    "States.ItemReaderFailed": "a manifest of its build is gone or damaged",
    "States.Timeout": "a worker took longer than it may",
}
"""What a version says that failed without a worker to say why, by the error of the state machine."""

REBUILD: Final = Rebuild(ConsumerSettings)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Mark the version as failed; the answer says why, as its row does."""
    return REBUILD.answer("Fail", _fail, event, context, gives_up=False)


def _fail(call: Call) -> Outcome:
    consumers = LambdaConsumers(aws.client("lambda"), REBUILD.settings.ingest_function)
    error = call.event["error"]
    reason = REASONS.get(error, f"the state machine met {error}")
    failed = fail(REBUILD.registry, consumers, call.name, reason, now_ms())
    return done(failed, reason=failed.reason)
