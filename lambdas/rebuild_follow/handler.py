"""State Follow: lets the version follow the stream from T0 on; see `shared/app/rebuild/follow.py`."""

from typing import Any, Final

from shared.adapters.kinesis import KinesisShards
from shared.adapters.lambda_ import LambdaConsumers
from shared.app.rebuild.follow import follow
from shared.runtime import aws
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, FollowSettings, Outcome, Rebuild, done, now_ms, waiting
from shared.runtime.settings import read_consumer

REBUILD: Final = Rebuild(FollowSettings)
SHARDS: Final = KinesisShards(aws.client("kinesis"), REBUILD.settings.stream)
CONSUMER: Final = read_consumer(REBUILD.settings.consumer)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Start the version's consumer, and look whether it has caught up."""
    return REBUILD.answer("Follow", _follow, event, context)


def _follow(call: Call) -> Outcome:
    followed = follow(
        REBUILD.registry,
        LambdaConsumers(aws.client("lambda"), REBUILD.settings.ingest_function),
        CONSUMER,
        REBUILD.objects,
        SHARDS,
        call.name,
        now_ms(),
        REBUILD.settings.timing,
    )
    return done(followed) if followed.done else waiting(followed, followed.wait_s)
