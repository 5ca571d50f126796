"""State Link: finds out whose events may belong to one person; see `shared/app/rebuild/link.py`."""

from typing import Any, Final

from shared.app.rebuild.link import link
from shared.runtime.log import logger
from shared.runtime.rebuild import Answer, Call, Outcome, Rebuild, RebuildSettings, done

REBUILD: Final = Rebuild(RebuildSettings)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Link all parts; the answer names the manifests of Shuffle and Replay."""
    return REBUILD.answer("Link", _link, event, context)


def _link(call: Call) -> Outcome:
    REBUILD.ensure_building(call.name)
    linked = link(REBUILD.registry, call.name, REBUILD.objects, REBUILD.progress)
    return done(
        linked,
        shuffle=linked.shuffle_manifest,
        replay=linked.replay_manifest,
        partitions=linked.partitions,
    )
