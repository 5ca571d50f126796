"""docs/cli.md shows the help of every command, as it is."""

import pytest

from cli import reference
from tests.unit.test_cli_help import COMMANDS

PAGE = reference.PAGE.read_text()


@pytest.mark.parametrize("command", reference.commands(PAGE))
def test_help_is_what_the_page_shows(command):
    assert reference.help_of(command) in PAGE, "`.venv/bin/python -m cli.reference` writes docs/cli.md anew"


def test_every_command_is_on_the_page():
    assert sorted(reference.commands(PAGE)) == sorted(" ".join(["kith", *one]) for one in COMMANDS)


def test_a_page_that_is_right_stays_as_it_is():
    assert reference.renewed(PAGE) == PAGE
