#!/usr/bin/env bash
# Installs the package as its users do, from the tarball that `npm publish` would send, into an empty folder with
# an empty cache, and runs it there: the command, the demo, and the library with its types. Needs the registry only.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
consumer="$root/tools/package/consumer"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
unset DEBUG

step() { printf 'package: %s\n' "$*"; }
fail() { printf 'package: FAILED: %s\n' "$*" >&2; exit 1; }

# npm passes its own settings on to what it runs; a user's shell has none of them.
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -i '^npm_' | grep -viE '^npm_config_registry$' || true)
export npm_config_cache="$work/npm-cache" npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false

step "packing"
npm --prefix "$root" run --silent build
(cd "$root" && npm pack --silent --ignore-scripts --json --pack-destination "$work" > "$work/pack.json")
tarball="$work/$(node -p 'JSON.parse(fs.readFileSync(process.argv[1], "utf8"))[0].filename' "$work/pack.json")"
backbone=models/accrete-mini/model.safetensors
[ -f "$root/$backbone" ] && maybe="" || maybe="$backbone models/accrete-mini/config.json"
"$root/node_modules/.bin/tsx" "$root/tools/package/contents.ts" "$work/pack.json" $maybe || fail "the tarball does not hold what it should"

# The README's two lines, by npm 10 and 11, and `npm ci` after them; npm has to find nothing to warn of.
for version in 10 11; do
  step "installing it into an empty folder with npm $version"
  rm -rf "$work/app"
  mkdir "$work/app"
  cd "$work/app"
  echo "ignore-scripts=true" >> .npmrc
  npx --yes "npm@$version" install "$tarball" > "$work/install.log" 2>&1 || fail "$(cat "$work/install.log")"
  rm -rf node_modules
  npx --yes "npm@$version" ci >> "$work/install.log" 2>&1 || fail "$(cat "$work/install.log")"
  ! grep -i "warn" "$work/install.log" || fail "npm $version warns"
done

step "accrete doctor"
npx --no-install accrete doctor
[ "$(npx --no-install accrete --version)" = "$(node -p 'require(process.argv[1]).version' "$root/package.json")" ] ||
  fail "accrete --version is not the package's"

step "importing it, types checked"
cp "$consumer/tsconfig.json" "$consumer/use.mts" .
"$root/node_modules/.bin/tsc" -p tsconfig.json --typeRoots "$root/node_modules/@types"
node build/use.mjs

if [ -f "$root/$backbone" ]; then
  step "accrete demo"
  npx --no-install accrete demo --quiet
  [ -s runs/demo/report.html ] || fail "the demo left no runs/demo/report.html"
  npx --no-install accrete predict runs/demo "book me a flight to Lisbon" | grep -q . || fail "predict says nothing"
else
  step "NO DEMO: $backbone is not there"
  # Until then only that the demo finds its own files and says what is missing.
  ! npx --no-install accrete demo 2> demo.err || fail "the demo ran without a backbone"
  grep -Eq 'models/accrete-mini: (no weights|config.json is missing)' demo.err || fail "$(cat demo.err)"
fi
step "ok"
