"""The JSON Schema and the validator judge a document alike, but for what no schema can say."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shared.core.grammar import DefinitionError, json_schema, parse_definition
from shared.core.grammar.document import read_document

BUILDERS = Path(__file__).parents[2] / "builders"
HEAD = "name: shop\nidentifiers: {user_id: {from: userId}}\n"
SCHEMA = Draft202012Validator(json_schema())


def is_definition(text):
    try:
        parse_definition(text)
    except DefinitionError:
        return False
    return True


def suits_schema(text):
    document = read_document(text)
    assert not document.problems, "a schema judges values, not YAML"
    return SCHEMA.is_valid(json.loads(json.dumps(document.value, default=float)))


def attribute(text):
    return f"attributes: {{total: {text}}}"


def identifiers(count, paths="a"):
    return "name: shop\nidentifiers:\n" + "".join(f"  i{n}: {{from: {paths}}}\n" for n in range(count))


GOOD = (
    *("fetch: true", "fetch: false", "fetch: {}", "fetch: {timeout: 1 second, redirects: true}"),
    *("fetch: {allow: [a.example.com, '*.b.org'], max_bytes: 1, private: true, in_rebuild: true}",),
    *("env: {A: {secret: kith/a}, B: {secret: kith/a/b, key: c}}",),
    *("warehouses: {main: {url: 'duckdb:///:memory:'}, other: {url: {secret: kith/other}}}",),
    *("retention: {}", "retention: {known: 1 month, other: 120 months}", "retention: {known: 99 month}"),
    *("retention: {known: 109 months}", "retention: {other: 1 months}"),
    *(f"profile_function: {{window: {days}}}" for days in ("7 days", "90 days", "299 days", "365 days")),
    *(f"profile_function: {{debounce: {time}}}" for time in ("0 seconds", "1 second", "899 seconds")),
    *(f"profile_function: {{timeout: {time}}}" for time in ("1 second", "59 seconds", "60 seconds")),
    "profile_function: {}",
    *(attribute(f"{{aggregation: count, when: {{x: {x}}}}}") for x in ("1", "1.5", "1e3", "[a, true]")),
    *(attribute(f"{{from: {path}, aggregation: count}}") for path in ("a", "[a.b, c d]", ".".join("a" * 16))),
    attribute("{from: a, type: ip, aggregation: unique_list, keep: newest}"),
    attribute("{type: ip, aggregation: count}"),
    *(f"attributes: {{{json.dumps(name)}: {{aggregation: count}}}}" for name in ("#pk", "x" * 255, "a b")),
    *("attributes: {ünï😀: {aggregation: count}}", "attributes: {}"),
    *("block: [nobody, 7]", "block: {exact: [], defaults: false}", f"block: {{regex: [{'a' * 1000}]}}"),
    *("anonymous: {when: {a.b: [1, x]}}", "anonymous_profiles: false", "env: {A_1: x, _: ''}"),
)
BAD = (
    *("fetch: 1", "fetch: text", "fetch: [true]", "fetch: {a: [1]}"),
    *(
        "fetch: {timeout: 2}",
        "fetch: {timeout: 31 seconds}",
        "fetch: {max_bytes: 0}",
        "fetch: {allow: ['a/b']}",
    ),
    *("env: {A: {secret: other}}", "env: {A: {key: a}}", "env: {A: {secret: kith/a, x: y}}", "env: {A: [a]}"),
    *("warehouses: {main: {}}", "warehouses: {main: {url: 1}}", "warehouses: {Main: {url: a}}"),
    *(
        f"retention: {{known: {months}}}"
        for months in ("0 month", "121 months", "013 months", "999 months", "13", "1.5 months", "13 Months")
    ),
    *(
        f"profile_function: {{window: {days}}}"
        for days in ("6 days", "366 days", "400 days", "1000 days", "1 year", "90", "true", "[7 days]")
    ),
    *(f"profile_function: {{debounce: {time}}}" for time in ("901 seconds", "00 seconds", "1 minute", "30")),
    *(f"profile_function: {{timeout: {time}}}" for time in ("0 seconds", "61 seconds", "10", "[1 second]")),
    *("profile_function: true", "profile_function: {x: {a: b}}", "profile_function: {memory: 512}"),
    *(
        attribute(f"{{aggregation: count, when: {x}}}")
        for x in ("{}", "{x: []}", "{x: [[a]]}", "{'a..b': 1}")
    ),
    *(
        attribute(f"{{from: {path}, aggregation: count}}")
        for path in ("''", ".a", "a.", "'a[0]'", "a.*", "[]")
    ),
    attribute(f"{{from: {'.'.join('a' * 17)}, aggregation: count}}"),
    *(
        attribute(text)
        for text in ("{}", "{from: a, aggregation: sum}", "{type: ip, aggregation: last}", "5")
    ),
    attribute("{from: a, type: string, aggregation: sum}"),
    attribute("{from: a, type: ip, aggregation: list, keep: newest}"),
    *(
        f'attributes: {{"{name}": {{aggregation: count}}}}'
        for name in ("", "x" * 256, r"a\0", r"a\x1fb", r"\x7f", r"a\x85b", r"\x9f", r"a\nb")
    ),
    *(f"block: {{regex: [{'a' * 1001}]}}", "block: [true]", "block: [1.5]", "block: nobody"),
    *("anonymous: {}", "anonymous: true", "anonymous_profiles: no", "env: {A: 1}", "env: {1A: x}", "x: y"),
)
WHOLE = (
    *((case, True) for case in (identifiers(22), identifiers(7, "[a, b, c]"), HEAD.replace("shop", "a_1"))),
    *((f"name: shop\nidentifiers: {{u: {{from: a, limit: {n}}}}}", n == "1") for n in ("1", "0", "1.5", "x")),
    *(
        (case, False)
        for case in (
            identifiers(23),
            "name: shop\nidentifiers: {}",
            "name: shop",
            HEAD.replace("shop", "Shop"),
        )
    ),
)
BEYOND_A_SCHEMA = (
    *("block: {regex: ['(']}", "block: [7.0]"),
    "attributes: {x: {from: a, type: ip, aggregation: first_last}, x_last: {aggregation: count}}",
)
"""A schema knows no RE2, no sums and no other keys, and to JSON 1.0 is a whole number."""


@pytest.mark.parametrize("lines", GOOD)
def test_a_good_document_is_good_for_the_validator_and_the_schema(lines):
    assert is_definition(HEAD + lines)
    assert suits_schema(HEAD + lines)


@pytest.mark.parametrize("lines", BAD)
def test_a_bad_document_is_bad_for_the_validator_and_the_schema(lines):
    assert not is_definition(HEAD + lines)
    assert not suits_schema(HEAD + lines)


@pytest.mark.parametrize(("text", "verdict"), WHOLE)
def test_the_names_and_identifiers_of_a_builder_get_the_same_verdict_from_both(text, verdict):
    assert (is_definition(text), suits_schema(text)) == (verdict, verdict)


@pytest.mark.parametrize(
    "text",
    [
        *(HEAD + lines for lines in BEYOND_A_SCHEMA),
        "name: shop\nidentifiers: {u: {from: a, limit: 1.0}}",
        identifiers(13, "[a, b]"),
    ],
)
def test_what_no_schema_can_say_the_validator_says(text):
    assert suits_schema(text)
    assert not is_definition(text)


def test_the_schema_is_sound_and_takes_the_default_builder():
    Draft202012Validator.check_schema(json_schema())
    assert suits_schema((BUILDERS / "customers" / "builder.yaml").read_text())
