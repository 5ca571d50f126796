"""What a run of the drain logs and counts."""

from collections.abc import Sequence
from typing import Final

from shared import contract
from shared.app.drain import Drained, Outcome, Result
from shared.runtime.log import LogCode, log
from shared.runtime.metrics import emit

LINES: Final = {
    Outcome.FAILING: LogCode.DRAIN_FAILING,
    Outcome.GAVE_UP: LogCode.DRAIN_GAVE_UP,
    Outcome.DROPPED: LogCode.DRAIN_DROPPED,
    Outcome.UNREADABLE: LogCode.DRAIN_UNREADABLE,
}


def report(drained: Drained) -> None:
    """Log and count what became of the batches that waited."""
    for one in drained.results:
        if one.outcome in LINES:
            log(LINES[one.outcome], key=one.key, builder=one.builder, failed=one.failed, records=one.records)
    if drained.unavailable:
        log(LogCode.DRAIN_UNAVAILABLE)
    emit({contract.METRIC_BATCHES_FAILED: drained.waiting})
    for builder in {one.builder for one in drained.results}:
        emit(
            {
                contract.METRIC_EVENTS_QUARANTINED: _failed(drained.results, builder, Outcome.GAVE_UP),
                contract.METRIC_RECORDS_DROPPED: _failed(drained.results, builder, Outcome.DROPPED),
            },
            builder,
        )
    log(LogCode.DRAIN_DONE, waiting=drained.waiting, due=drained.due, looked_at=len(drained.results))


def _failed(results: Sequence[Result], builder: str, outcome: Outcome) -> int:
    """Count the records of which this became: nobody knows how many events they hold."""
    return sum(one.failed for one in results if one.builder == builder and one.outcome is outcome)
