"""Patterns of block lists: what they match, what they cannot be, and that none of them takes long."""

import json
import time

import pytest

from shared.core.definition import Block
from shared.core.grammar import DefinitionError, parse_definition
from shared.core.identity.identifiers import DEFAULT_BLOCK
from shared.core.identity.patterns import BadPatternError, check, matcher


@pytest.mark.parametrize("text", ["test-1", "TEST-23", "straße@bots.example", "STRASSE@bots.example"])
def test_whole_values_are_matched_ignoring_case(text):
    assert matcher(["test-[0-9]+", ".*@bots[.]example"])(text)


@pytest.mark.parametrize("text", ["my test-1", "test-1 ", "test-", ""])
def test_parts_of_values_are_not(text):
    assert not matcher(["test-[0-9]+", ".*@bots[.]example"])(text)


def test_patterns_do_not_touch_each_other():
    matches = matcher([r"\Qa.b", "(?P<n>c)", "(?P<n>d)", "(?-i)E", "f|g"])
    assert [text for text in ("a.b", "axb", "c", "d", "e", "E", "f", "g", "(?:a.b)") if matches(text)] == [
        *("a.b", "c", "d", "E", "f", "g")
    ]


def test_without_patterns_nothing_matches():
    assert not matcher([])("")


EVIL = ["(a+)+b", "(a|aa)+b", "(.*a){12}b", r"(\pL+)*[^\pL]", "(a?){60}a{60}b", "((a{1,30}){1,30})+b"]


@pytest.mark.parametrize("pattern", EVIL)
def test_no_pattern_makes_a_value_slow(pattern):
    check(pattern)
    matches = matcher([pattern])
    started = time.process_time()
    for _ in range(100):
        assert not matches("a" * 1024)
    assert time.process_time() - started < 5, "with Python's own they take longer than anybody waits"


@pytest.mark.parametrize(
    "pattern", ["(", r"(a)\1", "(?=a)b", "(?<!a)b", "a{1001}", "(a{1000}){1000}", "x*+", "\ud800"]
)
def test_what_cannot_be_matched_so_is_refused(pattern):
    with pytest.raises(BadPatternError):
        check(pattern)


def test_patterns_that_are_too_large_together_are_refused_with_their_line():
    large = [rf"x{number}\pL{{30}}" for number in range(10)]
    text = f"name: shop\nidentifiers: {{user_id: {{from: userId}}}}\nblock:\n  regex: {json.dumps(large)}"
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    [problem] = caught.value.problems
    assert (problem.line, problem.message) == (
        4,
        "must be regular expressions that RE2 has room for: they are too large together",
    )


def test_the_list_of_kith_itself_is_sound():
    assert matcher(DEFAULT_BLOCK.regex)("00000000-0000-0000-0000-000000000000")
    assert Block() != DEFAULT_BLOCK
