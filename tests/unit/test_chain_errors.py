"""Errors of classes that users write themselves: whatever they are, they fail one event."""

import pytest

from shared.core.chain import Failure
from tests.unit.test_chain import chain, run, transform


@pytest.mark.parametrize(
    ("delay", "waits_s"),
    [("Decimal('1.5')", 1.5), ("True", None), ("'soon'", None), ("10**400", None), ("-1", None), ("7", 7)],
)
def test_a_delay_is_a_number_or_none(delay, waits_s):
    raised = transform("from kith import RetryError; from decimal import Decimal", "error = RetryError()",
                       f"error.delay_s = {delay}", "raise error")  # fmt: skip
    outcome = run(raised)
    assert (outcome.reason, outcome.delay_s) == ("transform_retry", waits_s)
    assert type(outcome.delay_s) in (float, type(None))


def test_errors_of_a_users_own_class_are_told_however_it_is_made():
    busy = """
        from kith import RetryError

        class Busy(RetryError):
            def __init__(self, where):
                self.where = where

        def transform(event, context):
            raise Busy("x")
    """
    assert run(chain(busy)) == Failure("transform_retry", "Busy at transform.py:9")
    broken = (
        busy.replace("self.where = where", "pass")
        + """
        Busy.delay_s = property(lambda self: 1 / 0)
    """
    )
    assert run(chain(broken)).reason == "transform_error"
