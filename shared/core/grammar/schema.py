"""The JSON Schema of `builder.yaml`, by which editors complete and check it."""

import json
from typing import Any

from shared.core.aggregations.registry import AGGREGATIONS
from shared.core.grammar.models import COUNT, UNIQUE_LIST, BuilderModel, allowed_types


def json_schema() -> dict[str, Any]:
    """Return the schema, generated from the types that validate."""
    schema: dict[str, Any] = _as_validated(BuilderModel.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Kith builder"
    schema["$defs"]["AttributeModel"]["allOf"] = [_suits(name) for name in AGGREGATIONS]
    return schema


def json_schema_text() -> str:
    """Return the schema as the file `builders/builder.schema.json` holds it."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _suits(aggregation: str) -> dict[str, Any]:
    """Say what an attribute needs, and may not have, if it has this aggregation."""
    then: dict[str, Any] = {"properties": {}}
    if aggregation != COUNT:
        then["required"] = ["type", "from"]
        then["properties"]["type"] = {"enum": allowed_types(aggregation)}
    if aggregation != UNIQUE_LIST:
        then["properties"]["keep"] = False
    condition = {"properties": {"aggregation": {"const": aggregation}}, "required": ["aggregation"]}
    return {"if": condition, "then": then}


def _as_validated(schema: Any) -> Any:
    """Say two things as strictly as validation does: no key may be null, none may break its pattern."""
    if isinstance(schema, list):
        return [_as_validated(one) for one in schema if one != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _as_validated(value) for key, value in schema.items() if (key, value) != ("default", None)}
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    alternatives = kept.get("anyOf", ())
    if len(alternatives) == 1:
        kept |= kept.pop("anyOf")[0]
    return kept
