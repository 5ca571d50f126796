"""What reads what others answer, or have laid down: pages, secrets, folders, names of objects."""

import ipaddress
import os
import tempfile
import warnings
from contextlib import chdir, suppress
from functools import cache
from pathlib import Path
from unittest.mock import patch

import httpcore
import msgspec

from cli import target
from cli.errors import Failure
from kith import FetchError, WarehouseError
from shared import contract
from shared.adapters import fetching
from shared.adapters.builder_folders import UnreadableFileError, read_builder_folders
from shared.adapters.fetching import Fetcher
from shared.adapters.s3 import Listed
from shared.adapters.warehouses import SqlWarehouse
from shared.app.folders import BrokenBuildersError, Candidate, read_folders
from shared.app.frozen import FROZEN_FILES, thaw
from shared.app.retries import due_of
from shared.app.secrets import SecretUnavailableError, hidden_of, start_of
from shared.core.archive import may_hold_before
from shared.core.definition import Secret
from shared.core.fetch_rules import FetchRules
from shared.core.masking import MASKED_LENGTH_MIN, Mask
from shared.core.sandbox import Program
from tests.fuzz.outside import ARRIVAL

PUBLIC = [ipaddress.ip_address("93.184.216.34")]
PROGRAM = Program("people", 1, "", {"A": Secret("s"), "B": Secret("s", "key")}, warehouses={"w": Secret("s")})
"""Code that is given a secret in each of the ways that there are."""


@cache
def _fetcher():
    return Fetcher(FetchRules(redirects=True))


def fetched(data):
    """What a server answers, to each of the requests that redirects lead to."""
    with (
        patch.object(fetching, "_resolve", lambda *_: PUBLIC),
        patch.object(httpcore, "SyncBackend", lambda: httpcore.MockBackend([data[:9], data[9:]])),
        suppress(FetchError),
    ):
        answer = _fetcher()("http://public.example.com/")
        assert answer.ok == (answer.status // 100 == 2)
        assert all(name == name.lower() for name in answer.headers)
        assert isinstance(answer.text, str)
        with suppress(ValueError):
            answer.json()


def secret(data):
    """A secret of Secrets Manager, which comes as JSON does: with half a surrogate pair, if it likes."""
    text = data.decode("utf-8", "surrogateescape")
    mask = Mask(hidden_of([text]))
    assert len(text) < MASKED_LENGTH_MIN or text not in mask(f"<{text}>")
    with suppress(SecretUnavailableError):
        start = start_of(PROGRAM, OneSecret(text))
        assert start.warehouses["w"] in start.secrets
        msgspec.json.encode(start)


class OneSecret:
    """Gives one secret, whoever asks."""

    def __init__(self, text):
        self._text = text

    def read(self, _name):
        return self._text


def warehouse(data):
    """The URL of a warehouse: nothing is reached before it is asked."""
    with suppress(WarehouseError), warnings.catch_warnings(action="ignore"):
        SqlWarehouse(data.decode("utf-8", "replace"))


def folder(data):
    """The folder of a builder, its files ended by zeros: it can be published, or all problems are told."""
    with tempfile.TemporaryDirectory() as root:
        made = Path(root, "customers")
        made.mkdir()
        for name, text in zip(FROZEN_FILES, data.split(b"\0"), strict=False):
            (made / name).write_bytes(text)
        found = _candidate(Path(root))
    if isinstance(found, Candidate):
        assert thaw(found.data, found.sha256).definition == found.definition
    else:
        assert found.strip()


def _candidate(root):
    """Return what the only folder may be published as, or what is told of its problems."""
    try:
        [candidate] = read_folders(read_builder_folders(root))
    except (BrokenBuildersError, UnreadableFileError) as error:
        return str(error)
    return candidate


def names_of_objects(data):
    """Keys below the prefixes that are listed, one a line."""
    names = data.decode("utf-8", "replace").splitlines()
    listed = [Listed(contract.PREFIX_RETRIES + name, 0, 0) for name in names]
    assert all(one.modified_at <= ARRIVAL for one in due_of(iter(listed), ARRIVAL))
    for name in names:
        assert isinstance(may_hold_before(contract.PREFIX_EVENTS + name, ARRIVAL), bool)
        with suppress(ValueError):
            builder, version = contract.version_of_alias(name)
            assert builder
            assert version >= 0


def connection(data):
    """What `make run` leaves for commands: they find a cloud by it, or say what to do."""
    with tempfile.TemporaryDirectory() as root, chdir(root), patch.dict(os.environ):
        target.CONNECTION_FILE.parent.mkdir()
        target.CONNECTION_FILE.write_bytes(data)
        with suppress(Failure):
            assert target.resolve(None).is_local
