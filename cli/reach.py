"""What user code may reach that commands run: the network by its builder's rules, and a store of its own."""

import os

from shared.adapters.tools import network_tools
from shared.app.local_code import Reach
from shared.app.user_store import MemoryUserValues


def local_reach() -> Reach:
    """Return it; what the code stores is gone when the command ends."""
    return Reach(os.environ, MemoryUserValues(), network_tools)
