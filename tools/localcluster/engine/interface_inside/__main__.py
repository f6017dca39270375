"""The last line printed is JSON."""

from __future__ import annotations

import json
import sys

import vllm

from .flags import flags
from .shapes import ShapeReader
from .variables import variables

if __name__ == "__main__":
    shapes = ShapeReader()
    table = {
        "version": vllm.__version__,
        "flags": flags(shapes),
        "shapes": dict(sorted(shapes.named.items())),
        "variables": sorted(variables()),
    }
    for doubt in shapes.doubts:
        print(doubt, file=sys.stderr)
    print(json.dumps(table))
