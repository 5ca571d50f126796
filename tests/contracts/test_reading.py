"""How others read profiles: ten lines of boto3, or PynamoDB."""

from decimal import Decimal

import boto3
import pytest

from shared.adapters.dynamo.models import IdentifierItem, ProfileItem, SegmentItem, model_of
from shared.app.ingest import Ingest
from shared.core.compile import Builder
from tests.contracts.worlds import FakeClock
from tests.people import T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())
REGION = "eu-central-1"


@pytest.fixture
def shop(dynamo):
    """One person with forty page views and an order."""
    dynamo.reset()
    views = [
        an_event(
            messageId=f"m{number}",
            arrival=T0 + number,
            userId="ann",
            type="track",
            properties={"page": f"/{number}"},
        )
        for number in range(40)
    ]
    order = an_event(
        messageId="order",
        arrival=T0 + 100,
        userId="ann",
        anonymousId="cookie",
        type="identify",
        event="Order",
        traits={"name": "Ann"},
        properties={"total": "12.50"},
    )
    outcome = Ingest(BUILDER, dynamo.store(BUILDER), FakeClock()).run(
        contributions_of(BUILDER, [*views, order])
    )
    assert outcome.failed == []
    return dynamo


def test_ten_lines_of_boto3_read_a_profile(shop):
    dynamodb = boto3.resource("dynamodb", endpoint_url=shop.endpoint, region_name=REGION)
    prefix = f"people#{shop.version}#"
    pointer = dynamodb.Table(shop.identifiers_table).get_item(Key={"pk": f"{prefix}cookie_id#cookie"})["Item"]
    key = {"pk": prefix + pointer["profile_id"], "sk": "profile"}
    profile = dynamodb.Table(shop.profiles_table).get_item(Key=key)["Item"]
    assert profile["attributes"]["spent"] == Decimal("12.5")
    assert profile["attributes"]["pages"][-1]["value"] == "/39"
    assert profile["identifiers"] == {"user_id": ["ann"], "cookie_id": ["cookie"]}
    assert profile["traits"] == {"name": "Ann"}
    dynamodb.meta.client.close()


def test_pynamodb_models_read_a_profile_with_its_segments(shop):
    identifiers = model_of(IdentifierItem, shop.identifiers_table, REGION, shop.endpoint)
    profiles = model_of(ProfileItem, shop.profiles_table, REGION, shop.endpoint)
    segments = model_of(SegmentItem, shop.profiles_table, REGION, shop.endpoint)
    prefix = f"people#{shop.version}#"
    pointer = identifiers.get(f"{prefix}user_id#ann")
    profile = profiles.get(prefix + pointer.profile_id, "profile")
    assert profile.attributes.as_dict()["events"] == 41
    assert profile.founder == "user_id#ann"
    body = segments.query(prefix + pointer.profile_id, segments.sk.startswith("body#"))
    parts = [part.attributes.as_dict() for part in body if part.attributes is not None]
    pages = [one["value"] for part in parts for one in part.get("pages", ())]
    pages += [one["value"] for one in profile.attributes.as_dict()["pages"]]
    assert sorted(pages) == sorted(f"/{number}" for number in range(40))
