"""The consumer of one version, on the Lambda service."""

from shared import contract
from shared.adapters.lambda_ import LambdaConsumers
from tests.fakes.lambda_service import FUNCTION, LambdaService

CONSUMER = {"EventSourceArn": "arn:aws:kinesis:eu-central-1:123456789012:stream/events", "BatchSize": 10}


def test_removing_one_versions_consumer_leaves_those_of_others_and_may_be_repeated():
    service = LambdaService()
    consumers = LambdaConsumers(service.client(), FUNCTION, wait=lambda _: None)
    for version in (1, 2):
        consumers.ensure_alias("people", version)
        consumers.ensure_mapping("people", version, 0, CONSUMER)
    service.errors = [("DeleteEventSourceMapping", "ResourceInUseException")]
    for _ in range(2):
        consumers.remove("people", 1)
        assert list(service.aliases) == [contract.version_alias("people", 2)]
        [left] = service.mappings.values()
        assert left["FunctionArn"] == f"{FUNCTION}:people-v2"
    service.errors = [("ListEventSourceMappings", "ResourceNotFoundException")]
    consumers.remove("people", 3)
