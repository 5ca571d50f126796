"""The grammar of builder.yaml: what it means, its JSON, its schema, and the default builder."""

import json
import runpy
from pathlib import Path

import msgspec
import pytest

from shared.core.aggregations.registry import AGGREGATIONS
from shared.core.definition import (
    Attribute,
    Block,
    Condition,
    Definition,
    IdentifierType,
    Retention,
    Secret,
    definition_json,
    definition_of_json,
)
from shared.core.grammar import DefinitionError, json_schema_text, parse_definition
from shared.core.identity.identifiers import DEFAULT_BLOCK, identifier_reader

ROOT = Path(__file__).parents[2]
BUILDERS = ROOT / "builders"
CUSTOMERS = (BUILDERS / "customers" / "builder.yaml").read_text()

HEAD = "name: shop\nidentifiers: {user_id: {from: userId}}\n"

TYPES = ("string", "number", "boolean", "datetime", "ip")
MATRIX = {
    "first": set(TYPES),
    "last": set(TYPES),
    "first_last": set(TYPES),
    "list": set(TYPES),
    "unique_list": set(TYPES),
    "min": {"number", "datetime"},
    "max": {"number", "datetime"},
    "sum": {"number"},
}


def attribute_of(attribute, name="total"):
    (parsed,) = parse_definition(f"{HEAD}attributes:\n  {name}: {attribute}\n").attributes
    return parsed


def test_the_smallest_definition_has_every_default():
    assert parse_definition(HEAD) == Definition(
        name="shop",
        identifiers=(IdentifierType("user_id", (("userId",),)),),
        attributes=(),
        retention=Retention(13, 1),
        block=DEFAULT_BLOCK,
    )


def test_every_key_of_the_grammar_is_understood():
    definition = parse_definition("""
name: shop
identifiers:
  email: {from: [traits.email, context.traits.email], normalize: email, known: true, limit: 5, block: [x@y.z]}
attributes:
  total: {from: properties.total, type: number, aggregation: sum, when: {event: [A, B], paid: true}}
  seen: {from: properties.name, type: string, aggregation: unique_list, keep: newest}
  orders: {aggregation: count}
  gifts: {from: properties.gift, aggregation: count}
retention: {known: 24 months, other: 2 months}
block: {exact: [nobody, 7], regex: ['bot-.*'], defaults: false}
anonymous: {when: {context.consent: [no, off]}}
anonymous_profiles: false
env: {REGION: north, KEY: {secret: kith/shop, key: api}}
fetch: {timeout: 3 seconds, allow: [a.example.com, '*.b.org'], private: true}
warehouses: {main: {url: {secret: kith/main}}, files: {url: 'duckdb:///x.db'}}
profile_function: {window: 90 days}
""")
    assert definition == Definition(
        name="shop",
        identifiers=(
            IdentifierType(
                "email",
                (("traits", "email"), ("context", "traits", "email")),
                normalize="email",
                known=True,
                limit=5,
                block=Block(exact=("x@y.z",)),
            ),
        ),
        attributes=(
            Attribute(
                "total",
                "sum",
                "number",
                (("properties", "total"),),
                (Condition(("event",), ("A", "B")), Condition(("paid",), (True,))),
            ),
            Attribute("seen", "unique_list", "string", (("properties", "name"),), keep="newest"),
            Attribute("orders", "count"),
            Attribute("gifts", "count", None, (("properties", "gift"),)),
        ),
        retention=Retention(24, 2),
        block=Block(exact=("nobody", "7"), regex=("bot-.*",)),
        anonymous=(Condition(("context", "consent"), ("no", "off")),),
        anonymous_profiles=False,
        env=(("REGION", "north"), ("KEY", Secret("kith/shop", "api"))),
        fetch=(
            ("timeout", "3 seconds"),
            ("private", "true"),
            ("allow", "a.example.com"),
            ("allow", "*.b.org"),
        ),
        warehouses=(("main", Secret("kith/main")), ("files", "duckdb:///x.db")),
        profile_function=(("window", "90 days"),),
    )


@pytest.mark.parametrize(
    ("fetch", "kept"), [("true", (("enabled", "true"),)), ("false", (("enabled", "false"),))]
)
def test_fetch_may_be_switched_as_a_whole(fetch, kept):
    assert parse_definition(f"{HEAD}fetch: {fetch}").fetch == kept


def test_given_priorities_come_first_and_the_rest_in_order_of_declaration():
    definition = parse_definition("""
name: shop
identifiers:
  a: {from: a}
  b: {from: b, priority: 7}
  c: {from: c}
  d: {from: d, priority: -1}
  e: {from: e, priority: 7}
""")
    assert [one.name for one in definition.identifiers] == ["d", "b", "e", "a", "c"]


def test_an_event_may_carry_at_most_22_identifiers():
    three = "name: shop\nidentifiers:\n  a: {from: [a, b, c]}\n"
    more = "".join(f"  i{number}: {{from: [x, y, x]}}\n" for number in range(10))
    assert len(parse_definition(three.replace(", c", "") + more).identifiers) == 11
    with pytest.raises(DefinitionError) as caught:
        parse_definition(three + more)
    assert str(caught.value) == (
        "builder.yaml:2:1: identifiers: have 23 paths in all, each an identifier that one event may carry; "
        "at most 22"
    )


def test_a_builders_block_list_is_united_with_the_default_one():
    assert parse_definition(f"{HEAD}block: [nobody]").block == Block(
        exact=(*DEFAULT_BLOCK.exact, "nobody"), regex=DEFAULT_BLOCK.regex
    )


def test_a_path_given_twice_counts_once():
    assert attribute_of("{from: [a.b, c, a.b], type: ip, aggregation: last}").paths == (("a", "b"), ("c",))


SURPRISES = ["yes", "no", "on", "off", "2026-01-02", "1_000", "0x1f", "0o7", "007", "1:30", ".5", ".inf", "="]


def test_yaml_has_no_surprises_only_json_words_and_numbers_are_other_than_text():
    (condition,) = attribute_of(f"{{aggregation: count, when: {{a: [{', '.join(SURPRISES)}]}}}}").when
    assert list(condition.values) == SURPRISES
    (condition,) = attribute_of("{aggregation: count, when: {a: [true, False, 12, -1.5, 1e3]}}").when
    assert list(map(repr, condition.values)) == [
        "True",
        "False",
        "12",
        "DecimalNumber(decimal=Decimal('-1.5'))",
        "DecimalNumber(decimal=Decimal('1E+3'))",
    ]


def test_keys_are_always_text():
    names = [
        one.name
        for one in parse_definition(
            f"{HEAD}attributes: {{on: &a {{aggregation: count}}, 1: {{aggregation: count}}}}"
        ).attributes
    ]
    assert names == ["on", "1"]


@pytest.mark.parametrize("name", ["constructor", "#pk", "a b", "ünï", "a.b", "__proto__", "x" * 255, "~"])
def test_attribute_names_are_free(name):
    assert attribute_of("{aggregation: count}", json.dumps(name, ensure_ascii=False)).name == name


def test_the_matrix_is_the_one_that_the_aggregations_state():
    assert {name: set(one.types) for name, one in AGGREGATIONS.items() if name != "count"} == MATRIX


@pytest.mark.parametrize(("aggregation", "value_type"), [(a, t) for a in MATRIX for t in TYPES])
def test_an_aggregation_takes_the_types_of_the_matrix_and_no_others(aggregation, value_type):
    attribute = f"{{from: a, type: {value_type}, aggregation: {aggregation}}}"
    if value_type in MATRIX[aggregation]:
        assert attribute_of(attribute).type == value_type
        return
    with pytest.raises(DefinitionError) as caught:
        attribute_of(attribute)
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (4, "attributes.total.aggregation")
    allowed = ", ".join(t for t in TYPES if t in MATRIX[aggregation])
    what = f"`{aggregation}` does not take type {value_type}, only {allowed}; {value_type} allows first, "
    assert problem.message.startswith(what)


# Definitions as JSON, the schema, and the default builder


def test_a_definition_survives_its_json_and_equal_definitions_have_equal_bytes():
    definition = parse_definition(CUSTOMERS)
    data = definition_json(definition)
    assert definition_of_json(data) == definition
    assert definition_json(definition_of_json(data)) == data
    assert data == msgspec.json.encode(msgspec.json.decode(data), order="sorted")


def test_a_value_of_a_when_keeps_its_kind_through_json():
    definition = parse_definition(f"{HEAD}anonymous: {{when: {{a: [1, 1.0, true, '1']}}}}")
    (condition,) = definition_of_json(definition_json(definition)).anonymous
    assert list(map(repr, condition.values)) == ["1", "DecimalNumber(decimal=Decimal('1.0'))", "True", "'1'"]


def test_json_that_is_no_definition_is_refused():
    with pytest.raises(msgspec.ValidationError):
        definition_of_json(b'{"name": "shop"}')


def test_the_schema_in_the_repository_is_the_generated_one():
    written = (BUILDERS / "builder.schema.json").read_text()
    assert written == json_schema_text(), (
        "regenerate it: python -m shared.core.grammar > builders/builder.schema.json"
    )


def test_the_schema_knows_the_matrix():
    conditions = json.loads(json_schema_text())["$defs"]["AttributeModel"]["allOf"]
    types = {
        one["if"]["properties"]["aggregation"]["const"]: set(one["then"]["properties"]["type"]["enum"])
        for one in conditions
        if "type" in one["then"]["properties"]
    }
    assert types == MATRIX


def test_the_default_builder_reads_the_sample_stream():
    definition = parse_definition(CUSTOMERS)
    assert definition.name == "customers"
    assert len(definition.attributes) >= 20
    read = identifier_reader(definition)
    lines = (BUILDERS / "customers/samples/events.jsonl").read_text().splitlines()
    assert 1500 < len(lines) < 2500
    assert all(len(line.encode()) <= 1100 for line in lines)
    for line in lines:
        identifiers, set_aside = read(json.loads(line))
        assert identifiers
        assert not set_aside


def test_the_sample_stream_is_what_its_generator_writes(capsys):
    runpy.run_path(str(BUILDERS / "customers/samples/generate.py"), run_name="__main__")
    assert capsys.readouterr().out == (BUILDERS / "customers/samples/events.jsonl").read_text()


def test_every_example_of_the_documentation_is_a_definition():
    page = (ROOT / "docs" / "builders.md").read_text()
    examples = [part.split("```")[0] for part in page.split("```yaml\n")[1:]]
    assert len(examples) >= 5
    for example in examples:
        name = "" if "name:" in example else "name: shop\n"
        identifiers = "" if "identifiers:" in example else "identifiers: {user_id: {from: userId}}\n"
        assert parse_definition(name + identifiers + example)


def test_the_documentation_names_every_key_and_every_default_of_the_block_list():
    page = (ROOT / "docs" / "builders.md").read_text().lower()
    schema = json.loads(json_schema_text())
    for model in (schema, *schema["$defs"].values()):
        for key in model["properties"]:
            assert f"`{key}`" in page or f"{key}:" in page, key
    for value in DEFAULT_BLOCK.exact:
        assert f"`{value}`" in page or value == ""
