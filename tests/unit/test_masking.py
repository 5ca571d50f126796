"""Values that must not be seen are not, however they are written."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.masking import MASKED_LENGTH_MIN, Mask

SECRETS = ["s3cret", 'quo"ted\\', "with space/and+more", "Ünïcode€", "line one\nline two"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("write", [str, repr, json.dumps, quote, quote_plus, lambda one: {"key": [one]}])
def test_a_secret_is_masked_in_every_way_of_writing_it(secret, write):
    assert secret not in Mask([secret])(f"a {write(secret)} b")
    assert Mask([secret])(f"a {write(secret)} b").count("***") == 1


def test_lines_of_a_secret_are_masked_one_by_one():
    mask = Mask(["-----BEGIN-----\nabcdefgh\n-----END-----\n"])
    assert [mask(line) for line in ("-----BEGIN-----", "abcdefgh", "other")] == ["***", "***", "other"]


def test_a_secret_within_another_leaves_nothing_of_the_longer():
    assert Mask(["abcd", "abcdefgh"])("abcdefgh abcd") == "*** ***"


def test_short_values_are_no_secrets():
    assert Mask(["1", "abc", ""])("abc 1") == "abc 1"


@given(st.lists(st.text(min_size=MASKED_LENGTH_MIN).filter(lambda one: "*" not in one)), st.text())
def test_no_value_is_left_in_any_text(values, text):
    for value in values:
        assert value not in Mask(values)(f"{text}{value}{text}").replace("***", "")
