"""Identifiers: what identifies, in which form, and what is set aside and why."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.definition import Block, Definition, IdentifierType
from shared.core.identity.identifiers import DEFAULT_BLOCK, Identifier, SetAside, identifier_reader

USER_ID = IdentifierType("user_id", (("userId",),))
COOKIE_ID = IdentifierType("cookie_id", (("anonymousId",), ("previousId",)))
EMAIL = IdentifierType("email", (("traits", "email"), ("context", "traits", "email")), normalize="email")
PHONE = IdentifierType("phone", (("traits", "phone"),), normalize="phone")


def a_reader(*types, block=DEFAULT_BLOCK):
    return identifier_reader(Definition("customers", types, (), block=block))


def read_one(value, normalize="none", block=DEFAULT_BLOCK, own_block=None):
    """Return the value an identifier gets, or the reason it is set aside for."""
    kind = IdentifierType("it", (("it",),), normalize=normalize, block=own_block or Block())
    identifiers, set_aside = a_reader(kind, block=block)({"it": value})
    if identifiers:
        assert not set_aside
        assert [one.type for one in identifiers] == ["it"]
        return identifiers[0].value
    return [one.reason for one in set_aside]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(json_values, st.sampled_from(["none", "lower", "email", "phone"]))
def test_no_value_whatever_raises_and_each_is_an_identifier_or_set_aside_or_absent(value, normalize):
    outcome = read_one(value, normalize)
    assert isinstance(outcome, str) or len(outcome) == (value is not None)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec=None)), st.sampled_from(["none", "lower", "email", "phone"]))
def test_a_normal_form_is_its_own_normal_form(text, normalize):
    outcome = read_one(text, normalize)
    if isinstance(outcome, str):
        assert outcome == outcome.strip()
        assert len(outcome.encode()) <= 1024
        assert read_one(outcome, normalize) == outcome


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["userId", "anonymousId", "traits", "context"]), json_values))
def test_no_body_whatever_raises_and_no_identifier_repeats(body):
    identifiers, _ = a_reader(USER_ID, COOKIE_ID, EMAIL)(body)
    assert len(set(identifiers)) == len(identifiers)


def test_every_value_found_on_the_paths_of_a_type_counts():
    body = {"anonymousId": "new", "previousId": "old"}
    assert a_reader(COOKIE_ID)(body)[0] == (Identifier("cookie_id", "new"), Identifier("cookie_id", "old"))


def test_identifiers_come_highest_priority_first_and_each_once():
    body = {
        "anonymousId": "c",
        "previousId": " c ",
        "context": {"traits": {"email": "A@example.com"}},
        "traits": {"email": "a@example.com"},
        "userId": "u",
    }
    assert a_reader(USER_ID, EMAIL, COOKIE_ID)(body)[0] == (
        Identifier("user_id", "u"),
        Identifier("email", "a@example.com"),
        Identifier("cookie_id", "c"),
    )


def test_one_value_under_two_types_is_two_identifiers():
    assert len(a_reader(USER_ID, COOKIE_ID)({"userId": "x", "anonymousId": "x"})[0]) == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"userId": None}, {"traits": None}, {"traits": "text"}, {"traits": [{"email": "a@b.example"}]}],
)
def test_absent_and_null_are_simply_not_there(body):
    assert a_reader(USER_ID, EMAIL)(body) == ((), ())


def test_what_is_set_aside_names_type_path_and_reason_and_leaves_the_rest():
    identifiers, set_aside = a_reader(USER_ID, EMAIL)({"userId": "u", "context": {"traits": {"email": "no"}}})
    assert identifiers == (Identifier("user_id", "u"),)
    assert set_aside == (SetAside("email", "context.traits.email", "not_an_email"),)


def test_text_is_trimmed_and_keeps_its_case_without_a_normaliser():
    assert read_one("  Ada\n") == "Ada"


@pytest.mark.parametrize(("value", "text"), [(42, "42"), (-7, "-7"), (10**30, "1" + 30 * "0")])
def test_integers_become_text(value, text):
    assert read_one(value) == text


def test_an_integer_and_its_text_are_one_identifier():
    assert a_reader(COOKIE_ID)({"anonymousId": 42, "previousId": "42"})[0] == (Identifier("cookie_id", "42"),)


@pytest.mark.parametrize(
    "value", [True, False, Decimal("1.5"), Decimal(42), 42.0, [], ["u"], {}, {"id": "u"}]
)
def test_anything_but_text_and_integers_is_set_aside(value):
    assert read_one(value) == ["wrong_type"]


def test_a_boolean_is_not_taken_for_the_integer_it_equals():
    read = a_reader(COOKIE_ID)
    assert read({"anonymousId": 1})[0] == (Identifier("cookie_id", "1"),)
    assert read({"anonymousId": True})[1] == (SetAside("cookie_id", "anonymousId", "wrong_type"),)


def test_values_up_to_one_kilobyte_identify_and_longer_ones_do_not():
    assert read_one("a" * 1024) == "a" * 1024
    assert read_one("a" * 1025) == ["too_long"]
    assert read_one("é" * 512) == "é" * 512
    assert read_one("é" * 513) == ["too_long"]
    assert read_one(" " * 5000 + "a") == "a"
    assert read_one(10**1022) == "1" + 1022 * "0"
    assert read_one(10**1024) == ["too_long"]
    assert read_one(10**100_000) == ["too_long"]


def test_the_length_counts_after_normalising():
    # The lower case of this letter is a byte longer than the letter.
    assert read_one("İ" * 400) == "İ" * 400
    assert read_one("İ" * 400, "lower") == ["too_long"]


def test_half_a_surrogate_pair_is_set_aside():
    assert read_one("u\ud800") == ["not_unicode"]


def test_lower_ignores_case():
    assert read_one(" ADA ", "lower") == "ada"


@pytest.mark.parametrize(
    ("given_email", "normal"),
    [
        (" Ada.Brook@Example.COM ", "ada.brook@example.com"),
        ("ada+shop@example.test", "ada+shop@example.test"),
        ("ada@localhost", "ada@localhost"),
        ("ada@mail.local", "ada@mail.local"),
        ("Übung@exämple.com", "übung@exämple.com"),
    ],
)
def test_email_is_lower_case_whole_and_checked_by_syntax_alone(given_email, normal):
    assert read_one(given_email, "email") == normal


@pytest.mark.parametrize(
    "text", ["ada", "ada@", "@example.com", "a b@example.com", "a@b..com", "a@b@c.com", "a@b\x00.c"]
)
def test_what_is_no_email_is_set_aside(text):
    assert read_one(text, "email") == ["not_an_email"]


@pytest.mark.parametrize(
    "text", ["+12025550134", "+1 (202) 555-0134", "001 202 555 0134", " +1-202-555-0134 "]
)
def test_phone_is_e164(text):
    assert read_one(text, "phone") == "+12025550134"


@pytest.mark.parametrize(
    "text", ["2025550134", "202 555 0134", "+1202555", "+1 202 555 0134 ext. 7", "phone"]
)
def test_a_phone_without_country_or_not_valid_or_with_an_extension_is_set_aside(text):
    assert read_one(text, "phone") == ["not_a_phone"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        0,
        -1,
        "0",
        "000",
        "-",
        "-1",
        "null",
        "NULL",
        " Undefined ",
        "none",
        "nan",
        "n/a",
        "unknown",
        "true",
        "False",
        "anonymous",
        "Guest",
        "[object Object]",
        "(not set)",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "{{user.id}}",
        "${userId}",
    ],
)
@pytest.mark.parametrize("normalize", ["none", "email", "phone"])
def test_what_a_tracker_sends_for_nobody_is_blocked_by_default(value, normalize):
    assert read_one(value, normalize) == ["blocked"]


@pytest.mark.parametrize("value", ["10", "u0", "0x1", "guest42", "annone", "-12"])
def test_the_default_list_blocks_whole_values_only(value):
    assert read_one(value) == value


def test_without_the_default_list_everything_identifies():
    assert read_one("null", block=Block()) == "null"


def test_a_builder_and_a_type_block_values_of_their_own_ignoring_case():
    assert read_one("SHOP", block=Block(exact=(" shop ",))) == ["blocked"]
    assert read_one("Test-12", own_block=Block(regex=("test-[0-9]+",))) == ["blocked"]
    assert read_one("my test-12", own_block=Block(regex=("test-[0-9]+",))) == "my test-12"


def test_the_block_of_a_type_is_for_that_type_alone():
    blocking = IdentifierType("user_id", (("userId",),), block=Block(exact=("x",)))
    identifiers, set_aside = a_reader(blocking, COOKIE_ID)({"userId": "x", "anonymousId": "x"})
    assert identifiers == (Identifier("cookie_id", "x"),)
    assert set_aside == (SetAside("user_id", "userId", "blocked"),)


def test_a_value_is_blocked_in_its_normal_form_as_well():
    assert read_one("+1 (202) 555-0134", "phone", own_block=Block(exact=("+12025550134",))) == ["blocked"]


def test_a_builder_without_emails_and_phones_never_pays_for_their_libraries():
    code = (
        "import sys; from shared.core.definition import Definition, IdentifierType as T;"
        "from shared.core.identity.identifiers import identifier_reader;"
        "identifier_reader(Definition('a', (T('u', (('u',),)),), ()))({'u': 'x'});"
        "print({'email_validator', 'phonenumbers', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    output = subprocess.run(command, check=True, capture_output=True, cwd=root)  # noqa: S603  # our own code
    assert output.stdout.decode().strip() == "set()"
