"""Which events must be decided together: connected components over what they share."""

from collections.abc import Hashable, Iterable


class Components:
    """A union-find over hashable nodes, with path halving.

    Hot: nodes are numbered as they come, so that each is hashed once and not at every step of the way.
    """

    __slots__ = ("_parents", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}
        """The number of each node, which `root` takes."""
        self._parents: list[int] = []

    def join(self, nodes: Iterable[Hashable]) -> int:
        """Put all the nodes into one component; return the number of one of them, -1 if there are none."""
        numbers, parents = self.numbers, self._parents
        first = -1
        for node in nodes:
            number = numbers.get(node)
            if number is None:
                number = numbers[node] = len(parents)
                parents.append(number if first < 0 else first)
                if first < 0:
                    first = number
                continue
            root = self.root(number)
            if first < 0:
                first = root
            elif root != first:
                parents[root] = first
        return first

    def root(self, number: int) -> int:
        """Return the number of the node that stands for a numbered node's component."""
        parents = self._parents
        above = parents[number]
        while above != number:
            top = parents[above]
            parents[number] = top
            number, above = top, parents[top]
        return number

    def find(self, node: Hashable) -> int:
        """Return what stands for the node's component."""
        return self.root(self.join((node,)))
