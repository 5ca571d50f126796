"""Queries of user code to databases, through SQLAlchemy: parameters are bound, and nothing is written."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Timer
from typing import Any, Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from kith import WarehouseError

ROWS_MAX: Final = 10_000
TIME_S: Final = 5.0
"""How long a query may take."""
_BAD_VALUES: Final = (ValueError, TypeError, ArithmeticError)
"""What drivers raise for values that they cannot send or read, beside errors of their own."""


class SqlWarehouse:
    """Implements `kith.Warehouse`. A time limit holds where the database or its driver knows one."""

    def __init__(self, url: str, time_s: float = TIME_S) -> None:
        self._time_s = time_s
        try:
            parsed = make_url(url)
            self._engine = create_engine(
                parsed,
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=0,
                pool_pre_ping=True,
                connect_args=_connecting(parsed, time_s),
            )
        except NoSuchModuleError:
            raise WarehouseError("no driver for it is installed here") from None
        except (ArgumentError, ImportError, ValueError, TypeError) as error:
            raise WarehouseError(f"its URL cannot be used: {type(error).__name__}") from None

    def query(self, sql: str, params: Mapping[str, Any] | None = None, /) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query; WarehouseError if it fails, or has too many."""
        _check(sql, params)
        try:
            # Without a commit: whatever a query writes is undone when the connection is given back.
            with self._engine.connect() as connection:
                self._limit(connection)
                watch = Timer(self._time_s, _interrupt, [connection.connection.dbapi_connection])
                watch.daemon = True
                watch.start()
                try:
                    found = _rows(connection, sql, params or {})
                except _BAD_VALUES:
                    connection.invalidate()  # some drivers stop in the midst of what they send
                    raise
                finally:
                    watch.cancel()
        except SQLAlchemyError as error:
            # The text of an error quotes the query with its parameters, and drivers quote values.
            raise WarehouseError(f"the query failed: {_name(error)}") from None
        except OSError as error:
            raise WarehouseError(f"it cannot be reached: {type(error).__name__}") from None
        except _BAD_VALUES as error:
            raise WarehouseError(f"the query failed: {type(error).__name__}") from None
        if len(found) > ROWS_MAX:
            raise WarehouseError(f"a query has at most {ROWS_MAX} rows")
        return found

    def _limit(self, connection: Connection) -> None:
        """Have the database itself refuse to write, and end what takes too long, if it knows how to."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = {round(self._time_s * 1000)}"))


def _connecting(url: URL, time_s: float) -> dict[str, Any]:
    """Return what a driver is told when it connects."""
    if url.drivername == "postgresql+pg8000":
        return {"timeout": time_s}
    if url.get_backend_name() == "duckdb" and url.database and not url.database.startswith((":", "md:")):
        return {"read_only": True}
    return {}


def _check(sql: Any, params: Any) -> None:
    if not isinstance(sql, str) or not (params is None or isinstance(params, Mapping)):
        raise WarehouseError("a query is text, and its parameters a mapping: `{'id': 1}` for `:id`")
    # A second statement could end the transaction that is to be undone. Where a query ends is for each
    # database to say, so none is tried to be found; text that holds a semicolon belongs into a parameter.
    if ";" in sql.rstrip().removesuffix(";"):
        raise WarehouseError("a query is one statement: hand text that holds a `;` over as a parameter")


def _rows(connection: Connection, sql: str, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # Streamed, so that no more rows come than are wanted.
    streaming = connection.execution_options(stream_results=True)
    with streaming.execute(text(sql), dict(params)) as result:
        return [dict(row) for row in result.mappings().fetchmany(ROWS_MAX + 1)]


def _interrupt(driver: Any) -> None:
    """End a query, if the driver knows how to from another thread."""
    interrupt = getattr(driver, "interrupt", None)
    if interrupt is not None:
        with suppress(Exception):
            interrupt()


def _name(error: SQLAlchemyError) -> str:
    """Name what went wrong by its type: of the driver's error, if there is one."""
    return type(getattr(error, "orig", None) or error).__name__
