"""What a builder says of fetching from the network."""

from collections.abc import Iterable
from typing import Final

import msgspec

TIMEOUT_S: Final = 2.0
BYTES_MAX: Final = 2**20


class FetchRules(msgspec.Struct, frozen=True):
    """What may be fetched: from `allow`, hosts and `*.` before a domain; if it is empty, from anywhere."""

    allow: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S
    bytes_max: int = BYTES_MAX
    redirects: bool = False
    private: bool = False

    def allows(self, host: str) -> bool:
        """Say whether a host, in lower case, is one that may be fetched from."""
        return not self.allow or any(
            host.endswith(one[1:]) if one.startswith("*.") else host == one for one in self.allow
        )


def fetch_rules(options: Iterable[tuple[str, str]], *, in_rebuild: bool = False) -> FetchRules | None:
    """Read the options of a definition; None if its code may not fetch at all, or not `in_rebuild`."""
    options = list(options)
    given = dict(options)
    if given.get("enabled") == "false" or (in_rebuild and given.get("in_rebuild") != "true"):
        return None
    return FetchRules(
        allow=tuple(value for name, value in options if name == "allow"),
        timeout_s=float(given["timeout"].split()[0]) if "timeout" in given else TIMEOUT_S,
        bytes_max=int(given.get("max_bytes", BYTES_MAX)),
        redirects=given.get("redirects") == "true",
        private=given.get("private") == "true",
    )
