"""What an item says of the history and the result of a profile whose builder has a profile function.

    computed    traits, published_id, destination_id, table_name: as the function returned them, readable
    due         while the function is to run, or events wait beside: how many seconds after the change. The
                stream is filtered by it

The heads, and those that the result came of, end the `state`; that of any other profile ends before.
"""

from typing import Final

from shared.adapters.dynamo.json_text import has_empty_name, json_of
from shared.adapters.dynamo.state import StateReader, StateWriter
from shared.adapters.dynamo.wire import Item, Wire, from_wire, to_wire
from shared.contract import PROFILES_DUE
from shared.core.canonical import canonical_json
from shared.core.history import NAME_BYTES, Head
from shared.core.profile import NAMES, Computed, Profile

COMPUTED: Final = "computed"
TRAITS: Final = "traits"
_NOTHING, _OF_HEADS, _OF_OTHERS = 0, 1, 2
"""There is no result; it came of the history as it is; it came of other heads, which follow."""


def readable(profile: Profile, debounce_s: int) -> Item:
    """Return what a profile's item says of its result in plain sight; nothing for one without a history.

    A profile beside which events wait is due, whatever is written meanwhile: whoever runs the function folds
    them, if nobody does before.
    """
    item: Item = {}
    if profile.is_due or (profile.heads and profile.parked):
        item[PROFILES_DUE] = {"N": str(debounce_s)}
    computed = profile.computed
    if computed is not None:
        shown: dict[str, Wire] = {
            name: {"S": value} for name in NAMES if (value := getattr(computed, name)) is not None
        }
        shown[TRAITS] = {
            "M": {
                name: {"S": canonical_json(one).decode()} if has_empty_name(one) else to_wire(one)
                for name, one in computed.traits.items()
            }
        }
        item[COMPUTED] = {"M": shown}
    return item


def put(state: StateWriter, profile: Profile) -> None:
    """End a state; nothing is put for a profile that has neither a history nor a result."""
    computed = profile.computed
    if not profile.heads and computed is None:
        return
    _put_heads(state, profile.heads, profile.id)
    if computed is None:
        state.number(_NOTHING)
        return
    is_whole = computed.basis == profile.heads
    state.number(_OF_HEADS if is_whole else _OF_OTHERS)
    if not is_whole:
        _put_heads(state, computed.basis, profile.id)
    as_text = [name for name, one in computed.traits.items() if has_empty_name(one)]
    state.number(len(as_text))
    for name in as_text:
        state.text(name)


def take(state: StateReader, item: Item, profile_id: str) -> tuple[tuple[Head, ...], Computed | None]:
    """Take the heads and the result of a profile, if its state does not end before."""
    if state.is_empty:
        return (), None
    heads = _heads(state, profile_id)
    kind = state.number()
    if kind == _NOTHING:
        return heads, None
    basis = heads if kind == _OF_HEADS else _heads(state, profile_id)
    as_text = {state.text() for _ in range(state.number())}
    shown = item[COMPUTED]["M"]
    traits = {
        name: json_of(wire["S"]) if name in as_text else from_wire(wire)
        for name, wire in shown[TRAITS]["M"].items()
    }
    names = {name: shown[name]["S"] for name in NAMES if name in shown}
    return heads, Computed(traits, basis, **names)


def _put_heads(state: StateWriter, heads: tuple[Head, ...], profile_id: str) -> None:
    state.number(len(heads))
    for head in heads:
        is_own = head.profile_id == profile_id
        state.number(0 if is_own else 1)
        if not is_own:
            state.hex(head.profile_id)
        state.raw(bytes.fromhex(head.name))


def _heads(state: StateReader, profile_id: str) -> tuple[Head, ...]:
    return tuple(
        [
            Head(state.hex() if state.number() else profile_id, state.raw(NAME_BYTES).hex())
            for _ in range(state.number())
        ]
    )
