"""What the grammar of builder.yaml says of a mapping that is no definition."""

import pytest

from shared.core.grammar import DefinitionError, Problem, parse_definition

HEAD = "name: shop\nidentifiers: {user_id: {from: userId}}\n"


def problems_of(text):
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    return list(caught.value.problems)


def the_problem(text):
    """Return (line, path, message) of the only problem of a text."""
    (problem,) = problems_of(text)
    return problem.line, problem.path, problem.message


def the_attribute_problem(attribute):
    return the_problem(f"{HEAD}attributes:\n  total: {attribute}\n")


def test_all_problems_come_at_once_in_the_order_of_their_lines():
    text = """name: Shop
identifiers:
  user_id: {from: userId, knwon: true}
  email:
    from: [traits..email, 'items[0].id']
    normalize: mail
attributes:
  x: {from: a, type: string, aggregation: first_last}
  x_last: {from: a, type: strin, aggregation: summ}
retention: {known: forever}
colour: red
"""
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text, "shop.yaml")
    assert str(caught.value) == (
        "shop.yaml:1:1: name: must be 1 to 64 of a-z, 0-9 and _, the first a letter\n"
        "shop.yaml:3:27: identifiers.user_id.knwon: is not a key here (did you mean `known`?); "
        "allowed: from, normalize, known, limit, priority, block\n"
        "shop.yaml:5:12: identifiers.email.from.0: must be a dotted path without empty keys, "
        "such as `context.page.url`\n"
        "shop.yaml:5:27: identifiers.email.from.1: must be a plain dotted path: there are no wildcards or "
        "indexes (an array at the end of a path gives each of its elements to list and unique_list)\n"
        "shop.yaml:6:5: identifiers.email.normalize: must be one of none, lower, email, phone "
        "(did you mean `email`?)\n"
        "shop.yaml:9:3: attributes.x_last: presents `x_last`, which `x` presents already; "
        "rename one of them\n"
        "shop.yaml:9:21: attributes.x_last.type: must be one of string, number, boolean, datetime, ip "
        "(did you mean `string`?)\n"
        "shop.yaml:9:34: attributes.x_last.aggregation: must be one of first, last, first_last, list, "
        "unique_list, min, max, sum, count (did you mean `sum`?)\n"
        "shop.yaml:10:13: retention.known: must be a number of months from `1 month` to `120 months`\n"
        "shop.yaml:11:1: colour: is not a key here; allowed: name, identifiers, attributes, retention, "
        "block, anonymous, anonymous_profiles, env, fetch, warehouses, profile_function"
    )


@pytest.mark.parametrize(
    ("attribute", "path", "message"),
    [
        ("{}", "aggregation", "is required"),
        ("5", "", "must be a mapping (`key: value`)"),
        ("{from: a, aggregation: sum}", "aggregation", "`sum` needs a type: number"),
        ("{type: ip, aggregation: last}", "aggregation", "`last` needs `from`, the path of its values"),
        (
            "{aggregation: max}",
            "aggregation",
            "`max` needs a type: number, datetime and needs `from`, the path of its values",
        ),
        ("{from: a, type: ip, aggregation: list, keep: newest}", "keep", "is only for unique_list"),
        (
            "{from: a, type: ip, aggregation: unique_list, keep: oldest}",
            "keep",
            "must be one of earliest, newest",
        ),
        ("{from: [], aggregation: count}", "from", "must not be an empty list"),
        ("{from: 5, aggregation: count}", "from", "must be a dotted path, such as `context.page.url`"),
        ("{from: {a: b}, aggregation: count}", "from", "must be a dotted path, such as `context.page.url`"),
        (
            "{from: .a, aggregation: count}",
            "from",
            "must be a dotted path without empty keys, such as `context.page.url`",
        ),
        (f"{{from: {'.'.join('a' * 17)}, aggregation: count}}", "from", "must have at most 16 keys"),
        ("{aggregation: count, when: {}}", "when", "needs at least one entry"),
        ("{aggregation: count, when: {event: []}}", "when.event", "must not be an empty list"),
        (
            "{aggregation: count, when: {event: {a: b}}}",
            "when.event",
            "must be text, a number, true or false",
        ),
        (
            "{aggregation: count, when: {event: [[a]]}}",
            "when.event.0",
            "must be text, a number, true or false",
        ),
        (
            "{aggregation: count, when: {event: null}}",
            "when.event",
            "empty; give it a value, or remove the key",
        ),
        (
            "{aggregation: count, when: {event: 1e999}}",
            "when.event",
            "a number out of range; quote it if it is text",
        ),
        ("{aggregation: count, when: [event]}", "when", "must be a mapping (`key: value`)"),
    ],
)
def test_an_attribute_says_what_is_wrong_with_it(attribute, path, message):
    full_path = f"attributes.total.{path}" if path else "attributes.total"
    assert the_attribute_problem(attribute) == (4, full_path, message)


@pytest.mark.parametrize("path", ["items[0].id", "items.*.id", "'*'"])
def test_a_path_has_no_wildcards_and_says_so(path):
    assert "there are no wildcards" in the_attribute_problem(f'{{from: "{path}", aggregation: count}}')[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ('""', "must have at least 1 character"),
        ("x" * 256, "must have at most 255 characters"),
        (r'"a\0"', "must not contain control characters"),
        (r'"a\n"', "must not contain control characters"),
    ],
)
def test_an_attribute_name_says_what_is_wrong_with_it(name, message):
    text = f"{HEAD}attributes:\n  ? {name}\n  : {{aggregation: count}}\n"
    line, path, said = the_problem(text)
    assert (line, said) == (4, message)
    assert path.isprintable()


@pytest.mark.parametrize(
    ("identifier", "path", "message"),
    [
        ("{}", ".from", "is required"),
        ("", "", "empty; give it a value, or remove the key"),
        ("{from: a, limit: 0}", ".limit", "must be 1 or more"),
        ("{from: a, limit: 1.5}", ".limit", "must be a whole number"),
        ("{from: a, priority: high}", ".priority", "must be a whole number"),
        ("{from: a, known: yes}", ".known", "must be true or false"),
        (
            "{from: a, block: {defaults: false}}",
            ".block.defaults",
            "is not a key here; allowed: exact, regex",
        ),
        (
            "{from: a, block: [[a]]}",
            ".block.0",
            "must be text or a whole number; quote true, false and other numbers",
        ),
    ],
)
def test_an_identifier_says_what_is_wrong_with_it(identifier, path, message):
    text = f"name: shop\nidentifiers:\n  user_id: {identifier}\n"
    assert the_problem(text) == (3, f"identifiers.user_id{path}", message)


@pytest.mark.parametrize("name", ["User", "1st", "_id", "a-b", "a.b", "x" * 65, "é", '""'])
def test_an_identifier_name_is_plain(name):
    line, _, message = the_problem(f"name: shop\nidentifiers:\n  {name}: {{from: a}}\n")
    assert (line, message) == (3, "must be 1 to 64 of a-z, 0-9 and _, the first a letter")


@pytest.mark.parametrize(
    ("lines", "path", "message"),
    [
        (
            "retention: {known: 13}",
            "retention.known",
            "must be a number of months from `1 month` to `120 months`",
        ),
        (
            "retention: {other: 0 months}",
            "retention.other",
            "must be a number of months from `1 month` to `120 months`",
        ),
        (
            "retention: {other: 121 months}",
            "retention.other",
            "must be a number of months from `1 month` to `120 months`",
        ),
        (
            "retention: {others: 1 month}",
            "retention.others",
            "is not a key here (did you mean `other`?); allowed: known, other",
        ),
        (
            "block: {regex: ['(']}",
            "block.regex.0",
            "must be a regular expression of RE2: missing ): (",
        ),
        (
            r"block: {regex: ['(a)\1']}",
            "block.regex.0",
            "must be a regular expression of RE2: invalid escape sequence: \\1",
        ),
        (f"block: {{regex: [{'a' * 1001}]}}", "block.regex.0", "must have at most 1000 characters"),
        (f"block: {{regex: {['a'] * 101}}}", "block.regex", "must have at most 100 entries"),
        ("block: [true]", "block.0", "must be text or a whole number; quote true, false and other numbers"),
        ("block: nobody", "block", "must be a mapping (`key: value`)"),
        ("anonymous: true", "anonymous", "must be a mapping (`key: value`)"),
        ("anonymous: {}", "anonymous.when", "is required"),
        ("anonymous_profiles: no", "anonymous_profiles", "must be true or false"),
        ("env: {PORT: 80}", "env.PORT", "must be text; quote it if it looks like something else"),
        ("env: {1A: x}", "env.1A", "must be 1 to 128 letters, digits and _, the first no digit"),
        ("env: {A: {secret: a}}", "env.A.secret", "must be the name of a secret that begins with `kith/`"),
        (
            "env: {A: {secrt: a, secret: kith/a}}",
            "env.A.secrt",
            "is not a key here (did you mean `secret`?); allowed: secret, key",
        ),
        (
            "fetch: {timeout: 40 seconds}",
            "fetch.timeout",
            "must be a number of seconds from `1 second` to `30 seconds`",
        ),
        (
            "fetch: {allow: ['http://a']}",
            "fetch.allow.0",
            "must be a host's name, such as `api.example.com` or `*.example.com`",
        ),
        ("fetch: {max_bytes: 100000000}", "fetch.max_bytes", "must be 16777216 or less"),
        (
            "warehouses: {a: {url: {secret: kith/a, b: c}}}",
            "warehouses.a.url.b",
            "is not a key here; allowed: secret, key",
        ),
        (
            "warehouses: {a: {url: 'postgresql+pg8000://ann:s3cret@h/d'}}",
            "warehouses.a.url",
            "holds a password: keep the whole URL as a secret, `{secret: kith/...}`",
        ),
        ("fetch: [a]", "fetch", "must be a mapping (`key: value`)"),
        (
            "profile_function: {window: 1 year}",
            "profile_function.window",
            "must be a number of days from `7 days` to `365 days`",
        ),
        (
            "profile_function: {debounce: 30}",
            "profile_function.debounce",
            "must be a number of seconds from `0 seconds` to `900 seconds`",
        ),
        (
            "profile_function: {timeout: 2 minutes}",
            "profile_function.timeout",
            "must be a number of seconds from `1 second` to `60 seconds`",
        ),
        ("retention:", "retention", "empty; give it a value, or remove the key"),
    ],
)
def test_every_other_key_says_what_is_wrong_with_it(lines, path, message):
    assert the_problem(HEAD + lines) == (3, path, message)


def test_a_definition_needs_a_name_and_an_identifier():
    assert problems_of("attributes: {}") == [
        Problem(1, 1, "identifiers", "is required"),
        Problem(1, 1, "name", "is required"),
    ]
    assert the_problem("name: shop\nidentifiers: {}") == (2, "identifiers", "needs at least one entry")


@pytest.mark.parametrize("second", ["x_first", "x_last"])
def test_two_attributes_that_present_one_name_are_a_problem(second):
    both = "{from: a, type: string, aggregation: first_last}", "{from: b, type: ip, aggregation: last}"
    one_way = f"{HEAD}attributes:\n  x: {both[0]}\n  {second}: {both[1]}\n"
    other_way = f"{HEAD}attributes:\n  {second}: {both[1]}\n  x: {both[0]}\n"
    assert the_problem(one_way) == (
        5,
        f"attributes.{second}",
        f"presents `{second}`, which `x` presents already; rename one of them",
    )
    assert the_problem(other_way) == (
        5,
        "attributes.x",
        f"presents `{second}`, which `{second}` presents already; rename one of them",
    )


def test_an_attribute_may_have_the_plain_name_that_first_last_does_not_present():
    attributes = "{x: {from: a, type: ip, aggregation: first_last}, x_first_last: {aggregation: count}}"
    assert len(parse_definition(f"{HEAD}attributes: {attributes}").attributes) == 2
