"""A release's folder: `tables.json` and `objects/` as it wrote them, `means.json` as it read them itself."""

import json
from pathlib import Path

from tests.golden.made import as_json, builder, objects, tables
from tests.golden.read import from_json, meaning_of_object, meaning_of_tables

RELEASES = Path(__file__).parent / "releases"
_TABLES, _OBJECTS, _MEANS = "tables.json", "objects", "means.json"


def releases():
    """Return the folders of all releases, the oldest first."""
    return sorted(RELEASES.iterdir(), key=lambda one: [int(part) for part in one.name.split(".")])


def write(folder):
    """Write what this release writes, and what it means."""
    (folder / _OBJECTS).mkdir(parents=True, exist_ok=True)
    items = tables()
    held = {table: [as_json(one) for one in some] for table, some in items.items()}
    _dump(folder / _TABLES, held)
    for name, data in objects().items():
        (folder / _OBJECTS / name).write_bytes(data)
    _dump(folder / _MEANS, meaning(items, objects()))


def meaning(items, held):
    """Tell what tables and objects mean to this release."""
    return {
        "tables": meaning_of_tables(builder(), items),
        "objects": {name: meaning_of_object(name, data) for name, data in held.items()},
    }


def tables_of(folder):
    """Return the items that a release wrote: {table: [item, ...]}."""
    held = json.loads((folder / _TABLES).read_text())
    return {table: [from_json(one) for one in some] for table, some in held.items()}


def objects_of(folder):
    """Return the objects that a release wrote, by name."""
    return {path.name: path.read_bytes() for path in (folder / _OBJECTS).iterdir()}


def meaning_of(folder):
    """Return what a release said that its tables and objects mean."""
    return json.loads((folder / _MEANS).read_text())


def _dump(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
