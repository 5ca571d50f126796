"""Metrics in CloudWatch's embedded format: a line of the log that CloudWatch reads as metrics."""

import os
from collections.abc import Mapping
from itertools import islice
from typing import Final

from aws_lambda_powertools.metrics import Metrics, MetricUnit

from shared import contract

METRICS_PER_LINE_MAX: Final = 100
"""CloudWatch's limit for one embedded line."""

_MILLISECONDS: Final = frozenset(
    {contract.METRIC_ARCHIVE_AGE, contract.METRIC_BATCH_AGE, contract.METRIC_FUNCTION_AGE}
)
_STAGE: Final = os.environ.get(contract.ENV_STAGE, "unknown")
_METRICS: Final = Metrics(namespace=contract.METRICS_NAMESPACE, service=contract.SERVICE)


def emit(values: Mapping[str, float], builder: str | None = None) -> None:
    """Emit metrics by the names of `contract.py`: per stage, and per builder if there is one.

    Zeros are left out: an alarm takes what is missing for well, and what is not sent costs nothing.
    """
    left = iter([(name, value) for name, value in values.items() if value])
    while part := list(
        islice(left, METRICS_PER_LINE_MAX - 1)
    ):  # at the limit itself Powertools flushes early
        _METRICS.add_dimension(contract.DIMENSION_STAGE, _STAGE)
        if builder is not None:
            _METRICS.add_dimensions(
                **{
                    contract.DIMENSION_SERVICE: contract.SERVICE,
                    contract.DIMENSION_STAGE: _STAGE,
                    contract.DIMENSION_BUILDER: builder,
                }
            )
        for name, value in part:
            unit = MetricUnit.Milliseconds if name in _MILLISECONDS else MetricUnit.Count
            _METRICS.add_metric(name, unit, value)
        _METRICS.flush_metrics()
