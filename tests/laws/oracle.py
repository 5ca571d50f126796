"""What an attribute should show: sort all its values and fold them, in the plainest way.

Written against the briefing alone; it shares nothing with the aggregations that it judges.
"""

from decimal import Decimal
from fractions import Fraction

PRESENTED_MAX = 1000


def expected(aggregation: str, keyed_values, *, keep: str = "earliest") -> dict:
    """Return what is presented, by suffix, of at least one ((time, event id, index), value)."""
    in_order = sorted(keyed_values)
    values = [value for _, value in in_order]
    name = f"{aggregation} {keep}" if aggregation == "unique_list" else aggregation
    return _FOLDS[name](in_order, values)


_FOLDS = {
    "first": lambda _, values: {"": values[0]},
    "last": lambda _, values: {"": values[-1]},
    "first_last": lambda _, values: {"_first": values[0], "_last": values[-1]},
    "list": lambda in_order, _: {"": in_order[-PRESENTED_MAX:]},
    "unique_list earliest": lambda _, values: {"": _unique(values)[:PRESENTED_MAX]},
    "unique_list newest": lambda _, values: {"": _unique(values[::-1])[:PRESENTED_MAX][::-1]},
    "min": lambda _, values: {"": min(values)},
    "max": lambda _, values: {"": max(values)},
    "sum": lambda _, values: {"": _total(values)},
    "count": lambda _, values: {"": len(values)},
}


def _unique(values):
    return list(dict.fromkeys(values))


def _total(values):
    total = sum(Fraction(value) for value in values)
    units = total * 10**20  # no value has more than 20 decimal places
    assert units.denominator == 1
    whole, places = divmod(abs(units.numerator), 10**20)
    sign = "-" if total < 0 else ""
    if places == 0:
        return int(f"{sign}{whole}")
    return Decimal(f"{sign}{whole}.{places:020d}".rstrip("0"))
