"""`kith verify`: compare two versions of a builder, and explain what differs."""

import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from cli.errors import Failure
from cli.options import AsJson, Stage
from shared import contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.target import Target
    from shared.adapters.dynamo.store import DynamoStore
    from shared.app.backfill import Manifest
    from shared.app.compare import Comparison, Scanned
    from shared.app.differences import Known
    from shared.app.frozen import Frozen
    from shared.app.read import Reader
    from shared.app.registry import Version
    from shared.core.compile import Builder
    from shared.core.identity.identifiers import Identifier

BEHIND_MS: Final = 120_000
"""How far a version that consumes the stream may be behind it."""
MARGIN_MS: Final = 60_000
"""How long before a version was replaced it may already have been behind."""
QUARANTINED_MAX: Final = 10_000
"""Entries of a quarantine that are looked at."""
PLACES_SHOWN: Final = 20
TEXT_MAX: Final = 60


class Side(NamedTuple):
    """One of the two versions, and the way to its profiles."""

    version: "Version"
    frozen: "Frozen"
    builder: "Builder"
    store: "DynamoStore"
    reader: "Reader"

    @property
    def prefix(self) -> str:
        """Return how the keys of its profiles begin."""
        from shared.adapters.dynamo.scan import version_prefix

        return version_prefix(self.version.builder, self.version.version)

    def canonical(self, profile_id: str) -> bytes | None:
        """Read the canonical form of a profile; None if there is none of this very id that can be read."""
        from shared.app.damage import DamagedError
        from shared.core.profile import canonical

        try:
            found = self.reader.by_id(profile_id)
        except DamagedError:
            return None
        return canonical(self.builder, found) if found is not None and found.id == profile_id else None


def verify(
    builder: Annotated[str, typer.Argument(metavar="BUILDER", help="Name of the builder.")],
    versions: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="A B",
            help="The versions to compare. Default: the active one, and the newest that it replaced and that "
            "still has profiles.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Profiles that are shown, at most; unexplained ones first."),
    ] = 10,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Compare two versions, profile by profile, and explain each difference by value and cause.

    Exit code 0 if all profiles are equal in canonical form, 1 if any differ.
    """
    from tempfile import TemporaryDirectory

    from cli.publishing import now_ms
    from cli.target import resolve
    from shared.app.compare import compare

    target = resolve(stage)
    now = now_ms()
    chosen = _chosen(target, builder, versions)
    for one in chosen:
        _ensure_profiles(one)
    left, right = (_side(target, one, now) for one in chosen)
    with TemporaryDirectory(prefix="kith-verify-") as spools, _telling() as tell:
        comparison = compare(
            _scanned(target, left, right),
            lambda profile_id: (left.canonical(profile_id), right.canonical(profile_id)),
            lambda: _known(target, left, right, now),
            Path(spools),
            limit,
            tell,
        )
    for side, count in zip((left, right), comparison.profiles, strict=True):
        if not count and any(comparison.profiles) and side.version.finished_at:
            raise Failure(f"version {side.version.version} of {builder} has no profiles: it was cleaned up")
    if as_json:
        typer.echo(_json(left, right, comparison))
    else:
        _print(left, right, comparison)
    if comparison.different:
        raise typer.Exit(1)


def _chosen(target: "Target", builder: str, numbers: tuple[int, int] | None) -> "tuple[Version, Version]":
    """Return the rows of the versions to compare, the older one left unless named otherwise."""
    from cli.publishing import registry_of
    from shared.app.registry import Status

    found = {one.version: one for one in registry_of(target).versions(builder)}
    if numbers is not None:
        for number in numbers:
            if number not in found:
                known = ", ".join(map(str, found)) or "none"
                raise Failure(f"builder {builder} has no version {number}; it has {known}")
        return found[numbers[0]], found[numbers[1]]
    active = [one for one in found.values() if one.status is Status.ACTIVE]
    others = [one for one in found.values() if one.status is Status.RETIRED and not one.cleaned_at]
    if not active or not others:
        building = [one.version for one in found.values() if one.status is Status.BUILDING]
        advice = f"version {building[0]} is being built" if building else "publish another one first"
        raise Failure(f"builder {builder} has not two versions with profiles: {advice}")
    one, other = sorted((active[-1], others[-1]), key=lambda version: version.version)
    return one, other


def _ensure_profiles(version: "Version") -> None:
    """Failure if the registry says that a version has no profiles, not yet or no more."""
    name = f"version {version.version} of {version.builder}"
    if version.cleaned_at:
        raise Failure(f"{name} has no profiles: it was cleaned up")
    if not (version.finished_at or version.has_items):
        raise Failure(f"{name} has no profiles yet: `kith builds {version.builder}` shows how far it is")


def _side(target: "Target", version: "Version", now: int) -> Side:
    from cli.publishing import publisher_of, refusals
    from shared.adapters.clock import SystemClock
    from shared.adapters.dynamo.store import DynamoStore
    from shared.app.read import Reader
    from shared.core.compile import Builder

    with refusals():
        frozen = publisher_of(target).frozen(version)
    builder = Builder(frozen.definition)
    store = DynamoStore(
        target.client("dynamodb"),
        builder,
        version.version,
        target.output(contract.OUTPUT_PROFILES_TABLE),
        target.output(contract.OUTPUT_IDENTIFIERS_TABLE),
        SystemClock(),
        cache=False,
    )
    return Side(version, frozen, builder, store, Reader(builder, store, lambda: now))


def _scanned(target: "Target", left: Side, right: Side) -> "Iterator[Scanned]":
    """Read all live profiles of both versions, by one scan of the table."""
    from shared.adapters.dynamo.scan import profile_items
    from shared.app.compare import Scanned
    from shared.app.damage import DamagedError
    from shared.core.profile import Profile, canonical

    items = profile_items(
        target.client("dynamodb"),
        target.output(contract.OUTPUT_PROFILES_TABLE),
        [left.prefix, right.prefix],
    )
    for item in items:
        number = 0 if item[contract.PROFILES_PK]["S"].startswith(left.prefix) else 1
        side = (left, right)[number]
        try:
            stored = side.store.stored(item)
            profile = side.reader.whole(stored) if isinstance(stored, Profile) else None
        except DamagedError as error:
            typer.echo(f"kith: version {side.version.version}: {error}", err=True)
            continue
        if profile is not None and isinstance(stored, Profile) and profile.id == stored.id:
            yield Scanned(number, profile.id, canonical(side.builder, profile))


def _known(target: "Target", left: Side, right: Side, now: int) -> "Known":
    from cli.losses import begin_of_archive
    from shared.app.differences import Known, changes_between
    from shared.app.unseen import unseen_by

    waiting = _quarantined(target, left), _quarantined(target, right)
    added = list(_added(target))
    unseen = unseen_by(left.version, added), unseen_by(right.version, added)
    return Known(
        changes=changes_between(left.frozen, right.frozen),
        followed=(_followed(target, left.version, now), _followed(target, right.version, now)),
        quarantined=waiting[0] ^ waiting[1],
        archive_begins=begin_of_archive(target, now),
        unseen=(unseen[0] - unseen[1], unseen[1] - unseen[0]),
    )


def _added(target: "Target") -> "Iterator[Manifest]":
    """Yield the manifests of all files that were added to the archive, as far as they can be read."""
    import msgspec

    from shared.app.backfill import Manifest

    objects = target.bucket()
    for listed in objects.list(contract.PREFIX_BACKFILL):
        found = objects.get(listed.key)
        with suppress(msgspec.MsgspecError):  # somebody has changed it: what it added is not known
            if found is not None:
                yield msgspec.json.decode(found[0], type=Manifest)


def _followed(target: "Target", version: "Version", now: int) -> int:
    """Return until when a version has surely folded what arrived, ms UTC."""
    from cli.publishing import registry_of
    from shared.app.registry import Status

    match version.status:
        case Status.ACTIVE:
            return now - BEHIND_MS
        case Status.BUILDING:
            return version.t0 or version.created_at
        case _:
            later = [
                one.finished_at
                for one in registry_of(target).versions(version.builder)
                if one.version > version.version and one.status in (Status.ACTIVE, Status.RETIRED)
            ]
            return min(later, default=version.finished_at or now) - MARGIN_MS


def _quarantined(target: "Target", side: Side) -> "frozenset[Identifier]":
    """Return the identifiers of events that wait in the quarantine of a version, as far as they are read."""
    from collections import Counter
    from itertools import islice

    from shared.adapters.quarantine import S3Quarantine
    from shared.app.reading import Reader
    from shared.core.records import kinesis_records

    objects = target.bucket()
    # What is no entry hides nobody's events: they were never there.
    entries = S3Quarantine(objects).list(side.version.builder, damaged=lambda _: None)
    mine = (one.entry for one in entries if one.entry.version == side.version.version)
    reader = Reader(side.builder)  # as they are: their transformation may be what failed
    found: set[Identifier] = set()
    deliveries = (kinesis_records(entry.envelope) for entry in islice(mine, QUARANTINED_MAX))
    for read in reader.read(deliveries, Counter()):
        for one in read.contributions:
            found.update(one.identifiers)
    return frozenset(found)


@contextmanager
def _telling() -> "Iterator[Callable[[int], None]]":
    """Show on a terminal how many profiles were read."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading profiles") as status:
        yield lambda count: status.update(f"reading profiles: {count:,}")


def _print(left: Side, right: Side, comparison: "Comparison") -> None:
    from cli.tables import counted, harmless

    names = tuple(f"version {side.version.version}" for side in (left, right))
    counts = " and ".join(
        f"{name} ({side.version.status}): {counted(count, 'profile')}"
        for name, side, count in zip(names, (left, right), comparison.profiles, strict=True)
    )
    typer.echo(f"{left.version.builder}: {counts}")
    settled = f", {comparison.settled} of them after a second look" if comparison.settled else ""
    typer.echo(f"{counted(comparison.equal, 'profile')} equal{settled}")
    if not comparison.different:
        return
    for name, side in zip(names, (left, right), strict=True):
        if not side.version.finished_at:
            typer.echo(f"{name} is still being built: what it lacks may be to come")
    typer.echo(f"{counted(comparison.different, 'profile')} different:")
    # First what somebody has to look at, then by number.
    for cause, count in sorted(comparison.causes.items(), key=lambda one: (one[0] != "unexplained", -one[1])):
        typer.echo(f"  {cause}: {counted(count, 'profile')}")
        places = [(one[0], found) for one, found in comparison.places.most_common() if one[1] == cause]
        for place, found in places[:PLACES_SHOWN]:
            typer.echo(f"    {harmless(place)}: {found}")
    for one in comparison.some:
        _print_profile(one.profile_id, one.found, names)
    more = comparison.different - len(comparison.some)
    if more:
        typer.echo(f"\n... and {more} more; --limit shows more of them")


def _print_profile(profile_id: str, found: "list[Any]", names: tuple[str, ...]) -> None:
    from rich.text import Text

    from cli.tables import Column, is_terminal, print_table, value_text

    typer.echo(f"\nprofile {profile_id}")
    cut = TEXT_MAX if is_terminal() else None
    rows: list[list[str | Text]] = [
        [
            one.place,
            Text(one.cause.value, "red" if one.cause == "unexplained" else ""),
            value_text(one.left, cut),
            value_text(one.right, cut),
        ]
        for one in found
    ]
    print_table([Column(""), Column("cause"), *map(Column, names)], rows, indent=2)


def _json(left: Side, right: Side, comparison: "Comparison") -> str:
    from shared.core.canonical import canonical_json

    places: dict[str, dict[str, int]] = {}
    for (place, cause), count in comparison.places.items():
        places.setdefault(place, {})[cause] = count
    facts = {
        "builder": left.version.builder,
        "versions": [left.version.version, right.version.version],
        "profiles": comparison.profiles,
        "equal": comparison.equal,
        "settled": comparison.settled,
        "different": comparison.different,
        "causes": dict(comparison.causes),
        "places": places,
        "differences": [
            {
                "profile_id": one.profile_id,
                "found": [
                    {
                        "place": each.place,
                        "cause": each.cause.value,
                        "values": [each.left, each.right],
                    }
                    for each in one.found
                ],
            }
            for one in comparison.some
        ],
    }
    return canonical_json(facts).decode()
