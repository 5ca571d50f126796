"""What Kith logs: a catalogue. Alarms, queries and docs/logs.md name lines by their code.

No line holds a personal value: identifiers appear by type, events by position, profiles by id.
"""

import logging
import traceback
from enum import Enum
from typing import Any, Final

from aws_lambda_powertools.logging.logger import Logger

from shared import contract

_INFO, _WARNING, _ERROR = logging.INFO, logging.WARNING, logging.ERROR


class LogCode(Enum):
    """One member per line that may be logged: code, level, message, and what to do about it."""

    BATCH_DONE = ("KITH-100", _INFO, "batch folded", "Nothing: one line per invocation of ingestion.")
    BATCH_FAILED = (
        "KITH-101",
        _ERROR,
        "batch failed; Lambda retries it from its lowest failed record",
        "Read `error`. What still fails after the retries waits in the archive bucket, and is drained.",
    )
    RECORDS_QUARANTINED = (
        "KITH-102",
        _WARNING,
        "unreadable records or events went to quarantine",
        "`kith quarantine list` shows them; replay them when their cause is mended.",
    )
    PROFILES_MERGED = ("KITH-103", _INFO, "profiles turned out to be one person", "Nothing.")
    PROFILE_BROKEN = (
        "KITH-104",
        _WARNING,
        "a profile passed the limits and was removed",
        "Look for an identifier that many people share, and block it in the builder.",
    )
    IDENTIFIER_OVER_LIMIT = (
        "KITH-105",
        _INFO,
        "an identifier over its type's limit was set aside",
        "Nothing, unless it is frequent: then two people share a device or a form.",
    )
    DELTA_PARKED = (
        "KITH-106",
        _INFO,
        "events of a contended profile were parked beside it",
        "Nothing, unless it is frequent: then one identifier collects the events of many people.",
    )
    INVARIANT_VIOLATED = (
        "KITH-107",
        _ERROR,
        "an invariant does not hold",
        "Keep the line and report it: this is a defect, and `invariant` names it.",
    )
    DEDUP_EVICTED = (
        "KITH-108",
        _WARNING,
        "profiles forgot events of the last 24 hours to stay within their memory",
        "A redelivery of those events would count twice. Look for bots among the busiest profiles.",
    )
    VERSION_UNREADABLE = (
        "KITH-109",
        _ERROR,
        "the definition of the consuming version cannot be loaded",
        "Read `error`. The registry's row and the object it names must agree; until then all waits.",
    )
    EVENTS_POSTPONED = (
        "KITH-110",
        _INFO,
        "events wait to be tried again: a transformation asks for it, or they lost too many races",
        "Nothing, unless it lasts: in the end they go to quarantine.",
    )
    PROFILE_DAMAGED = (
        "KITH-111",
        _ERROR,
        "what is stored of a profile cannot be read; its events went to quarantine",
        "`places` says where. docs/quarantine.md says how to mend it; then replay its events.",
    )
    BATCH_UNFINISHED = (
        "KITH-112",
        _WARNING,
        "a batch holds more events than there is time for; Lambda brings the rest again",
        "Nothing, unless it is frequent: then put fewer events into one record, or lower `batch_size`.",
    )
    EVENTS_UNPLANNED = (
        "KITH-113",
        _ERROR,
        "events cannot be folded into what is stored of their profiles; they went to quarantine",
        "Keep the line and report it, unless somebody edited the profile: then mend that, and replay.",
    )
    BUILDER_DEPLOYED = ("KITH-200", _INFO, "builder deployed", "Nothing: `outcome` says what became of it.")
    BUILDER_GONE = (
        "KITH-201",
        _WARNING,
        "the folder of an active builder is gone; its active version goes on",
        "Nothing, if it was meant.",
    )
    BUILDERS_BROKEN = (
        "KITH-202",
        _ERROR,
        "builder folders are broken; nothing was deployed",
        "Mend what `problems` lists (`kith validate` shows the same) and deploy again.",
    )
    DEPLOY_FAILED = (
        "KITH-203",
        _ERROR,
        "publishing the builders failed",
        "Read `error`, and deploy again: it goes on where it stopped.",
    )
    CONSUMERS_REMOVED = (
        "KITH-204",
        _INFO,
        "all consumers were removed with the stack",
        "Nothing.",
    )
    DEPLOY_ANSWERED = ("KITH-205", _INFO, "CloudFormation was answered", "Nothing.")
    DRAIN_DONE = ("KITH-300", _INFO, "drain done", "Nothing: one line per run of the drain.")
    DRAIN_FAILING = (
        "KITH-301",
        _WARNING,
        "records of a failed batch still fail",
        "Read ingestion's log. They are tried again; six hours after they failed they go to quarantine.",
    )
    DRAIN_GAVE_UP = (
        "KITH-302",
        _ERROR,
        "records that kept failing went to quarantine",
        "`kith quarantine list --reason failed_repeatedly` shows them; replay them when all is mended.",
    )
    DRAIN_UNREADABLE = (
        "KITH-303",
        _ERROR,
        "an object of the on-failure destination cannot be read; it stays",
        "Read the object: nothing but Lambda writes there. Delete it when it is of no use.",
    )
    DRAIN_UNAVAILABLE = (
        "KITH-304",
        _WARNING,
        "ingestion cannot be called now; the drain goes on in its next run",
        "Nothing, unless it lasts: then look at the function's throttles.",
    )
    DRAIN_FAILED = (
        "KITH-305",
        _ERROR,
        "the drain broke off; its next run starts over",
        "Read `error`. Nothing is lost: batches wait until they are drained.",
    )
    DRAIN_DROPPED = (
        "KITH-306",
        _INFO,
        "records for a version that has ended were dropped; the archive holds them",
        "Nothing: the version that replaced it counts them.",
    )
    ARCHIVED = ("KITH-400", _INFO, "batch archived", "Nothing: one line per invocation of the archiver.")
    ARCHIVING_FAILED = (
        "KITH-401",
        _ERROR,
        "a batch could not be archived; Lambda brings it again, until it can",
        "Read `error`. Nothing is lost while the stream still holds the records: seven days.",
    )
    REBUILD_STATE_DONE = (
        "KITH-500",
        _INFO,
        "a state of a rebuild has worked",
        "Nothing: one line per call. `status` says how far it is, `counted` what it did.",
    )
    REBUILD_STATE_FAILED = (
        "KITH-501",
        _ERROR,
        "a state of a rebuild failed; it is tried again",
        "Read `error`. After the last try the version fails; publish it again when the cause is mended.",
    )
    BUILD_FAILED = (
        "KITH-502",
        _ERROR,
        "a version cannot be built",
        "Read `reason`, mend it, and publish again. The active version serves on.",
    )
    BUILD_ENDED = (
        "KITH-503",
        _INFO,
        "a state found that its version is no longer being built",
        "Nothing: it was cancelled, or another state failed before. `reason` says which.",
    )

    TRANSFORMED = ("KITH-600", _INFO, "events transformed", "Nothing: one line per call of the function.")
    USER_CODE_LOGGED = ("KITH-601", _INFO, "user code logged", "Whatever the builder's author meant by it.")
    USER_CODE_FAILED = (
        "KITH-602",
        _WARNING,
        "user code failed",
        "`detail` names the error and its line. Events wait in quarantine, or for another attempt.",
    )
    FUNCTION_RAN = ("KITH-603", _INFO, "profile functions ran", "Nothing: one line per call of the function.")

    DISPATCHED = (
        "KITH-700",
        _INFO,
        "due profiles were put on the queue",
        "Nothing: one line per batch of changes.",
    )
    DISPATCH_FAILED = (
        "KITH-701",
        _ERROR,
        "due profiles could not be put on the queue; Lambda brings the changes again, until they are",
        "Read `error`. Nothing is lost while the table's stream still holds the changes: 24 hours.",
    )
    CHANGE_UNREADABLE = (
        "KITH-702",
        _ERROR,
        "changes of the table tell of no profile",
        "Look for items in the profiles table that are not Kith's.",
    )
    FUNCTIONS_RUN = (
        "KITH-703",
        _INFO,
        "profile functions have run",
        "Nothing: one line per invocation. It counts profiles by what became of them.",
    )
    FUNCTION_FAILED = (
        "KITH-704",
        _WARNING,
        "a profile function failed; it is tried again, later and later",
        "`detail` names the error and its line. The profile keeps its last good result.",
    )
    FUNCTION_GIVEN_UP = (
        "KITH-705",
        _ERROR,
        "a profile function failed for the last time",
        "See `kith functions errors`. It runs again when the profile changes, or by `kith functions retry`.",
    )
    MESSAGE_UNREADABLE = (
        "KITH-707",
        _ERROR,
        "a message on the queue of due profiles is none of Kith's; it was dropped",
        "Find out who else may write to the queue.",
    )
    FUNCTION_UNAVAILABLE = (
        "KITH-706",
        _ERROR,
        "a profile function could not be run now; it is tried again, later and later",
        "Read `error`, and the log of functions_sandbox. It counts as no failure of the function.",
    )

    TRAITS_LEFT_OUT = (
        "KITH-708",
        _WARNING,
        "traits that a profile function returned cannot be kept; the others were written",
        "`kith preview` shows which, and `docs/functions.md` what can be kept.",
    )

    def __init__(self, code: str, level: int, message: str, advice: str) -> None:
        self.code = code
        self.level = level
        self.message = message
        self.advice = advice


logger: Final = Logger(service=contract.SERVICE, location=None, utc=True)
"""Powertools' logger, at POWERTOOLS_LOG_LEVEL (INFO); handlers add each invocation's context to it."""

_WRITE: Final = {_INFO: logger.info, _WARNING: logger.warning, _ERROR: logger.error}


def log(line: LogCode, **fields: Any) -> None:
    """Log one line of the catalogue; its fields stand in `data`, clear of the names that logging reserves."""
    _WRITE[line.level](line.message, extra={"code": line.code, "data": fields})


def log_error(line: LogCode, error: BaseException, **fields: Any) -> None:
    """Log one line with an error's type and where it was raised.

    Its text stays out: it may quote the value that caused it, and that may be personal.
    """
    frames = traceback.extract_tb(error.__traceback__)
    raised_at = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log(line, **fields, error=type(error).__qualname__, raised_at=raised_at)
