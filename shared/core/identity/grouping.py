"""Which events must be decided together: connected components over what they share."""

from collections.abc import Hashable, Iterable


class Components:
    """A union-find over hashable nodes, with path halving."""

    __slots__ = ("_parent",)

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, node: Hashable) -> Hashable:
        """Return the representative of the node's component."""
        parent = self._parent
        above = parent.setdefault(node, node)
        while above != node:
            top = parent[above]
            parent[node] = top
            node, above = top, parent[top]
        return node

    def join(self, nodes: Iterable[Hashable]) -> None:
        """Put all the nodes into one component."""
        first: Hashable = None
        for node in nodes:
            root = self.find(node)
            if first is None:
                first = root
            elif root != first:
                self._parent[root] = first
