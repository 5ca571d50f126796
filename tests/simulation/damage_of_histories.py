"""Worlds in which chunks of histories get damaged: the functions of their profiles fail, and no others."""

import msgspec

from shared.contract import SK_HISTORY_PREFIX
from shared.core.history import UnreadableChunkError
from tests.simulation.damage import Damage
from tests.simulation.dynamo import PROFILES
from tests.simulation.functions import FunctionsWorld
from tests.simulation.histories import live_of

DAMAGED = b"\xff damaged"


class DamagedHistories(Damage, FunctionsWorld):
    """A world of one version with functions, some of whose histories cannot be read."""

    def _deliver_all(self):
        if self._damaged:
            self.settle()
            with self.faults.none():
                self._check_functions()
        super()._deliver_all()

    def _places(self):
        for key, item in self.dynamo.tables[PROFILES].items():
            if key[1].startswith(SK_HISTORY_PREFIX) and "events" in item:
                yield PROFILES, key, "events"

    def _garbage(self, place, at):
        """Return what is no chunk at all, or one whose events cannot be read."""
        table, key, name = place
        if at % 2:
            return {"B": DAMAGED}
        *said, _piece = msgspec.msgpack.decode(self.dynamo.tables[table][key][name]["B"])
        return {"B": msgspec.msgpack.encode([*said, DAMAGED])}

    def _check_result(self, store, profile_id, listed):
        """Check one profile, whose function cannot but fail if its history is damaged."""
        try:
            return super()._check_result(store, profile_id, listed)
        except UnreadableChunkError:
            self._check_told(live_of(self, store, profile_id), listed)
        return True

    def _check_told(self, profile, listed):
        """Whoever waits for a damaged chunk is listed for it, and shows what a run has returned before."""
        if profile.is_due:
            assert profile.id in listed, f"the history of {profile.id} is damaged, and nobody is told"
            assert listed[profile.id].error.reason == "function_history"
        if profile.computed is not None:
            assert self._may_show(profile), f"{profile.id} shows a result that no run returned"
