#!/usr/bin/env bash
# Runs rows of the comparison, each in a process of its own, into benches/record/rows/, and makes
# PERFORMANCE.md's tables and pictures from the records. Make all rows in one run: the check
# of the tables refuses rows of different machines, compilers or libraries. Of which commits they are,
# they only say.
#
#   benches/run.sh                         all of them: three quarters of an hour on a quiet
#                                          machine
#   benches/run.sh ROW...                  W1 to W12, L, O, S, B (the layout not taken), or
#                                          E (real handshakes)
#   benches/run.sh --quick [ROW...]        a first look, with fewer rounds and fewer entries: about
#                                          seven minutes; its records stay in the target folder
#   VALUE_BYTES=200 benches/run.sh         longer values, into benches/record/rows-200/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=()
if [[ ${1:-} == --quick ]]; then
    quick=(--quick)
    shift
fi
target=${CARGO_TARGET_DIR:-benches/target}
case ${VALUE_BYTES:-128} in
    128)
        features=() folder=benches/record
        rows=(W1 W2 W3 W4 W5 W6 W7 W8 W9 W10 W11 W12 L O S B E)
        ;;
    200)
        features=(--features value-200) folder=benches/record/rows-200
        rows=(W1 W2 W4 W5 W9)
        ;;
    *) echo "VALUE_BYTES is 128 or 200" >&2; exit 1 ;;
esac
((${#quick[@]})) && folder=$target/quick
to=$folder
[[ $folder == benches/record ]] && to=$folder/rows
(($#)) && rows=("$@")

mkdir -p "$to"
cargo build --locked --release --manifest-path benches/Cargo.toml --bins "${features[@]}"
for row in "${rows[@]}"; do
    if [[ $row == E ]]; then
        cargo build --locked --release -p halfshake-terminator
        "$target/release/end-to-end" --program "${CARGO_TARGET_DIR:-target}/release/halfshake" \
            "${quick[@]}" --record "$folder/end-to-end.json"
        continue
    fi
    "$target/release/compare" --rows "$row" "${quick[@]}" --record "$to/$row.json"
done
((${#quick[@]})) || "$target/release/report"
