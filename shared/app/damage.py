"""What is stored and cannot be read: whoever meets it leaves it out, and goes on with the rest."""

from collections.abc import Callable, Collection
from typing import Final, TypeVar

from shared.core.identity.identifiers import Identifier

Place = Identifier | str
"""Where an item is: an identifier, the id of a profile, or the name of a delta."""

_P = TypeVar("_P", bound=Place)
_T = TypeVar("_T")


class DamagedError(Exception):
    """What is stored there cannot be read: it is damaged, or was written by a release that this one is not.

    `places` says what of what was asked for.
    """

    def __init__(self, places: Collection[Place]) -> None:
        super().__init__(f"what is stored cannot be read: {', '.join(told(places))}")
        self.places: Final = frozenset(places)


def told(places: Collection[Place]) -> list[str]:
    """Name places without any personal value: an identifier by its type."""
    return sorted({place.type if isinstance(place, Identifier) else place for place in places})


def readable(
    read: Callable[[Collection[_P]], dict[_P, _T]], wanted: Collection[_P]
) -> tuple[dict[_P, _T], set[Place]]:
    """Return what can be read of what is wanted, and where the rest is."""
    damaged: set[Place] = set()
    while True:
        try:
            return read(wanted), damaged
        except DamagedError as error:
            damaged |= error.places
            wanted = [one for one in wanted if one not in damaged]
