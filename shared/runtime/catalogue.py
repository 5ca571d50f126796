"""The log catalogue as a page: `python -m shared.runtime.catalogue > docs/logs.md`."""

import logging
import sys
from typing import Final

from shared.runtime.log import LogCode

_HEAD: Final = """# What Kith logs

Every line is JSON. `code` names it, `message` says what happened, `data` holds its fields. Lines hold no
personal values: identifiers appear by type, events by shard, sequence number and index, profiles by id.

In CloudWatch Logs Insights: `filter code = "KITH-302" | fields @timestamp, data.key, data.failed`.

This page is generated: `python -m shared.runtime.catalogue > docs/logs.md`.

| code | level | message | what to do |
|---|---|---|---|
"""


def catalogue_text() -> str:
    """Return the page."""
    rows = (
        f"| {line.code} | {logging.getLevelName(line.level).lower()} | {line.message} | {line.advice} |\n"
        for line in LogCode
    )
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(catalogue_text())
