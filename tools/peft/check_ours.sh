#!/bin/sh
# Whether real peft computes with our adapters what our engine does: trains some on the golden models, loads each with
# peft, and compares keys, hidden states, features and logits. Exit 0 if all agree.
#   tools/peft/check_ours.sh [python]      default: ~/venv-accrete/bin/python
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
npx tsx tools/peft/write_ours.ts "$out/adapters" >"$out/list"
"${1:-$HOME/venv-accrete/bin/python}" tools/peft/check_ours.py <"$out/list"
