"""A chart of a few lines with a schema and rules in the project's form, for tests of the tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vmn import __version__

SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "global": {"type": "object"},
        "engine": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "maxLength": {"type": ["integer", "null"], "minimum": 1, "description": "Tokens of a request."},
                "backend": {"enum": ["mp", "ray"], "description": "How ranks start."},
                "trust": {"type": "boolean", "description": "Run the model's own code."},
            },
        },
        "tensor": {"type": "integer", "minimum": 1, "description": "Tensor parallel size."},
        "gpus": {"type": "integer", "minimum": 1, "description": "GPUs in all."},
        "name": {"type": "string", "minLength": 1, "description": "The model."},
    },
}
VALUES = "engine: {maxLength: null, backend: mp, trust: false}\ntensor: 2\ngpus: 4\nname: tiny\n"
RULES = """{{- $problems := list }}
{{- if ne 0 (mod (int .Values.gpus) (int .Values.tensor)) }}
{{- $problems = append $problems
  (printf "tensor: does not divide %d GPUs (got %d). Use 1, 2 or 4." (int .Values.gpus) (int .Values.tensor)) }}
{{- end }}
{{- if eq .Values.name "bad" }}
{{- $problems = append $problems "name: is not a model (got \\"bad\\"). Set the model's name." }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\\nvllm-multinode: %d problem(s) in the values:\\n  - %s\\n"
  (len $problems) (join "\\n  - " $problems)) }}
{{- end }}
"""
MAP = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ required "release" .Release.Name }}}\ndata: {a: b}\n'


def write_chart(directory: Path) -> Path:
    """Write the chart and return its directory."""
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text(f"apiVersion: v2\nname: vllm-multinode\nversion: {__version__}\n")
    (directory / "values.yaml").write_text(VALUES)
    (directory / "values.schema.json").write_text(json.dumps(SCHEMA))
    (directory / "templates" / "validate.yaml").write_text(RULES)
    (directory / "templates" / "configmap.yaml").write_text(MAP)
    return directory
