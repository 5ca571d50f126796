"""`kith backfill` on a pretended AWS: files from here and from S3 become objects of the archive."""

import gzip
import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, IncompleteReadError
from typer.testing import CliRunner

from cli.backfill_files import FileSource, download
from cli.main import app
from shared import contract
from shared.adapters.background import BackgroundPuts
from shared.adapters.registry import DynamoRegistry
from shared.adapters.s3 import S3Objects
from shared.app.registry import Status
from shared.core.archive import read_object
from shared.runtime import aws
from tests.app.rebuilding import a_version
from tests.fakes.objects import FakeObjects
from tests.moto_cloud import create_bucket, create_registry_table, empty_registry_table, moto_clients
from tests.unit.test_cli_cloud import NAMES, FakeCloudFormation

REGION = "eu-central-1"
EVENTS = [
    json.dumps({"type": "track", "messageId": str(number), "timestamp": f"2024-01-01T{number:02}:00:00Z"})
    for number in range(5)
]


@pytest.fixture(scope="module")
def clients():
    with moto_clients(REGION) as client:
        for bucket in ("archive", "lake"):
            create_bucket(client("s3"), bucket, REGION)
        create_registry_table(client("dynamodb"), NAMES[contract.OUTPUT_REGISTRY_TABLE])
        yield client


@pytest.fixture
def archive(clients):
    objects = S3Objects(clients("s3"), "archive")
    for listed in list(objects.list("")):
        objects.delete(listed.key)
    return objects


@pytest.fixture(autouse=True)
def _aws(clients, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        aws,
        "client",
        lambda service: FakeCloudFormation() if service == "cloudformation" else clients(service),
    )


def kith(*arguments):
    return CliRunner().invoke(app, ["backfill", *map(str, arguments), "--stage", "dev"])


def archived(archive):
    """Texts of all archived events, in their order."""
    found = []
    for listed in archive.list(contract.PREFIX_EVENTS):
        found += [record.data.decode() for record in read_object(archive.get(listed.key)[0])]
    return found


@pytest.fixture
def history(tmp_path):
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join(EVENTS) + "\n")
    return file


def test_a_file_is_added_and_told(archive, history):
    result = kith(history)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        f"{history}: added 5 events that arrived 2024-01-01T00:00:00.000Z to 2024-01-01T04:00:00.000Z,"
        " in 5 objects\n"
        "The next version is built from it: `kith publish` makes one of a draft, `kith rollback` of the\n"
        "active version where nothing else is to change. Those that exist stay as they are.\n"
    )
    assert archived(archive) == EVENTS
    assert len(list(archive.list(contract.PREFIX_BACKFILL))) == 1


def test_the_same_events_again_add_nothing_compressed_or_not(archive, history, tmp_path):
    kith(history)
    packed = tmp_path / "history.jsonl.gz"
    packed.write_bytes(gzip.compress(history.read_bytes().removesuffix(b"\n")))
    result = kith(history, packed)
    assert result.exit_code == 0
    told = result.stdout.splitlines()
    assert len(told) == 2
    assert all(f"{history}: nothing to add: it was added at " in line for line in told)
    assert archived(archive) == EVENTS


def test_nothing_is_added_while_a_version_is_being_built_which_might_find_a_part_of_it(
    archive, clients, history
):
    registry = DynamoRegistry(NAMES[contract.OUTPUT_REGISTRY_TABLE], REGION)
    registry.add(a_version("people", 1, Status.ACTIVE))
    registry.add(a_version("people", 2, Status.BUILDING))
    try:
        result = kith(history)
        assert kith(history, "--dry-run").exit_code == 0
    finally:
        empty_registry_table(clients("dynamodb"), NAMES[contract.OUTPUT_REGISTRY_TABLE])
    assert result.exit_code == 1
    assert result.stderr.startswith("kith: version 2 of people is being built, and might find a part of")
    assert archived(archive) == []


def test_a_dry_run_adds_nothing(archive, history):
    result = kith("--dry-run", history)
    assert result.stdout.startswith(f"{history}: would add 5 events")
    assert list(archive.list("")) == []


def test_json_is_the_manifest_and_what_became_of_it(archive, history):
    assert archive
    for status in ("added", "added_before"):
        told = json.loads(kith("--json", history).stdout)
        assert told["status"] == status
        assert (told["source"], told["records"], len(told["objects"])) == (str(history), 5, 5)
    assert json.loads(kith("--json", "--dry-run", history).stdout)["status"] == "added_before"


def test_lines_that_are_no_events_go_beside_the_file_with_their_reasons(archive, history):
    assert archive
    beside = history.with_name("history.jsonl.rejected")
    beside.write_text("of an earlier run")
    history.write_bytes(b"\xff\nnope\n" + EVENTS[0].encode())
    result = kith(history)
    assert result.exit_code == 0
    assert result.stderr == f"{history}: 2 lines rejected, see {beside}\n"
    told = [json.loads(line) for line in beside.read_bytes().splitlines()]
    assert [(one["line"], one["reason"]) for one in told] == [(1, "not_json"), (2, "not_json")]
    assert (told[0]["data_base64"], told[1]["data"]) == ("/w==", "nope")
    kith(history)
    assert beside.exists(), "what was told of a file stays when it is not added again"


def test_a_file_of_s3_is_added_and_what_is_rejected_of_it_comes_here(archive, clients, tmp_path):
    body = gzip.compress("\n".join([*EVENTS, "nope"]).encode())
    clients("s3").put_object(Bucket="lake", Key="2024/01/a.jsonl.gz", Body=body)
    result = kith("s3://lake/2024/01/a.jsonl.gz")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("s3://lake/2024/01/a.jsonl.gz: added 5 events")
    assert archived(archive) == EVENTS
    assert (tmp_path / "2024_01_a.jsonl.gz.rejected").exists()


class Breaking:
    """An S3 whose answers break off now and then."""

    def __init__(self, body, breaks):
        self._body, self._breaks = body, breaks
        self.asked = []

    def head_object(self, **_):
        return {"ContentLength": len(self._body), "ETag": "tag"}

    def get_object(self, *, Range, IfMatch, **_):  # noqa: N803 - arguments of AWS
        assert IfMatch == "tag"
        self.asked.append(Range)
        start, end = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": SimpleNamespace(read=lambda: self._read(start, end))}

    def _read(self, start, end):
        if self._breaks:
            self._breaks -= 1
            raise IncompleteReadError(actual_bytes=0, expected_bytes=1)
        return self._body[start : end + 1]


@pytest.mark.parametrize(("breaks", "is_whole"), [(0, True), (4, True), (5, False)])
def test_a_large_file_of_s3_comes_in_pieces_each_asked_for_again_when_it_breaks_off(
    monkeypatch, tmp_path, breaks, is_whole
):
    monkeypatch.setattr("cli.backfill_files.PIECE_BYTES", 4)
    s3, path = Breaking(b"0123456789", breaks), tmp_path / "source"
    with nullcontext() if is_whole else pytest.raises(IncompleteReadError):
        download(s3, "s3://lake/large", path)
        assert path.read_bytes() == b"0123456789"
    assert s3.asked[-1] == ("bytes=8-9" if is_whole else "bytes=0-3")


def test_all_files_below_a_prefix_of_s3_are_added(archive, clients):
    for number, event in enumerate(EVENTS):
        clients("s3").put_object(Bucket="lake", Key=f"many/{number}.jsonl", Body=event.encode())
    clients("s3").put_object(Bucket="lake", Key="many/", Body=b"")
    assert len(kith("--json", "s3://lake/many/").stdout.splitlines()) == len(EVENTS)
    assert archived(archive) == EVENTS


def test_a_file_that_is_not_there_is_told(tmp_path, archive):
    assert "no objects below s3://lake/none/" in kith("s3://lake/none/").stderr
    assert archive
    result = kith(tmp_path / "missing.jsonl")
    assert result.exit_code == 1
    assert "kith: cannot backfill" in result.stderr
    assert kith("s3://lake/missing.jsonl").exit_code == 1
    assert "cannot backfill .: Is a directory" in kith(".").stderr.replace("[Errno 21] ", "")


def test_compressed_data_that_ends_too_early_adds_nothing(archive, history):
    packed = gzip.compress(history.read_bytes())
    history.write_bytes(packed[:-4])
    result = kith(history)
    assert result.exit_code == 1
    assert "cannot backfill" in result.stderr
    assert list(archive.list(contract.PREFIX_BACKFILL)) == []
    assert not list(history.parent.glob("*.partial"))


def test_a_line_of_any_length_takes_no_more_memory_than_an_event(tmp_path):
    file = tmp_path / "long.jsonl"
    file.write_bytes(b"x" * 5_000_000 + b"\n" + EVENTS[0].encode() + b"\n" + b"y" * 2_200_000)
    lines = list(FileSource(file, "long").lines())
    assert [line[:1] for line in lines] == [b"x", b"{", b"y"]
    assert max(map(len, lines)) < 1_100_000


class Failing(FakeObjects):
    def put(self, key, data):
        if data == b"bad":
            raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
        super().put(key, data)


def test_objects_written_in_the_background_are_all_there_in_the_end():
    objects = FakeObjects()
    with BackgroundPuts(objects) as puts:
        for number in range(100):
            puts.put(str(number), b"")
    assert len(objects.held) == 100


def put_bad_ones(count):
    with BackgroundPuts(Failing()) as puts:
        for number in range(count):
            puts.put(str(number), b"bad")


def test_an_error_in_the_background_comes_out():
    for count in (1, 100):
        with pytest.raises(ClientError):
            put_bad_ones(count)
