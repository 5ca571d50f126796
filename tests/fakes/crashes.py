"""Ports that die: a budget of calls, then every call crashes, before or after it has done its work."""

from dataclasses import dataclass
from typing import Any


class Crash(BaseException):
    """The process is gone; nothing catches this."""


def crash(*_: Any) -> None:
    """Stand for a call in which the process dies."""
    raise Crash


@dataclass
class Life:
    """How many calls are left; `after` says whether the last one still does its work."""

    calls: int
    after: bool = False

    def spend(self) -> bool:
        """Take one call; True if it is the one to die in."""
        self.calls -= 1
        if self.calls < 0:
            raise Crash
        return self.calls == 0


class Mortal:
    """A port whose calls all cost of one life."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            dies = self._life.spend()
            if dies and not self._life.after:
                raise Crash
            result = method(*args, **kwargs)
            if dies:
                raise Crash
            return result

        return call
