#!/usr/bin/env bash
# Runs every row of the comparison, each in a process of its own, into benches/record/rows/, and
# makes PERFORMANCE.md's tables and pictures from the records.
#
#   benches/run.sh [--quick] [ROW...]      W1 to W12, L, O, S, and E (real handshakes); all by default
#
# --quick is for a first look, with fewer rounds and fewer entries: about seven minutes on a quiet
# machine, two of them for E. Without it, up to two hours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=()
if [[ ${1:-} == --quick ]]; then
    quick=(--quick)
    shift
fi
rows=("$@")
if ((${#rows[@]} == 0)); then
    rows=(W1 W2 W3 W4 W5 W6 W7 W8 W9 W10 W11 W12 L O S E)
fi
# VALUE_BYTES=200 for longer values; their records lie beside the others.
case ${VALUE_BYTES:-128} in
    128) features=() folder=benches/record/rows ;;
    200) features=(--features value-200) folder=benches/record/rows-200 ;;
    *) echo "VALUE_BYTES is 128 or 200" >&2; exit 1 ;;
esac

mkdir -p "$folder"
cargo build --locked --release --manifest-path benches/Cargo.toml --bins "${features[@]}"
target=${CARGO_TARGET_DIR:-benches/target}
for row in "${rows[@]}"; do
    if [[ $row == E ]]; then
        cargo build --locked --release -p halfshake-terminator
        "$target/release/end-to-end" --program "${CARGO_TARGET_DIR:-target}/release/halfshake" \
            "${quick[@]}" --record benches/record/end-to-end.json
        continue
    fi
    "$target/release/compare" --rows "$row" "${quick[@]}" --record "$folder/$row.json"
done
"$target/release/report"
