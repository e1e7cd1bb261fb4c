#!/usr/bin/env bash
# Checks who imports whom. dependency-cruiser reads JavaScript only (TypeScript 7 has no API for it), so the
# sources are compiled to a folder that goes away again; --noCheck, for `npm run check` has checked the types.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$root/node_modules/.bin/tsc" -p "$root/tsconfig.build.json" --outDir "$work/src" --declaration false --noCheck
cd "$work"
"$root/node_modules/.bin/depcruise" --config "$root/.dependency-cruiser.cjs" src
