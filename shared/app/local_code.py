"""User code in this process, for commands and tests: what it may reach, and where what it prints goes."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Generic, NamedTuple, TextIO, TypeVar

from kith import Fetch, Warehouse
from shared.app.secrets import hidden_of
from shared.app.user_store import MemoryUserValues, StoreDesk, UserValues
from shared.core.definition import Definition, Secret
from shared.core.fetch_rules import FetchRules, fetch_rules
from shared.core.user_code import UserCodeError
from shared.core.user_context import Printed, Sink, Tools, UserContext, no_fetch, no_warehouse

_Code = TypeVar("_Code")

Network = Callable[[FetchRules | None, Mapping[str, str]], tuple[Fetch, Callable[[str], Warehouse]]]
"""Makes what fetches by rules, and what finds a warehouse among URLs."""


def no_network(
    _rules: FetchRules | None, _urls: Mapping[str, str]
) -> tuple[Fetch, Callable[[str], Warehouse]]:
    """Reach nothing."""
    return no_fetch, no_warehouse


class Reach(NamedTuple):
    """What user code in this process may reach.

    A secret is what `environ` says by the name of its variable, or by `WAREHOUSE_` and the name of its
    warehouse in capitals: whoever runs a command has no need of the secrets of a cloud.
    """

    environ: Mapping[str, str]
    values: UserValues
    network: Network = no_network
    now: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def context(self, definition: Definition, sink: Sink, counts: dict[str, int]) -> UserContext:
        """Make the context of a builder that is not published."""
        env = _Variables()
        for name, value in definition.env:
            if isinstance(value, str):
                env[name] = value
            elif name in self.environ:
                env[name] = self.environ[name]
            else:
                sink("warn", f"{name} is a secret: to have it here, set it in the environment")
        urls = self._urls(definition)
        fetch, warehouse = self.network(fetch_rules(definition.fetch), urls)
        desk = StoreDesk(self.values, definition.name, 0, self.now)
        tools = Tools(desk, fetch, warehouse, hidden_of(urls.values()))
        return UserContext(definition.name, 0, env, sink, counts, tools)

    def hidden(self, definition: Definition) -> tuple[str, ...]:
        """Return what must be seen nowhere: secrets, and URLs of warehouses."""
        secrets = (name for name, value in definition.env if not isinstance(value, str))
        given = (self.environ[name] for name in secrets if name in self.environ)
        return (*given, *hidden_of(self._urls(definition).values()))

    def _urls(self, definition: Definition) -> dict[str, str]:
        given = ((name, self._url(name, url)) for name, url in definition.warehouses)
        return {name: url for name, url in given if url is not None}

    def _url(self, name: str, url: str | Secret) -> str | None:
        return url if isinstance(url, str) else self.environ.get(f"WAREHOUSE_{name.upper()}")


def nothing() -> Reach:
    """Return what reaches nothing but a store of its own."""
    return Reach({}, MemoryUserValues())


class _Variables(dict[str, str]):
    """Variables, which say of one that is missing where it comes from."""

    def __missing__(self, name: str) -> str:
        raise KeyError(f"{name}: if builder.yaml says that it is a secret, set it in the environment")


class Prints:
    """Takes what user code prints for its log: stdout may be the profiles, and in logs values are masked."""

    def __init__(self, log: Sink) -> None:
        self._log = log
        self._streams: tuple[TextIO, TextIO] = sys.stdout, sys.stderr

    @contextmanager
    def taken(self, context: UserContext) -> Iterator[None]:
        """Log what is printed."""
        self._streams = sys.stdout, sys.stderr
        printed = Printed(context.log)
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                yield
            finally:
                printed.flush()

    def say(self, level: str, text: str) -> None:
        """Log a line where whoever logs may write, as before: not into what takes the prints."""
        out, err = self._streams
        with redirect_stdout(out), redirect_stderr(err):
            self._log(level, text)


class LocalCode(Generic[_Code]):
    """Code of a builder's folder that was made for this process, as `make` does of its source and context.

    `log` takes each line that it logs: its level and its text; `counts` what it counts. UserCodeError if it
    cannot be run.
    """

    def __init__(
        self,
        make: Callable[[str, UserContext], _Code],
        source: str,
        definition: Definition,
        log: Sink,
        counts: dict[str, int],
        reach: Reach | None,
    ) -> None:
        self._prints = Prints(log)
        self._context = (reach or nothing()).context(definition, self._prints.say, counts)
        with self._prints.taken(self._context):
            try:
                self._code = make(source, self._context)
            except UserCodeError as error:
                raise UserCodeError(self.mask(str(error)), error.line) from None

    @contextmanager
    def running(self) -> Iterator[_Code]:
        """Give the code, and log what is printed meanwhile."""
        with self._prints.taken(self._context):
            yield self._code

    def mask(self, text: str) -> str:
        """Return a text about the code without what must be seen nowhere."""
        return self._context.mask(text)
