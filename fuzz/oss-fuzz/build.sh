#!/bin/bash -eu
# Builds every fuzz target into $OUT, each with its corpus, dictionary and options, as OSS-Fuzz
# wants it. `fuzz/oss-fuzz/check` runs it without OSS-Fuzz.
cd "$SRC/halfshake"

# Linked into the targets: see Dockerfile.
OPENSSL_LIB_DIR=$(pkg-config --variable=libdir openssl)
OPENSSL_INCLUDE_DIR=$(pkg-config --variable=includedir openssl)
export OPENSSL_STATIC=1 OPENSSL_LIB_DIR OPENSSL_INCLUDE_DIR

cargo +nightly fuzz build --release --debug-assertions
built=${CARGO_TARGET_DIR:-fuzz/target}/x86_64-unknown-linux-gnu/release
for target in $(cargo fuzz list); do
    cp "$built/$target" "$OUT/"
    inputs=()
    for folder in corpus regressions seeds; do
        [[ -d fuzz/$folder/$target ]] && inputs+=("fuzz/$folder/$target")
    done
    rm -f "$OUT/${target}_seed_corpus.zip"
    zip --quiet --recurse-paths "$OUT/${target}_seed_corpus.zip" "${inputs[@]}"
    if [[ -f fuzz/dictionaries/$target ]]; then
        cp "fuzz/dictionaries/$target" "$OUT/$target.dict"
    fi
    printf '[libfuzzer]\nmax_len = %d\ntimeout = 20\n' 1024 >"$OUT/$target.options"
done
