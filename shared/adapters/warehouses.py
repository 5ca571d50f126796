"""Queries of user code to databases, through SQLAlchemy: parameters are bound, and nothing is written."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Timer
from typing import Any, Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from kith import WarehouseError

ROWS_MAX: Final = 10_000
TIME_S: Final = 5.0
"""How long a query may take, connecting included."""

_CONNECT: Final[Mapping[str, Mapping[str, Any]]] = {"postgresql+pg8000": {"timeout": TIME_S}}
"""By dialect and driver: what it is told when it connects."""
_BEGIN: Final[Mapping[str, str]] = {
    "postgresql": f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {round(TIME_S * 1000)}"
}
"""By dialect: statements before each query, in its transaction."""


class SqlWarehouse:
    """Implements `kith.Warehouse`. A time limit holds where the database or its driver knows one."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
            connect = _CONNECT.get(f"{self._engine.dialect.name}+{self._engine.dialect.driver}")
            if connect:
                self._engine = create_engine(
                    url, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=dict(connect)
                )
        except NoSuchModuleError:
            raise WarehouseError("no driver for it is installed here") from None
        except (ArgumentError, ImportError, ValueError) as error:
            raise WarehouseError(f"its URL cannot be used: {type(error).__name__}") from None

    def query(self, sql: str, params: Mapping[str, Any] | None = None, /) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query; WarehouseError if it fails, or has too many."""
        if params is not None and not isinstance(params, Mapping):
            raise WarehouseError("parameters are a mapping: `query('... where id = :id', {'id': 1})`")
        try:
            # Without a commit: whatever a query writes is undone when the connection is given back.
            with self._engine.connect() as connection:
                _begin(connection)
                watch = Timer(TIME_S, _interrupt, [connection])
                watch.daemon = True
                watch.start()
                try:
                    rows = connection.execution_options(stream_results=True).execute(
                        text(sql), dict(params or {})
                    )
                    found = rows.mappings().fetchmany(ROWS_MAX + 1)
                finally:
                    watch.cancel()
        except SQLAlchemyError as error:
            # The text of an error quotes the query with its parameters, and drivers quote values.
            raise WarehouseError(f"the query failed: {_name(error)}") from None
        except OSError as error:
            raise WarehouseError(f"it cannot be reached: {type(error).__name__}") from None
        if len(found) > ROWS_MAX:
            raise WarehouseError(f"a query has at most {ROWS_MAX} rows")
        return [dict(row) for row in found]


def _begin(connection: Connection) -> None:
    for statement in _BEGIN.get(connection.dialect.name, "").split(";"):
        if statement:
            connection.execute(text(statement))


def _interrupt(connection: Connection) -> None:
    """End a query, if the driver knows how to from another thread."""
    interrupt = getattr(connection.connection.dbapi_connection, "interrupt", None)
    if interrupt is not None:
        with suppress(Exception):
            interrupt()


def _name(error: SQLAlchemyError) -> str:
    """Name what went wrong by its type: of the driver's error, if there is one."""
    return type(getattr(error, "orig", None) or error).__name__
