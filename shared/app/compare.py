"""Two versions of a builder, profile by profile: whatever differs, and why.

    profiles of both (in any order) -> spools by a range of their ids -> range by range: compare, explain

What is in memory are the profiles of one range; the spools are on disk. Profiles are read while events come
in: what differs and may be in motion is read again, both sides one after the other, before it counts.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

import msgspec

from shared.app.differences import Cause, Difference, Known, differences, in_motion
from shared.app.shown import shown_of
from shared.core.unpacking import unpack_zlib

RANGES: Final = 256
TOLD_EVERY: Final = 1000
FORM_BYTES_MAX: Final = 2**26
"""Far more than any canonical form has."""
LEFT: Final = 0
RIGHT: Final = 1

_HEADER: Final = Struct("<BHI")
_LEVEL: Final = 1
"""Of compression: the spools are read once."""


class Scanned(NamedTuple):
    """A profile as it was read: of which side (`LEFT`, `RIGHT`), its id, and its canonical form."""

    side: int
    profile_id: str
    canonical: bytes


class Different(NamedTuple):
    """A profile that differs, and in what."""

    profile_id: str
    found: list[Difference]


class Comparison(msgspec.Struct):
    """What came of it: how many profiles each side has, how many are equal, how many differ.

    `settled` are among the equal ones: they were in motion. `causes` counts, per cause, the profiles that
    differ for it, `places` the same per value; `some` are the first profiles that differ, those before the
    others of which nothing explains a value.
    """

    profiles: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    equal: int = 0
    settled: int = 0
    different: int = 0
    causes: Counter[str] = msgspec.field(default_factory=Counter)
    places: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    some: list[Different] = []


Again = Callable[[str], tuple[bytes | None, bytes | None]]
"""Reads a profile once more: the canonical form of each side, None where it has none."""


def compare(
    scanned: Iterable[Scanned],
    again: Again,
    known: Callable[[], Known],
    spools: Path,
    some_max: int,
    tell: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compare all profiles of two versions.

    `known` is asked once, if anything differs. `spools` is an empty folder. `tell` is called now and then
    with the number of profiles that were read.
    """
    comparison = Comparison()
    _spool(scanned, spools, comparison, tell)
    explained: list[Known] = []
    for number in range(RANGES):
        for profile_id, forms in _range(spools / str(number)).items():
            if forms[LEFT] == forms[RIGHT]:
                comparison.equal += 1
                continue
            if not explained:
                explained.append(known())
            _explain(profile_id, forms, again, explained[0], comparison, some_max)
    return comparison


def _spool(
    scanned: Iterable[Scanned], spools: Path, comparison: Comparison, tell: Callable[[int], None]
) -> None:
    with ExitStack() as stack:
        files: list[BinaryIO] = [
            stack.enter_context((spools / str(number)).open("wb")) for number in range(RANGES)
        ]
        for number, one in enumerate(scanned, 1):
            comparison.profiles[one.side] += 1
            name, data = one.profile_id.encode(), zlib.compress(one.canonical, _LEVEL)
            file = files[blake2b(name, digest_size=1).digest()[0]]
            file.write(_HEADER.pack(one.side, len(name), len(data)) + name + data)
            if number % TOLD_EVERY == 0:
                tell(number)


def _range(spool: Path) -> dict[str, list[bytes | None]]:
    """Read one spool: the canonical forms of its profiles, left and right, by id; then delete it.

    Nothing is unpacked that is the same on both sides.
    """
    forms: dict[str, list[bytes | None]] = {}
    for side, profile_id, data in _frames(spool):
        forms.setdefault(profile_id, [None, None])[side] = data
    spool.unlink()
    return forms


def _frames(spool: Path) -> Iterator[tuple[int, str, bytes]]:
    with spool.open("rb") as file:
        while header := file.read(_HEADER.size):
            side, name_size, data_size = _HEADER.unpack(header)
            yield side, file.read(name_size).decode(), file.read(data_size)


def _explain(
    profile_id: str,
    forms: Sequence[bytes | None],
    again: Again,
    known: Known,
    comparison: Comparison,
    some_max: int,
) -> None:
    left, right = (None if one is None else shown_of(unpack_zlib(one, FORM_BYTES_MAX)) for one in forms)
    if in_motion(left, right):
        fresh = again(profile_id)
        if fresh[LEFT] == fresh[RIGHT]:  # both may be gone by now: merged, or expired
            comparison.equal += 1
            comparison.settled += 1
            return
        left, right = (None if one is None else shown_of(one) for one in fresh)
    found = differences(left, right, known)
    comparison.different += 1
    comparison.causes.update({one.cause.value for one in found})
    comparison.places.update({(one.place, one.cause.value) for one in found})
    _keep(Different(profile_id, found), comparison, some_max)


def _keep(one: Different, comparison: Comparison, some_max: int) -> None:
    """Show it if there is room: what nothing explains before the rest, each in the order of being found."""
    some = comparison.some
    if any(each.cause is Cause.UNEXPLAINED for each in one.found):
        some.insert(comparison.causes[Cause.UNEXPLAINED] - 1, one)
        del some[some_max:]
    elif len(some) < some_max:
        some.append(one)
