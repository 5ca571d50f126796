"""The grammar of `builder.yaml`: text in, a `Definition` out, or everything that is wrong with it.

It stands on pydantic and PyYAML, so nothing on the live path imports it: that reads frozen definitions, by
`definition_of_json`. `python -m shared.core.grammar > builders/builder.schema.json` writes the JSON Schema.
"""

from shared.core.grammar.parse import parse_definition
from shared.core.grammar.problems import DefinitionError, Problem
from shared.core.grammar.schema import json_schema, json_schema_text

__all__ = ["DefinitionError", "Problem", "json_schema", "json_schema_text", "parse_definition"]
