"""Which profiles are due now, by their items alone: for commands, which know no definition."""

from collections.abc import Sequence
from typing import Any

from shared.adapters.dynamo.client import Client
from shared.adapters.dynamo.keys import Keyspace
from shared.app.functions.errors import FunctionError
from shared.app.ports import Clock
from shared.contract import PROFILES_DUE, PROFILES_PK


class DynamoDueProfiles:
    """The `DueProfiles` port on the profiles table."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = Client(client, clock)
        self._table = table

    def revisions(self, errors: Sequence[FunctionError]) -> list[int | None]:
        """Return, for each, at which revision its profile is due now; None if it is not, or is gone."""
        keys = [Keyspace(one.due.builder, one.due.version).profile(one.due.profile_id) for one in errors]
        names = (PROFILES_PK, PROFILES_DUE, "rev")
        found = self._client.get(self._table, keys, consistent=True, names=names) if keys else []
        revs = {item[PROFILES_PK]["S"]: int(item["rev"]["N"]) for item in found if PROFILES_DUE in item}
        return [revs.get(key[PROFILES_PK]["S"]) for key in keys]
