"""The table of the archive, against what is in it: Athena shows nothing, or NULL, where they differ."""

import gzip
import json
import re

import pytest

from shared import contract
from shared.app.archive import Archiver
from shared.app.markers import Markers
from tests.fakes.objects import FakeObjects
from tests.infra.conftest import flat
from tests.kinesis import envelope

HIVE_TYPES = {"string": str, "bigint": int}
DATAS = [b'{"a": "line\\n"}', "\u2028\r\n\0\U0001f600".encode(), b"\x1f\x8b\xff", b""]


@pytest.fixture(scope="module")
def table(dev):
    [properties] = dev.resources("Glue::Table").values()
    return properties["TableInput"]


@pytest.fixture(scope="module")
def archived():
    """Objects as the archiver writes them, by key."""
    objects = FakeObjects()
    envelopes = [envelope(data, sequence=str(number)) for number, data in enumerate(DATAS, 1)]
    Archiver(objects, Markers(objects)).run(envelopes)
    return {key: data for key, (data, _) in objects.held.items()}


@pytest.fixture(scope="module")
def rows(archived):
    """Read lines as Hadoop does: unpacked for the name's ending, cut at line feeds and carriage returns."""
    texts = [gzip.decompress(data) for key, data in archived.items() if key.endswith(".gz")]
    assert all(text.endswith(b"\n") for text in texts)
    lines = [line for text in texts for line in re.split(rb"\r\n|\r|\n", text[:-1])]
    return [json.loads(line) for line in lines]


def test_a_record_is_a_row(rows):
    assert len(rows) == len(DATAS)


def test_the_columns_are_the_keys_of_the_lines(table, rows):
    columns = {column["Name"] for column in table["StorageDescriptor"]["Columns"]}
    assert set().union(*rows) == columns
    # The SerDe compares names without their case.
    assert columns == {name.lower() for name in columns}


def test_every_value_has_its_columns_type(table, rows):
    types = {column["Name"]: HIVE_TYPES[column["Type"]] for column in table["StorageDescriptor"]["Columns"]}
    assert all(type(value) is types[name] for row in rows for name, value in row.items())


def test_a_row_has_its_data_as_text_or_in_base64(rows):
    assert ["data" in row for row in rows] == [True, True, False, True]
    assert all(("data" in row) != ("data_base64" in row) for row in rows)


def test_json_is_read_by_a_serde_that_athena_has(table):
    storage = table["StorageDescriptor"]
    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"


def test_partitions_are_found_where_the_archiver_writes(table, archived):
    parameters = table["Parameters"]
    place = flat(parameters["storage.location.template"])
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    assert bucket.startswith("<ArchiveBucket")
    [key] = archived
    found = prefix.replace("${dt}", "2026-01-02").replace("${hour}", "03")
    assert key.startswith(found)
    assert found.startswith(contract.PREFIX_EVENTS)
    assert flat(table["StorageDescriptor"]["Location"]) == f"s3://{bucket}/{contract.PREFIX_EVENTS}"
    assert [key["Name"] for key in table["PartitionKeys"]] == ["dt", "hour"]
    assert parameters["projection.enabled"] == "true"
    assert (parameters["projection.hour.range"], parameters["projection.hour.digits"]) == ("0,23", "2")
    assert parameters["projection.dt.range"].endswith(",NOW")


def test_a_stage_has_a_database_of_its_own(dev, prod):
    names = {one.resources("Glue::Database").popitem()[1]["DatabaseInput"]["Name"] for one in (dev, prod)}
    assert names == {"kith_dev", "kith_prod"}
    assert dev.template["Outputs"][contract.OUTPUT_ARCHIVE_TABLE]["Value"] == "kith_dev.events"
