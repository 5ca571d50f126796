"""Planted faults of running profile functions: what worlds with functions must find."""

from unittest.mock import patch

from msgspec.structs import replace

from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.sqs import SqsQueue
from shared.app.functions import results, run
from shared.app.functions.deliver import Deliver
from shared.app.functions.dispatch import dispatch
from shared.core.compaction import compact
from shared.core.functions import FunctionFailure
from shared.core.history import DAMAGED, UnreadableChunkError, open_chunk, rows_of
from shared.core.writes import Put
from tests.simulation import functions


def takes_a_result_for_one_of_all_events():
    """What was counted while the function ran does not leave its profile due."""

    def put(profile, *arguments):
        if profile.computed is not None:
            profile.computed = replace(profile.computed, basis=profile.heads)
        return Put(profile, *arguments)

    yield patch.object(run, "Put", put)


def forgets_what_cannot_be_run_now():
    """A message goes although nothing is known of its function yet."""
    take = Deliver.take

    def forgetful(self, message):
        delivery = take(self, message)
        return delivery if delivery.error is None else delivery._replace(again=False)

    yield patch.object(Deliver, "take", forgetful)


def dispatches_the_first_of_several_changes():
    """Of several changes of a profile in a batch, the first one's revision goes on the queue."""

    def first(queue, records):
        changes = {record["dynamodb"]["NewImage"]["pk"]["S"]: record for record in reversed(records)}
        return dispatch(queue, changes.values())

    yield patch.object(functions, "dispatch", first)


def loses_what_the_queue_refuses():
    """Dispatch takes what the queue has refused for sent."""
    send = SqsQueue._send

    def sent(self, messages):
        send(self, messages)
        return 0

    yield patch.object(SqsQueue, "_send", sent)


def drops_who_is_due_while_a_version_is_built():
    """A message of a version that is being built is done with, and no other comes in its place."""
    deal = Deliver._run

    def dropping(self, message, due):
        self._queue.send = lambda _: None
        return deal(self, message, due)

    yield patch.object(Deliver, "_run", dropping)


def tells_nobody_of_errors():
    """A function that failed for the last time is listed nowhere."""
    yield patch.object(S3FunctionErrors, "put", lambda *_: None)


def leaves_beside_what_is_parked():
    """The function runs without the events that wait beside its profile."""
    yield patch.object(run.Runs, "_fold_parked", lambda *_: False)


def keeps_what_was_returned_before():
    """A result is laid over the one before: what a function does not return any more stays."""
    computed_of = results.computed_of

    def kept(profile, result):
        new, before = computed_of(profile, result), profile.computed
        return replace(new, traits={**before.traits, **new.traits}) if before else new

    yield patch.object(run, "computed_of", kept)


def waits_for_a_damaged_history():
    """A history that cannot be read is taken for one that cannot be read now: nobody is told."""
    outcome_of = run.Runs._outcome

    def unavailable(self, profile):
        found = outcome_of(self, profile)
        if found[1] == FunctionFailure("function_history", DAMAGED):
            raise run.UnavailableError(DAMAGED)
        return found

    yield patch.object(run.Runs, "_outcome", unavailable)


def puts_together_what_can_be_read():
    """Compaction leaves out chunks that are damaged, and with them what they lead to."""

    def without(profile, found, rev, small_max):
        return compact(profile, {head: one for head, one in found.items() if _is_whole(one)}, rev, small_max)

    yield patch.object(run, "compact", without)


def _is_whole(chunk):
    try:
        return bool(list(rows_of(open_chunk(chunk))))
    except UnreadableChunkError:
        return False


MUTANTS_OF_FUNCTIONS = [
    takes_a_result_for_one_of_all_events,
    forgets_what_cannot_be_run_now,
    dispatches_the_first_of_several_changes,
    loses_what_the_queue_refuses,
    drops_who_is_due_while_a_version_is_built,
    tells_nobody_of_errors,
    leaves_beside_what_is_parked,
    keeps_what_was_returned_before,
    waits_for_a_damaged_history,
    puts_together_what_can_be_read,
]
