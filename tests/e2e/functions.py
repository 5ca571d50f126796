"""A builder with a profile function on the shared local cloud: the worked one of Jitsu's page."""

from typing import Any, Final

from boto3.dynamodb.types import TypeDeserializer

from tests.e2e.conftest import Person, eventually
from tests.e2e.visitors import Visitors

DEFINITION: Final = """\
name: visitors
identifiers:
  user_id: {from: userId, known: true}
  cookie_id: {from: [anonymousId, previousId]}
attributes:
  visits: {aggregation: count}
profile_function: {debounce: 0 seconds, timeout: 2 seconds}
"""
PROFILE: Final = '''\
"""How many events of each type somebody sent, and under which cookie first."""

from collections import Counter


def profile(events, user, context):
    counts = Counter(event["type"] for event in events)
    if counts["track"] and any("fail" in event.get("properties", {}) for event in events):
        raise ValueError("as asked")
    return {"traits": {**counts, "anonymousId": user.anonymous_id}, "profile_id": user.user_id}
'''


class FunctionVisitors(Visitors):
    """The builder as its owner sees it."""

    def publish_function(self, definition: str = DEFINITION, profile: str = PROFILE) -> int:
        """Publish it with its profile function; return the version, which is active then."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "profile.py").write_text(profile)
        version = self.publish(definition)
        assert self.ended(version) == "SUCCEEDED", self.row(version)
        return version

    def computed(self, cookie: str) -> dict[str, Any] | None:
        """Read what the item of a person says that the function returned last."""
        wire = (self.profile(cookie) or {}).get("computed")
        return None if wire is None else TypeDeserializer().deserialize(wire)

    def expect(self, person: Person, cookie: str | None = None, **counts: int) -> None:
        """Wait until the function has counted just these events of a person."""
        expected = {"traits": {**counts, "anonymousId": person.cookie}, "published_id": person.user_id}
        eventually(lambda: self.computed(cookie or person.cookie) == expected)
