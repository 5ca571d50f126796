"""What user code gets beside events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Log(Protocol):
    """Writes lines to the builder's log; values of `env` are masked in them."""

    def debug(self, message: object, /, **fields: object) -> None:
        """Write what helps to follow one event."""

    def info(self, message: object, /, **fields: object) -> None:
        """Write what is normal."""

    def warn(self, message: object, /, **fields: object) -> None:
        """Write what should be looked at."""

    def error(self, message: object, /, **fields: object) -> None:
        """Write what went wrong."""


class Metrics(Protocol):
    """Counts."""

    def count(self, name: str, value: int = 1, /) -> None:
        """Add to a counter; names are of up to 64 letters, digits, `_` and `.`."""


class ProfileBuilder(Protocol):
    """Which builder runs."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> int:
        """Its version; 0 where it is not published, as in `kith fold` and in tests."""
        ...


class Store(Protocol):
    """Values by key, kept between runs: those of one version of a builder, which nobody else sees.

    A value is JSON: text, numbers, booleans, lists, dicts, None; up to 64 KB. Numbers come back as `int` or
    `Decimal`. `ttl` is how long it is kept: a number of seconds, a text such as `"7d"` (s, m, h, d, w) or
    `"forever"`; 31 days unless given. What has expired is missing at once.
    """

    def get(self, key: str, /) -> Any:
        """Return a value; None if there is none."""

    def get_with_ttl(self, key: str, /) -> tuple[Any, int] | None:
        """Return a value, and for how many seconds it is still kept, -1 for ever; None if there is none."""

    def set(self, key: str, value: Any, /, ttl: float | str | None = None) -> None:
        """Keep a value, in place of an older one."""

    def delete(self, key: str, /) -> None:
        """Remove a value, if there is one."""

    def ttl(self, key: str, /) -> int:
        """Return for how many seconds a value is still kept; -1 for ever, -2 if there is none."""

    def get_or_set(self, key: str, value: Any | Callable[[], Any], /, ttl: float | str | None = None) -> Any:
        """Return the value that there is; else keep the one given, or what the function given returns.

        Of several at once that find nothing, all return what the first one kept.
        """


class Response(Protocol):
    """The answer to a fetch."""

    @property
    def status(self) -> int:
        """The status, such as 200."""
        ...

    @property
    def ok(self) -> bool:
        """Whether the status is one of success, 200 to 299."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; their names are in lower case."""
        ...

    @property
    def body(self) -> bytes:
        """The answer."""
        ...

    @property
    def text(self) -> str:
        """The answer as text."""
        ...

    def json(self) -> Any:
        """Return the answer, decoded from JSON; numbers are `int` or `Decimal`. ValueError if it is none."""


class Fetch(Protocol):
    """Fetches by HTTP, as far as `fetch` in builder.yaml allows."""

    def __call__(
        self,
        url: str,
        /,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        json: Any = None,
        timeout: float | None = None,
    ) -> Response:
        """Fetch, within `timeout` seconds if that is less than the builder allows; FetchError if it fails.

        `json` is sent as JSON, in place of a `body`. A status of failure is no error.
        """
        ...


class Warehouse(Protocol):
    """A database that is only read."""

    def query(self, sql: str, params: Mapping[str, Any] | None = None, /) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query as dicts; WarehouseError if it fails, or has over 10,000 rows.

        `:name` in the query stands for a parameter. Parameters are handed over as values, apart from the
        query, whatever they hold: never write them into it.
        """
        ...


class Context(Protocol):
    """What a function may use beside events."""

    @property
    def log(self) -> Log:
        """The builder's log."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The builder's counters."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """The variables under `env` in builder.yaml."""
        ...

    @property
    def props(self) -> Mapping[str, Any]:
        """What the file defines as `config`."""
        ...

    @property
    def profile_builder(self) -> ProfileBuilder:
        """Which builder runs."""
        ...

    @property
    def store(self) -> Store:
        """Values that are kept between runs."""
        ...

    @property
    def fetch(self) -> Fetch:
        """Fetches from the network."""
        ...

    def get_warehouse(self, name: str, /) -> Warehouse:
        """Return one of the `warehouses` in builder.yaml; WarehouseError if there is none of that name."""
        ...
