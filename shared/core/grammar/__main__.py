"""Write the JSON Schema of `builder.yaml` to standard output."""

import sys

from shared.core.grammar.schema import json_schema_text

sys.stdout.write(json_schema_text())
