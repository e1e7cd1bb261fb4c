#!/usr/bin/env bash
# Makes src/data/encoding/tokenizers.wasm; README.md says what is needed. Arguments go to cargo.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
export CC_wasm32_unknown_unknown=${CC:-clang} AR_wasm32_unknown_unknown=${AR:-llvm-ar}
export CFLAGS_wasm32_unknown_unknown="-D__wasi__ -isystem ${WASI_INCLUDE:-/usr/include/wasm32-wasi} -include $PWD/src/extern.h -O2"
cargo build --release --locked --target wasm32-unknown-unknown "$@"
cp "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/accrete_tokenizers.wasm" ../../src/data/encoding/tokenizers.wasm
ls -l ../../src/data/encoding/tokenizers.wasm
