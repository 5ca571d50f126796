"""Of many who publish at once one wins, and only one build is started: on a table with real conditions."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from shared.adapters.registry import DynamoRegistry
from shared.app.folders import BuilderFolder, read_folders
from shared.app.publish import Asked, CannotPublishError, Publisher
from shared.app.registry import Status
from tests.contracts.test_registry import REGION, engine
from tests.fakes.executions import FakeExecutions
from tests.fakes.objects import FakeObjects

__all__ = ["engine"]  # a fixture

PUBLISHERS = 8
NOW = 1_700_000_000_000


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_who_publish_at_once_one_wins(engine, attempt):
    text = f"name: customers\nidentifiers:\n  user_id: {{from: userId{attempt}}}\n"
    (candidate,) = read_folders([BuilderFolder("customers", {"builder.yaml": text})])
    objects, executions = FakeObjects(), FakeExecutions()
    Publisher(engine, objects, executions).set_draft(candidate, "ann", NOW)
    together = Barrier(PUBLISHERS)

    def publish(number: int) -> str:
        publisher = Publisher(DynamoRegistry("registry", REGION), objects, executions)
        together.wait()
        try:
            return publisher.publish_draft("customers", Asked(by=f"user-{number}", now=NOW)).created_by
        except CannotPublishError as error:
            assert "version 1 of customers" in str(error) or "its version 1 is building" in str(error)  # noqa: PT017 - any of them
            return ""

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        winners = [one for one in pool.map(publish, range(PUBLISHERS)) if one]
    (version,) = engine.versions("customers")
    assert version.status is Status.BUILDING
    assert winners == [version.created_by], "nobody else is told the same"
    assert list(executions.running) == [("customers", 1)]
    assert engine.draft("customers") is None
