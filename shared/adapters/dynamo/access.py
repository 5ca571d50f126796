"""What reading and writing one version of one builder share."""

from typing import NamedTuple

from shared.adapters.dynamo.bodies import Bodies
from shared.adapters.dynamo.client import Client
from shared.adapters.dynamo.items import Items
from shared.adapters.dynamo.keys import Keyspace
from shared.core.compile import Builder


class Tables(NamedTuple):
    """The names of the two tables."""

    profiles: str
    identifiers: str


class Access(NamedTuple):
    """The way to the items of one version of one builder."""

    client: Client
    builder: Builder
    tables: Tables
    keyspace: Keyspace
    items: Items
    bodies: Bodies
