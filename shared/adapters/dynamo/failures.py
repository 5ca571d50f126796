"""The failures of a profile's function as an item beside it, which goes by its TTL: nobody deletes it.

It has no part in what the profile is: a profile that has a result since, or is gone, makes it mean nothing.
"""

from typing import Final

from shared.adapters.dynamo.client import Client
from shared.adapters.dynamo.items import seconds
from shared.adapters.dynamo.keys import Keyspace
from shared.app.functions.failing import Failing
from shared.contract import TTL_ATTRIBUTE
from shared.core.retention import DAY_MS

KEPT_MS: Final = 2 * DAY_MS
"""For longer than any delay between two attempts."""
FIELDS: Final = Failing.__struct_fields__


class FailureItems:
    """Reads and writes such items of one version of one builder."""

    def __init__(self, client: Client, table: str, keyspace: Keyspace) -> None:
        self._client = client
        self._table = table
        self._keyspace = keyspace

    def get(self, profile_id: str) -> Failing | None:
        """Return what is kept of a profile; None of what cannot be read, as if it had gone by its TTL."""
        items = self._client.get(self._table, [self._keyspace.failing(profile_id)], consistent=False)
        try:
            return Failing(*(int(items[0][name]["N"]) for name in FIELDS)) if items else None
        except (KeyError, ValueError):
            return None

    def put(self, profile_id: str, failing: Failing, now_ms: int) -> None:
        """Keep it of a profile. Raises as the client does."""
        item = self._keyspace.failing(profile_id)
        item |= {name: {"N": str(getattr(failing, name))} for name in FIELDS}
        item[TTL_ATTRIBUTE] = seconds(now_ms + KEPT_MS)
        self._client.write(self._table, [item], [])
