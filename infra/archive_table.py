"""The table under which Athena reads the archive as it is: no crawler, no partition that must be added."""

from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.settings import Settings
from shared import contract

TABLE: Final = "events"
SERDE: Final = "org.openx.data.jsonserde.JsonSerDe"
"""Reads a line of JSON as a row, its keys as columns; what a line does not have is NULL."""
COLUMNS: Final = {
    "shard": ("string", "Shard of the stream, or backfill-... for what came from a file"),
    "sequence": ("string", "Sequence number in the shard; with it, the record's own name"),
    "arrival": ("bigint", "When the stream took the record: milliseconds since 1970, UTC"),
    "partition_key": ("string", "Partition key it was put with"),
    "data": ("string", "What was put, if it is text"),
    "data_base64": ("string", "What was put, in base64, if it is no text"),
}
PARTITIONS: Final = {
    "dt": ("string", "Day of arrival, UTC: 2026-01-31"),
    "hour": ("string", "Hour of arrival, UTC: 00 to 23"),
}
FIRST_DAY: Final = "2010-01-01"
"""Before it, only backfilled events may have arrived; Athena would look for each day since."""


class ArchiveTable(Construct):
    """The stage's database, and in it the table of archived records; partitions follow from their names."""

    def __init__(self, scope: Construct, settings: Settings, bucket: s3.Bucket) -> None:
        super().__init__(scope, "Table")
        stack = Stack.of(self)
        database = f"kith_{settings.stage.replace('-', '_')}"
        self.name = f"{database}.{TABLE}"
        place = f"s3://{bucket.bucket_name}/{contract.PREFIX_EVENTS}"
        created = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=stack.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=database, description="What Kith has archived"
            ),
        )
        table = glue.CfnTable(
            self,
            "Resource",
            catalog_id=stack.account,
            database_name=database,
            table_input=glue.CfnTable.TableInputProperty(
                name=TABLE,
                description="Every record of the stream, unchanged; some stand in it twice",
                table_type="EXTERNAL_TABLE",
                parameters=_projection(place),
                partition_keys=_columns(PARTITIONS),
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=_columns(COLUMNS),
                    location=place,
                    compressed=True,
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=SERDE),
                ),
            ),
        )
        table.add_dependency(created)


def _columns(columns: dict[str, tuple[str, str]]) -> list[glue.CfnTable.ColumnProperty]:
    return [
        glue.CfnTable.ColumnProperty(name=name, type=kind, comment=comment)
        for name, (kind, comment) in columns.items()
    ]


def _projection(place: str) -> dict[str, str]:
    """Say how partitions are named, so that Athena needs no list of them."""
    return {
        "EXTERNAL": "TRUE",
        "classification": "json",
        "compressionType": "gzip",
        "projection.enabled": "true",
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.range": f"{FIRST_DAY},NOW",
        "projection.dt.interval": "1",
        "projection.dt.interval.unit": "DAYS",
        "projection.hour.type": "integer",
        "projection.hour.range": "0,23",
        "projection.hour.digits": "2",
        "storage.location.template": f"{place}dt=${{dt}}/hour=${{hour}}/",
    }
