#!/bin/sh
# Whether transformers, peft and llama.cpp's Python package answer 200 texts of CLINC150 as the stores do that were exported for
# them. Needs ../shared. Exit 0 if all agree.
#   tools/export/check.sh [decoder] [python]     default: ../shared/models/stories260k, ~/venv-accrete/bin/python
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
npx tsx tools/export/write.ts "$out" "${1:-../shared/models/stories260k}"
"${2:-$HOME/venv-accrete/bin/python}" tools/export/check.py "$out"
