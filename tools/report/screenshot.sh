#!/usr/bin/env bash
# Pictures of a run's report for the README: `tools/report/screenshot.sh <run> <out-prefix> [height]` writes
# <out-prefix>-light.png and <out-prefix>-dark.png. Needs chromium (Debian's package; CHROMIUM names another one).
set -euo pipefail
run=${1:?run folder}
prefix=${2:?prefix of the pictures, such as docs/images/report}
height=${3:-1240}
page=$(realpath "$run/report.html")
largest_bytes=$((300 * 1024))

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

# Blink's numbers for the preferred colour scheme.
declare -A scheme=([dark]=0 [light]=1)
for theme in light dark; do
  picture="$prefix-$theme.png"
  rm -f "$picture"
  "${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$profile" \
    --blink-settings=preferredColorScheme="${scheme[$theme]}" --force-device-scale-factor=1 \
    --window-size="1120,$height" --screenshot="$picture" "file://$page" 2> "$profile/log" || true
  if [[ ! -s $picture ]]; then
    cat "$profile/log" >&2
    exit 1
  fi
  size_bytes=$(stat --format=%s "$picture")
  if ((size_bytes > largest_bytes)); then
    echo "$picture: $size_bytes bytes, more than $largest_bytes: give a smaller height" >&2
    exit 1
  fi
  echo "$picture: $size_bytes bytes"
done
