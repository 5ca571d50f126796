import json
import os
import re
from pathlib import Path

from shared import contract
from tests.infra.conftest import masked

README = Path(__file__).parents[2] / "README.md"
SNAPSHOT = Path(__file__).parent / "snapshot.json"


def test_the_stack_tells_others_where_things_are(dev):
    outputs = {value for name, value in vars(contract).items() if name.startswith("OUTPUT_")}
    assert outputs <= set(dev.template["Outputs"])


def test_the_readme_names_each_output(dev):
    [table] = re.findall(r"\| output \| is \|\n\|---\|---\|\n((?:\|.*\n)+)", README.read_text())
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(dev.template["Outputs"])


def test_the_template_is_the_one_that_was_reviewed(dev):
    """`make snapshot` accepts the template as it is; the difference then shows in review."""
    template = masked(dev.template)
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(template, indent=1, sort_keys=True) + "\n")
    assert template == json.loads(SNAPSHOT.read_text())
