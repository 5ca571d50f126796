"""CutOver: one conditional write makes the new version the active one; then the old one's consumer goes."""

import msgspec

from shared.app.consumers import Consumers
from shared.app.rebuild.build import BuildName
from shared.app.registry import Registry


class CutOver(msgspec.Struct, frozen=True):
    """Which version is active now, and which one it replaced: 0 for none."""

    active: int
    retired: int


def cut_over(registry: Registry, consumers: Consumers, name: BuildName) -> CutOver:
    """Make the version active. BuildEndedError if it has been cancelled; again is the same as once."""
    raise NotImplementedError
