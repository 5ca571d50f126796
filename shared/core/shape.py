"""The shape of the events that a definition reads: of each event's JSON, only what it needs is decoded.

Decoding a whole event costs several times as much as decoding the dozen fields that a definition names. So
its paths become a type that msgspec decodes into, skipping the rest. That reading is for plain events only;
it gives nothing, and leaves the event to the reading of the whole, wherever the two could differ.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.containers import DEPTH_MAX
from shared.core.definition import Path

PLAIN_BYTES_MAX: Final = 4300
"""Longer events are read whole: an integer of more digits is refused when decoded, unnoticed when skipped."""

Slots = list[Any]
"""What stands at each path of an event; None where nothing does."""


class Branch(NamedTuple):
    """One key of a tree of paths: the slot of its own value (or -1), and the keys below it."""

    key: str
    slot: int
    below: "tuple[Branch, ...]"


def tree_of(paths: Sequence[Path]) -> tuple[Branch, ...]:
    """Arrange different paths as a tree, so that each container of an event is looked up once."""
    return _branches({path: slot for slot, path in enumerate(paths)})


def _branches(slots: dict[Path, int]) -> tuple[Branch, ...]:
    keys = dict.fromkeys(path[0] for path in slots)
    return tuple(
        Branch(
            key,
            slots.get((key,), -1),
            _branches({path[1:]: slot for path, slot in slots.items() if path[0] == key and path[1:]}),
        )
        for key in keys
    )


def walk(branches: tuple[Branch, ...], container: dict[str, Any], slots: Slots) -> None:
    """Fill the slots from a decoded object."""
    for key, slot, below in branches:
        value = container.get(key)
        if value is None:
            continue
        if slot >= 0:
            slots[slot] = value
        if below and type(value) is dict:
            walk(below, value, slots)


class Shape:
    """Reads the values at some paths out of the text of an event."""

    def __init__(self, paths: Sequence[Path]) -> None:
        tree = tree_of(paths)
        getters = ["None"] * len(paths)
        self._mixed: list[Branch] = []
        """Containers that are values themselves: they are decoded whole, and then walked."""
        steps: list[str] = []
        self._decode: Callable[[bytes], Any] = _decode_nothing
        self._values: Callable[[Any], Slots] = list
        try:
            event = self._type_of(tree, "event", getters, steps)
            self._decode = msgspec.json.Decoder(event, float_hook=Decimal).decode
            self._values = _compiled(steps, getters)
        except ValueError:
            pass  # a key with a quote or a backslash in it, which msgspec has no field for

    def read(self, text: bytes) -> Slots | None:
        """Return the slots of an event, or None where it takes the reading of the whole event to judge it.

        What is skipped is checked for its grammar, but not for its encoding, its depth, and the length of its
        integers: these are checked here. Containers of another type than object, null included, go the long
        way too.
        """
        if len(text) > PLAIN_BYTES_MAX:
            return None
        # Hot: to take them all out is a quarter of the work of counting them.
        depth = len(text) - len(text.replace(b"{", b""))
        if b"[" in text:
            depth += text.count(b"[")
        if depth > DEPTH_MAX:
            return None
        try:
            if not text.isascii():
                str(text, "utf-8")
            slots = self._values(self._decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError):
            return None
        return self._walked(slots) if self._mixed else slots

    def glance(self, text: bytes) -> Sequence[Any] | None:
        """Return the slots of an event as `read` would, or those of what `read` might still refuse.

        A fraction of the work, for a first look: whatever is skipped is not checked.
        """
        try:
            values = self._values(self._decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError):
            return None
        return self._walked(values) if self._mixed else values

    def _walked(self, slots: Slots) -> Slots:
        for _, slot, below in self._mixed:
            value = slots[slot]
            if type(value) is dict:
                walk(below, value, slots)
        return slots

    def _type_of(
        self, branches: tuple[Branch, ...], container: str, getters: list[str], steps: list[str]
    ) -> type[msgspec.Struct]:
        """Make the type of the container that goes by a name.

        Note in `getters` how each slot is reached from there, and in `steps` how containers in it get a name.
        """
        fields: list[tuple[str, Any, Any]] = []
        names: dict[str, str] = {}
        for number, branch in enumerate(branches):
            name = f"f{number}"
            names[name] = branch.key
            if branch.slot >= 0:
                getters[branch.slot] = f"{container}.{name}"
                if branch.below:
                    self._mixed.append(branch)  # slots below are filled later
                fields.append((name, Any, None))
            else:
                inner = f"{container}_{name}"
                steps.append(f"{inner} = {container}.{name}")
                below = self._type_of(branch.below, inner, getters, steps)
                fields.append((name, below, below()))
        return msgspec.defstruct("Shape", fields, rename=names, frozen=True, gc=False)


def _compiled(steps: list[str], getters: list[str]) -> Callable[[Any], Slots]:
    """Compile what takes the slots out of a decoded event.

    Hot: an `attrgetter` looks each name up again in each event, and takes four times as long. No name in this
    source is of the definition, all are made here.
    """
    bound: dict[str, Any] = {}
    lines = ["def values(event):", *steps, f"return [{', '.join(getters)}]"]
    exec("\n    ".join(lines), bound)  # noqa: S102 - see above
    values: Callable[[Any], Slots] = bound["values"]
    return values


def _decode_nothing(_text: bytes) -> Any:
    """Leave every event to the reading of the whole."""
    raise msgspec.DecodeError
