"""What the grammar of builder.yaml says of a text that is no sound YAML, or of any text at all."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.grammar import DefinitionError, parse_definition
from tests.unit.test_grammar_problems import HEAD, the_problem


def test_a_key_given_twice_is_a_problem_that_names_both_lines():
    text = f"{HEAD}attributes:\n  n: {{aggregation: count}}\n  n: {{aggregation: count}}\n"
    assert the_problem(text) == (5, "attributes.n", "given twice; line 4 has it already")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty; a definition has at least name and identifiers"),
        ("# nothing\n", 1, "empty; a definition has at least name and identifiers"),
        ("null", 1, "empty; give it a value, or remove the key"),
        ("- a", 1, "must be a mapping (`key: value`)"),
        (
            "name: a\nb: [",
            2,
            (
                "not readable as YAML: while parsing a flow node expected the node content, but found "
                "'<stream end>'"
            ),
        ),
        (
            "name: a\n\tb: c",
            2,
            (
                "not readable as YAML: while scanning for the next token found character '\\t' "
                "that cannot start any token"
            ),
        ),
        (
            "a: b\n---\nc: d",
            2,
            "not readable as YAML: expected a single document in the stream but found another document",
        ),
        ("a: &x 1\nb: *x", 2, "not readable as YAML: aliases are not supported: repeat the value"),
        ("[" * 100_000, 1, "not readable as YAML: nested deeper than 16 levels"),
        ("a: b\nc: \x07", 2, "a character that YAML does not allow"),
        ("a: \ud800", 1, "a character that YAML does not allow"),
        (r'a: "\UFFFFFFFF"', 1, "not readable as YAML: an escape that is no character"),
        ("#" * 300_000, 1, "longer than 256 KiB, the most that a definition may have"),
    ],
)
def test_a_text_that_is_not_even_sound_yaml_says_where(text, line, message):
    assert the_problem(text) == (line, "", message)


def test_billions_of_laughs_are_refused_at_the_first():
    bomb = "a: &a [x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert the_problem(bomb)[0] == 2


@pytest.mark.parametrize(
    "value", ["!!python/name:os.system x", "!!int x", "!!set {a}", "!custom [a]", "!!binary aGk="]
)
def test_tags_are_refused(value):
    assert the_problem(f"{HEAD}env: {{A: {value}}}") == (3, "env.A", "tags (`!...`) are not supported")


def test_half_a_surrogate_pair_is_no_text():
    assert the_problem(HEAD + r'env: {A: "\ud800"}')[1:] == ("env.A", "half a surrogate pair is no text")
    assert the_problem(HEAD + r'env: {"\ud800": a}')[1:] == ("env", "a key must be plain text")


def test_a_value_of_the_environment_is_never_repeated_in_a_message():
    with pytest.raises(DefinitionError) as caught:
        parse_definition(f"{HEAD}env: {{A: [hunter2], B: 31337}}")
    assert "hunter2" not in str(caught.value)
    assert "31337" not in str(caught.value)


WORDS = ["name: a", "identifiers:", "attributes:", "from: a", "type: number", "aggregation: sum", "when: "]
SCRAPS = [*WORDS, *"[]{}:-,?|>~#(\"'\n\t\x85a", ": ", "  ", "- ", "&x ", "*x", "!!map ", "---", "<<: ", "\\u"]
yaml_scraps = st.lists(st.sampled_from(SCRAPS), max_size=40).map("".join)


def problems_if_any(text):
    """Return the problems of a text, none if it is a definition."""
    try:
        parse_definition(text)
    except DefinitionError as error:
        return list(error.problems) or pytest.fail("an error without a problem")
    return []


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(yaml_scraps, st.text(st.characters(codec=None)), yaml_scraps.map(lambda scrap: HEAD + scrap))
)
def test_no_text_whatever_raises_anything_but_a_definition_error(text):
    for one in problems_if_any(text):
        assert one.line >= 1
        assert one.column >= 1
        assert one.message


json_trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["from", "type", "aggregation", "when", "keep", "block", "exact", "regex", "known", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "identifiers",
                "attributes",
                "retention",
                "block",
                "anonymous",
                "env",
                "fetch",
                "warehouses",
                "profile_function",
            ]
        ),
        json_trees | st.dictionaries(st.text(max_size=4), json_trees, max_size=3),
    )
)
def test_no_tree_of_values_whatever_raises_anything_but_a_definition_error(tree):
    problems_if_any(json.dumps(tree))
