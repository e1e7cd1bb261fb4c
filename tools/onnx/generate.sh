#!/usr/bin/env bash
# Regenerates src/onnx/generated/onnx_pb.ts from ONNX's own onnx.proto (Apache-2.0), taken from its Python
# package. Usage: tools/onnx/generate.sh <path to onnx.proto, e.g. $VENV/lib/python3.11/site-packages/onnx/onnx.proto>
set -euo pipefail
proto=${1:?path to onnx.proto}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$proto" "$work/onnx.proto"
cd "$work"
npm init -y >/dev/null
npm install --silent @bufbuild/protoc-gen-es@2.17.0 @bufbuild/buf@1.75.0
cat > buf.gen.yaml <<'YAML'
version: v2
plugins:
  - local: protoc-gen-es
    out: gen
    opt: target=ts
inputs:
  - directory: .
YAML
PATH="$work/node_modules/.bin:$PATH" buf generate
cp gen/onnx_pb.ts "$root/src/onnx/generated/onnx_pb.ts"
