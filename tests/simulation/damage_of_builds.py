"""Worlds in which the archive, and what states of a rebuild leave for each other, get damaged.

A build that comes to that fails, and its version says which object it was. The active version serves on; and
once all is mended, a build anew gives everybody who they were.
"""

import gzip
from random import Random

from shared import contract
from shared.app.rebuild.build import BuildName
from shared.app.registry import Status
from shared.core.archive import OBJECT_SUFFIX, archive_object
from tests.simulation.checks import check_alike
from tests.simulation.damage import DamagedItems
from tests.simulation.machine import NAME
from tests.simulation.publishing import PublishingWorld

CUT_OFF, GARBLED, COPIED, LACKING = "cut off", "garbled", "copied", "lacking"
"""What becomes of an object. One that is whole, and lacks lines, is no damage: a version is built of what is
there."""

DAMAGED_RATE = 0.1
"""How often something is damaged between two states of a build."""


class DamagedBuilds(DamagedItems, PublishingWorld):
    """A world of several versions with damage, of items and of objects."""

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self._objects = {}
        """What damaged objects held before, and what they hold now."""
        self._named = set()
        """The keys of all that was ever damaged."""
        self._states = 0
        self._poorer = None
        """The version that was built while lines of the archive were missing."""

    def versions(self):
        return [one.version for one in self.registry.versions(NAME) if not one.cleaned_at]

    # What happens, by the names of steps.

    def damage_object(self, at):
        """Damage an object of the archive, or of a build."""
        prefixes = [contract.PREFIX_EVENTS]
        prefixes += [BuildName(NAME, one.version).prefix for one in self._building()]
        keys = self._keys(prefixes[at % len(prefixes)])
        if keys:
            key = keys[at // 8 % len(keys)]
            kinds = [CUT_OFF, GARBLED, COPIED] if key.endswith(OBJECT_SUFFIX) else [CUT_OFF, GARBLED]
            self._damage_object(key, kinds[at // 4096 % len(kinds)])

    def _break(self, place, at):
        """Damage an item: a version that is built meanwhile passes over it, and counts what waits for it."""
        super()._break(place, at)
        self.has_waited = True

    def state_done(self, name):
        """Damage, at times, what a state has just left for the next one."""
        self._states += 1
        random = Random(f"state {self.setting.seed} {self._states}")
        keys = self._keys(name.prefix)
        if self.works_twice and keys and random.random() < DAMAGED_RATE:
            self._damage_object(random.choice(keys), random.choice([CUT_OFF, GARBLED]))

    def mend(self, at=None):
        """Bring back what is damaged, items and objects, as far as it is still there."""
        super().mend(at)
        for key, (before, garbage) in self._objects.items():
            if self.objects.held.get(key, (None,))[0] == garbage:
                self.objects.put(key, before)
        self._objects = {}

    def _building(self):
        return [one for one in self.registry.versions(NAME) if one.status is Status.BUILDING]

    def _keys(self, prefix):
        return [
            key for key in sorted(self.objects.held) if key.startswith(prefix) and key not in self._objects
        ]

    def _damage_object(self, key, kind):
        before = self.objects.held[key][0]
        where = "archive" if key.startswith(contract.PREFIX_EVENTS) else "build"
        self.met[f"{kind}: object of {'an' if where == 'archive' else 'a'} {where}"] += 1
        if kind == COPIED:
            self.objects.put(f"{key.removesuffix(OBJECT_SUFFIX)}-copy{OBJECT_SUFFIX}", before)
            return
        garbage = _damaged(before, kind)
        self._objects[key] = before, garbage
        self._named.add(key)
        self.objects.put(key, garbage)

    # What is checked.

    def may_fail(self, name, text):
        """Whether it is right that a build cannot go on: it names what is damaged."""
        theirs = {key for key in self._named if key.startswith(name.prefix)}
        named = self._named | ({name.prefix} if theirs else set())
        return super().may_fail(name, text) or any(key in text for key in named)

    def _check_rebuilt_alike(self, before):
        """Build once more by a damaged archive, and once more when that is mended."""
        version = self.active
        random = Random(f"archive {self.setting.seed}")
        keys = self._keys(contract.PREFIX_EVENTS)
        if keys:
            key, kind = random.choice(keys), random.choice([CUT_OFF, GARBLED, COPIED, LACKING])
            self._damage_object(key, kind)
            self._build_anew()
            if kind == LACKING:
                self._poorer = self.registry.versions(NAME)[-1].version
            if kind in {CUT_OFF, GARBLED}:
                assert self.active == version, "a version became active that was built by a damaged archive"
                reason = self.registry.versions(NAME)[-1].reason
                assert f"{key} is damaged" in reason, f"a damaged archive fails a build with {reason!r}"
            elif kind == COPIED:
                assert self.active > version or self.setting.has_chain, "copies in the archive fail a build"
            if kind != LACKING:
                check_alike(self, before)
            self.mend()
        super()._check_rebuilt_alike(before)

    def _check_verified(self, row, verified):
        if row.version != self._poorer:  # else nobody could tell, and it counts what there is
            super()._check_verified(row, verified)


def _damaged(data, kind):
    """Return what becomes of an object."""
    if kind == CUT_OFF:
        return data[: len(data) // 2]
    if kind == LACKING:
        lines = gzip.decompress(data).splitlines()
        return archive_object(lines[::2])
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
