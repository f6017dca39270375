#!/bin/bash
# transformers 5.19.0: `import transformers` reads the source of 1,592 files of models, 34 MB, in each process.
#
# Guess: the import is lazy, so it loads a few modules and reads nothing of a model before it is used.
# Seen: it loads no module of a model, and yet opens 1,592 of the 2,417 files below transformers/models as text, to learn
#   which classes each of them exports. Nothing keeps that: the next process reads all of them again. It takes about a
#   second of a slow core, most of the import.
# For users: each process that imports vLLM imports transformers, before the first line of its log. Where an image is
#   pulled lazily (eStargz, SOCI, image streaming) or lies on a network file system, these are 1,592 files to fetch, whatever
#   model is served.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
bin=$folder/env/bin
"$bin/pip" install --quiet --disable-pip-version-check transformers==5.19.0

cat >"$folder/count.py" <<'END'
import os
import sys
import time

opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
begun = time.process_time()
import transformers

seconds = time.process_time() - begun
models = os.path.join(os.path.dirname(transformers.__file__), "models", "")
sources = {name for name in opened if name.startswith(models) and name.endswith(".py")}
loaded = {name for name in opened if name.startswith(models) and name.endswith(".pyc")}
size = sum(map(os.path.getsize, sources)) / 1e6
print(f"{len(sources)} sources of models opened, {size:.1f} MB; {len(loaded)} compiled modules; {seconds:.1f} s")
sys.exit((len(sources), len(loaded)) != (1592, 0))
END
for process in first second; do
  "$bin/python" "$folder/count.py" 2>/dev/null || { echo "changed in the $process process" >&2; exit 1; }
done
echo "as recorded"
