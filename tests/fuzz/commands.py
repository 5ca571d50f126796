"""Command lines that mean harm: each ends well, or says in a sentence why not, and never in a traceback."""

import os
import re
import tempfile
from contextlib import chdir
from pathlib import Path
from unittest.mock import patch

from botocore.exceptions import EndpointConnectionError
from typer.testing import CliRunner

from cli.main import app
from shared.runtime import aws

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *(("init",), ("validate",), ("send",), ("get",), ("events",), ("fold",), ("backfill",), ("draft",)),
    *(("preview",), ("publish",), ("builds",), ("versions",), ("rollback",), ("cancel",), ("verify",)),
    *(("quarantine", one) for one in ("list", "show", "replay")),
    *(("functions", one) for one in ("errors", "retry")),
)
"""All but `test`, which starts pytest on what it finds."""
WORDS = (
    *("people", "user_id", "email", "u", "user_id=u", "not_json", "dev", "b", "b/", "events.jsonl", "new"),
    *("./events.jsonl", "nothing", "./nothing", "b//builder.yaml", "events.jsonl/x", ".", "-", "--", ""),
    *("--id", "--json", "--builder", "--version", "--versions", "--limit", "--stage", "--since", "--reason"),
    *("--all", "--grace", "--replace", "--accept-loss", "--drop", "--events", "--identifier", "--rate"),
    *("--out", "--dry-run", "--help", "0", "1", "-1", "1.5", "nan", "9" * 30, "24h", "2026-01-31", "a" * 300),
    *("s3://archive/", "s3://archive", "s3:///x", "people/v1/dt=2026-01-02/x", "\udcff", "ü", "\n", "="),
)
EXITS = {0, 1, 2}
_ELSEWHERE = re.compile(r"(^|=)/|\.\.|^--workers")
"""What leads out of the folder where a command may write, or starts processes."""
_UNREACHABLE = EndpointConnectionError(endpoint_url="nowhere")


def command(data):
    """A command line, its arguments ended by zeros, where there is no cloud."""
    arguments = [os.fsdecode(one) for one in data.split(b"\0")]
    if "test" not in arguments:
        with patch.object(aws, "client", side_effect=_UNREACHABLE):
            run(arguments)


def run(arguments):
    """Run a command in a folder of its own, with a builder and some events."""
    if any(map(_ELSEWHERE.search, arguments)):
        return
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("b").mkdir()
        for name in ("builder.yaml", "samples/events.jsonl"):
            source = ROOT / "builders/customers" / name
            Path("b" if source.suffix == ".yaml" else ".", source.name).write_bytes(source.read_bytes())
        result = CliRunner().invoke(app, arguments, input=b'{"userId": "u"}\n', catch_exceptions=False)
    assert result.exit_code in EXITS
    assert result.exit_code == 0 or result.output.strip(), "it failed, and said nothing"
