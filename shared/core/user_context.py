"""What user code gets beside events: `kith.Context`, with values of `env` masked in all it writes."""

import io
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from kith import Fetch, FetchError, Warehouse, WarehouseError
from shared.core.masking import Mask
from shared.core.user_store import Ask, Told, UserStore

LINE_LENGTH_MAX: Final = 2000
_COUNTER: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")

Sink = Callable[[str, str], None]
"""Takes a line of the log: its level and its text."""


class ProfileBuilder(NamedTuple):
    """Which builder runs; version 0 is none that was published."""

    id: str
    version: int


class UserLog:
    """Writes masked lines, fields after the message as `name=value`."""

    def __init__(self, sink: Sink, mask: Mask) -> None:
        self._sink = sink
        self._mask = mask

    def debug(self, message: object, /, **fields: object) -> None:
        """Write what helps to follow one event."""
        self._write("debug", message, fields)

    def info(self, message: object, /, **fields: object) -> None:
        """Write what is normal."""
        self._write("info", message, fields)

    def warn(self, message: object, /, **fields: object) -> None:
        """Write what should be looked at."""
        self._write("warn", message, fields)

    def error(self, message: object, /, **fields: object) -> None:
        """Write what went wrong."""
        self._write("error", message, fields)

    def _write(self, level: str, message: object, fields: Mapping[str, object]) -> None:
        text = " ".join([str(message), *(f"{name}={value}" for name, value in fields.items())])
        # Half a surrogate pair is no text, and could not leave the process.
        self._sink(level, self._mask(text)[:LINE_LENGTH_MAX].encode(errors="replace").decode())


class Printed(io.TextIOBase):
    """Takes what user code prints, line by line."""

    def __init__(self, log: UserLog) -> None:
        super().__init__()
        self._log = log
        self._held = ""

    def write(self, text: str) -> int:
        """Log each line that is whole."""
        *lines, self._held = (self._held + text).split("\n")
        for line in lines:
            self._log.info(line)
        if len(self._held) > LINE_LENGTH_MAX:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Log the line that has not ended."""
        if self._held:
            self._log.info(self._held)
        self._held = ""


class UserMetrics:
    """Counts by name."""

    def __init__(self, counts: dict[str, int], mask: Mask) -> None:
        self._counts = counts
        self._mask = mask

    def count(self, name: str, value: int = 1, /) -> None:
        """Add to a counter; ValueError for what is no name of one, or no whole number."""
        if not _COUNTER.fullmatch(name) or type(value) is not int:
            raise ValueError(
                "a counter's name is of up to 64 letters, digits, _ and . and counts in whole numbers"
            )
        if self._mask(name) != name:
            raise ValueError("a counter's name must not hold a value of `env`: names are shown")
        self._counts[name] = self._counts.get(name, 0) + value


class Tools(NamedTuple):
    """What reaches out of the process for user code, and what is masked beside values of `env`."""

    ask: Callable[[Ask], Told]
    fetch: Fetch
    warehouse: Callable[[str], Warehouse]
    secrets: tuple[str, ...] = ()


class UserContext:
    """The context of one builder."""

    def __init__(
        self,
        builder: str,
        version: int,
        env: Mapping[str, str],
        sink: Sink,
        counts: dict[str, int],
        tools: Tools | None = None,
    ) -> None:
        tools = tools or NO_TOOLS
        self.profile_builder: Any = ProfileBuilder(builder, version)
        self.env: Mapping[str, str] = MappingProxyType(env)
        self.props: Mapping[str, Any] = MappingProxyType({})
        self.mask = Mask([*env.values(), *tools.secrets])
        self.log = UserLog(sink, self.mask)
        self.metrics = UserMetrics(counts, self.mask)
        self.store = UserStore(tools.ask)
        self.fetch = tools.fetch
        self._warehouse = tools.warehouse

    def get_warehouse(self, name: str, /) -> Warehouse:
        """Return one of the builder's warehouses; WarehouseError if there is none of that name."""
        return self._warehouse(name)

    def take_config(self, names: Mapping[str, Any]) -> None:
        """Show what a file defines as `config` as the props of its functions."""
        config = names.get("config")
        if isinstance(config, dict):
            self.props = MappingProxyType(config)


def no_fetch(*_: Any, **__: Any) -> Any:
    """Fetch nothing."""
    raise FetchError("nothing may be fetched here")


def no_warehouse(name: str) -> Any:
    """Know no warehouse."""
    raise WarehouseError(f"builder.yaml has no warehouse {name!r}")


def _no_store(_: Ask) -> Told:
    return Told(error="there is no store here")


NO_TOOLS: Final = Tools(_no_store, no_fetch, no_warehouse)
