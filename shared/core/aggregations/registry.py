"""All aggregations by the name that a definition calls them by."""

from typing import Any, Final

from shared.core.aggregations.base import Aggregation
from shared.core.aggregations.count import Count
from shared.core.aggregations.first import First
from shared.core.aggregations.first_last import FirstLast
from shared.core.aggregations.last import Last
from shared.core.aggregations.list import List
from shared.core.aggregations.max import Max
from shared.core.aggregations.min import Min
from shared.core.aggregations.sum import Sum
from shared.core.aggregations.unique_list import UniqueList
from shared.core.definition import Attribute

AGGREGATIONS: Final[dict[str, Aggregation[Any]]] = {
    aggregation.name: aggregation
    for aggregation in (First(), Last(), FirstLast(), List(), UniqueList(), Min(), Max(), Sum(), Count())
}
"""By name. Which value types each takes, the matrix of aggregations and types, is its `types`."""

_UNIQUE_LIST_NEWEST: Final = UniqueList("newest")


def aggregation_of(attribute: Attribute) -> Aggregation[Any]:
    """Return the aggregation of an attribute. Raises `KeyError` for a name that there is not."""
    if attribute.aggregation == UniqueList.name and attribute.keep == "newest":
        return _UNIQUE_LIST_NEWEST
    return AGGREGATIONS[attribute.aggregation]
