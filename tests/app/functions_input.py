"""Inputs of profile functions, out of events."""

from itertools import count

import msgspec

from shared.app.functions.ports import FunctionInput
from shared.core.functions import User
from shared.core.history import chain, pieces_of

_encode = msgspec.json.Encoder(decimal_format="number").encode


def an_input(events, *, since_ms=0, batch=1000, traits=None, profile_id="p1"):
    """Return a profile with these events, one each second, written in batches."""
    times = count(1_700_000_000_000, 1000)
    kept = [(next(times), f"e{number}", _encode(event)) for number, event in enumerate(events)]
    heads, chunks = [], []
    for rev, start in enumerate(range(0, len(kept), batch), 1):
        made = chain(profile_id, rev, heads, pieces_of(kept[start : start + batch], rev), rev)
        chunks += [one.data for one in made]
        heads = []
    user = User(profile_id, "ann", "cookie-1", traits or {}, {"user_id": ["ann"]})
    return FunctionInput(user, chunks, since_ms)
