"""What the versions of a world say: two definitions of the same people, which differ in what they show."""

import msgspec

from shared.app.folders import Candidate
from shared.app.frozen import freeze
from shared.core.compile import Builder
from shared.core.definition import Attribute


def changed(builder):
    """Return a builder of the same people that shows other attributes, in another order."""
    definition = builder.definition
    kept = [one for one in definition.attributes if one.name != "smallest"]
    added = Attribute("actions", "unique_list", "string", (("event",),))
    return Builder(msgspec.structs.replace(definition, attributes=(*reversed(kept), added)))


class Definitions:
    """The definitions of a world, as somebody drafts them; and their builders."""

    def __init__(self, builder):
        self._builders = {}
        self.candidates = [self._candidate(one) for one in (builder, changed(builder))]

    def builder(self, sha256):
        """Return what makes profiles as the definition says that was frozen under a hash."""
        return self._builders[sha256]

    def other_than(self, sha256):
        """Return a candidate that says something else."""
        return next(one for one in self.candidates if one.sha256 != sha256)

    def _candidate(self, builder):
        data, sha256 = freeze(builder.definition, {})
        self._builders[sha256] = builder
        return Candidate(builder.name, builder.definition, data, sha256)
