"""What the documentation tells somebody to type, outside of its sessions, is what the programs take."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import typer
from botocore import xform_name
from botocore.session import get_session

from cli.main import app
from tests.docs.console import PAGES, ROOT
from tests.docs.mentions import mentioned

COMMANDS = sorted({tuple(command) for page in PAGES for command in mentioned(page) if len(command) > 1})
MAKEFILE = (ROOT / "Makefile").read_text()
OF_AWS = {"--query", "--output"}
"""What any command of `aws` takes."""


def told(program):
    """Everything that a program is told, as words."""
    return [pytest.param(one[1:], id=" ".join(one)) for one in COMMANDS if one[0] == program]


def options(words):
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def test_commands_are_found_in_text_and_tables_and_blocks():
    assert {command[0] for command in COMMANDS} == {"kith", "make", "python", "aws"}


@pytest.mark.parametrize("words", told("kith"))
def test_the_command_line_has_the_command_and_its_options(words):
    command = typer.main.get_command(app)
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    assert words[0] == "..." or not hasattr(command, "commands")
    known = {name for parameter in command.params for name in parameter.opts} | {"--stage"}
    assert options(words) <= known


@pytest.mark.parametrize("words", told("make"))
def test_make_has_the_target_and_its_variables(words):
    target, *variables = words
    assert f"\n{target}: " in MAKEFILE
    assert all(f"$({one.partition('=')[0]})" in MAKEFILE for one in variables)


@pytest.mark.parametrize("words", told("python"))
def test_python_finds_the_module_and_that_its_options(words):
    assert words[0] == "-m"
    _, module, *arguments = words
    assert find_spec(module) is not None
    assert all((ROOT / one).exists() for one in arguments if "/" in one)
    if options(arguments):
        asked = [sys.executable, "-m", module, "--help"]
        ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - ours
        assert options(arguments) <= {*ran.stdout.replace("=", " ").split()}


@pytest.mark.parametrize("words", told("aws"))
def test_aws_knows_the_operation_and_its_parameters(words):
    service = get_session().get_service_model(words[0])
    operations = {xform_name(name, "-"): name for name in service.operation_names}
    members = service.operation_model(operations[words[1]]).input_shape.members
    assert options(words) - OF_AWS <= {f"--{xform_name(name, '-')}" for name in members}
