"""What a profile function computed, as `kith get` and `kith events` show it."""

from cli import events, get
from shared.app.functions.results import computed_of
from shared.app.read import why
from shared.core.compile import Builder
from shared.core.functions import FunctionResult
from shared.core.plan import play_with_history
from shared.core.profile import present
from tests.people import a_definition, an_event, contributions_of

BUILDER = Builder(a_definition(profile_function=(("window", "30 days"),)))


def a_profile(result):
    event = an_event(messageId="1", userId="u", type="identify", traits={"plan": "free"})
    (put,), _ = play_with_history(BUILDER, contributions_of(BUILDER, [event]))
    if result is not None:
        put.profile.computed = computed_of(put.profile, result)
    return put.profile


def test_a_profile_is_shown_with_its_published_id_and_the_traits_of_its_function():
    profile = a_profile(FunctionResult({"plan": "pro"}, "row-1", table_name="people"))
    lines = list(get._lines(present(BUILDER, profile)))
    assert ("published_id", ": row-1") in lines
    assert ("table_name", ": people") in lines
    assert ("  plan", ": pro") in lines
    assert "destination_id" not in [name for name, _ in lines]


def test_a_profile_that_is_due_says_so():
    lines = list(events._lines(why(BUILDER, a_profile(None))))
    assert lines[-1] == ("profile function", ": has not run since the last event")


def test_where_traits_come_from_tells_those_of_the_function_apart():
    lines = list(events._lines(why(BUILDER, a_profile(FunctionResult({"plan": "pro"}, "row-1")))))
    assert lines[-3:] == [("profile function", ""), ("  published_id", ": row-1"), ("  plan", ": pro")]
    assert any(name == "  plan" and "free" in text for name, text in lines)
