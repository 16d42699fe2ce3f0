#!/usr/bin/env bash
# Fuzzes for as long as it is given, and keeps what comes of it. A second call goes on where the
# first one ended: inputs and totals add up.
#
#   fuzz/campaign.sh [--hours H] [--targets NAME,NAME...] [--jobs N] [--round SECONDS]
#                    [--sanitizer address|none] [--no-coverage] [--fuzz-only | --report-only]
#
# Targets take turns, --jobs of them at once (1), for --round seconds each (120). One that crashes
# is started again; its input is made smaller and goes to fuzz/regressions/, which `cargo test`
# runs. At the end (also after Ctrl-C) the inputs are merged, a minimal set of them goes to
# fuzz/corpus/, coverage is measured (html under the target folder), and fuzz/REPORT.md is written
# from fuzz/record/. Status 1: something was found, a target ran nothing, or what keeps a finding
# failed (a full disk, say).
#
# --fuzz-only leaves out what is done at the end, --report-only does nothing else. Inputs lie in
# `campaign/` of the target folder; what git has of them is enough to go on with another machine.
# shellcheck source=ci/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../ci/common.sh"

hours=1 targets='' jobs=1 round=120 sanitizer=address with_coverage=1 fuzzes=1 reports=1
while (($#)); do
    case $1 in
        --hours) hours=${2:?} && shift ;;
        --targets) targets=${2//,/ } && shift ;;
        --jobs) jobs=${2:?} && shift ;;
        --round) round=${2:?} && shift ;;
        --sanitizer) sanitizer=${2:?} && shift ;;
        --no-coverage) with_coverage=0 ;;
        --fuzz-only) reports=0 ;;
        --report-only) fuzzes=0 ;;
        *) fail "what is $1?" ;;
    esac
    shift
done

need cargo-fuzz c++ git
need_nightly
all=$(cargo fuzz list)
targets=${targets:-$all}
for target in $targets; do
    grep -qx "$target" <<<"$all" || fail "there is no target $target"
done

state=$target_root/campaign
record=fuzz/record/campaign.tsv
coverage_record=fuzz/record/coverage.tsv
# What git keeps: so much for each target.
most_kept=$((256 * 1024))
# How libFuzzer ends when it is asked to.
interrupted=72
commit=$(git rev-parse --short HEAD)
triple=$(rustc -vV | sed -n 's/^host: //p')
binaries=$target_root/fuzz-$sanitizer/$triple/release
mkdir -p "$state" fuzz/record
columns=(date commit target sanitizer seconds executions edges inputs found how)
[[ -s $record ]] || (IFS=$'\t' && echo "${columns[*]}") >"$record"

build() {
    echo "building ($sanitizer)"
    cargo +nightly fuzz build --sanitizer "$sanitizer" --target-dir "$target_root/fuzz-$sanitizer"
}

# flags TARGET: what it is run with. Scripts that find something are not the shortest ones.
flags() {
    [[ -f fuzz/dictionaries/$1 ]] && echo "-dict=fuzz/dictionaries/$1"
    case $1 in
        client_hello) echo -len_control=0 -max_len=300 ;;
        get_callback) echo -len_control=0 -max_len=400 ;;
        operations) echo -len_control=0 -max_len=600 ;;
        # Threads leave to the next input what they have retired: each input would be looked through
        # for leaks. The sanitizer still does so at the end of the process.
        operations_threads) echo -len_control=0 -max_len=64 -detect_leaks=0 ;;
        openssl_session | session_record) echo -max_len=320 ;;
        *) echo -max_len=1024 ;;
    esac
}

# folders TARGET: where inputs lie, the one that grows first. Not those that failed once: if they
# still do, no other would be tried.
folders() {
    local folder
    mkdir -p "$state/$1/inputs"
    echo "$state/$1/inputs"
    for folder in corpus seeds; do
        [[ -d fuzz/$folder/$1 ]] && echo "fuzz/$folder/$1"
    done
    return 0
}

# last_of PATTERN FILE: the number behind the last match.
last_of() {
    grep -aoE "$1[0-9]+" "$2" 2>/dev/null | tail -n 1 | grep -oE '[0-9]+$' || echo 0
}

count() {
    find "$1" -type f 2>/dev/null | wc -l
}

# fuzz_once TARGET SECONDS: one process, until its time is over or it finds something. Sets what
# for_seconds has: `fuzzer`, and whether something was `found`.
fuzz_once() {
    local target=$1 log=$state/$1/log begun=$SECONDS status=0 executions
    local -a with into
    mapfile -t with < <(flags "$target" | tr ' ' '\n')
    mapfile -t into < <(folders "$target")
    mkdir -p "$state/$target/found"
    "$binaries/$target" "${into[@]}" "${with[@]}" -max_total_time="$2" -timeout=20 \
        -rss_limit_mb=4096 -print_final_stats=1 -reload=0 \
        -artifact_prefix="$state/$target/found/" >"$log" 2>&1 &
    fuzzer=$!
    wait "$fuzzer" || status=$?
    # A signal ends the wait before it ends the process.
    while kill -0 "$fuzzer" 2>/dev/null; do
        status=0
        wait "$fuzzer" || status=$?
    done
    executions=$(executions_of "$log")
    # One that ends at once by a signal has no statistics.
    ((executions > 0)) || executions=$(last_of '^#' "$log")
    found=0
    ((status == 0 || status == interrupted)) || found=1
    # First: whatever becomes of its input, a finding is in the record.
    take_down "$target" $((SECONDS - begun)) "$executions" "$(last_of 'cov: ' "$log")" "$found" \
        fuzzed
    if ((found)); then
        settle "$target" "$log"
    fi
}

# executions_of LOG: as libFuzzer has counted them.
executions_of() {
    last_of 'stat::number_of_executed_units: *' "$1"
}

# take_down TARGET SECONDS EXECUTIONS EDGES FOUND HOW: a line of the record, in one write: several
# may end at once. HOW: fuzzed, or replayed (inputs that failed once, which are no fuzzing).
take_down() {
    printf '%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n' "$(date -u +%FT%TZ)" "$commit" "$1" \
        "$sanitizer" "$2" "$3" "$4" "$(count "$state/$1/inputs")" "$5" "$6" >>"$record"
}

# said LOG: what was found: where, and the words without their numbers. All that a judge refuses
# panics in one place.
said() {
    sed -nE '/panicked at |SUMMARY: /{s/.*(panicked at [^ ]+|SUMMARY: .*).*/\1/;$!N;p;q}' "$1" |
        tr '\n' ' ' | sed -E 's/[0-9]+/N/g' | cut -c 1-200
}

# settle TARGET LOG: makes what was found smaller, and keeps it, unless its like is kept already
# from this very commit: what comes again after it was mended is another finding.
settle() {
    local target=$1 artifact where small known=$state/$1/known-$commit
    artifact=$(grep -aoE 'Test unit written to .*' "$2" | tail -n 1 | cut -d ' ' -f 5) || true
    where=$(said "$2")
    echo "FOUND in $target: ${where:-see $2}"
    cp "$2" "$state/$target/log-$(date -u +%H%M%S)"
    [[ -n $artifact && -f $artifact ]] || return 0
    touch "$known"
    ! grep -qxF "$where" "$known" || return 0
    small=$state/$target/small
    rm -f "$small"
    "$binaries/$target" -minimize_crash=1 -max_total_time=60 -timeout=20 \
        -exact_artifact_path="$small" "$artifact" >"$state/$target/log-small" 2>&1 || true
    [[ -s $small ]] || cp "$artifact" "$small"
    mkdir -p "fuzz/regressions/$target"
    cp "$small" "fuzz/regressions/$target/$(sha1sum "$small" | cut -c 1-16)"
    echo "$where" >>"$known"
}

# replay: every input that failed once, again; one that still fails is a finding. It may take
# threads that meet, or sessions that share a set, so each is played often.
replay() {
    local target input status found begun
    for target in $targets; do
        for input in "fuzz/regressions/$target"/*; do
            [[ -f $input ]] || continue
            status=0 begun=$SECONDS
            "$binaries/$target" -runs=1000 -timeout=20 -print_final_stats=1 "$input" \
                >"$state/log-replay" 2>&1 || status=$?
            found=$((status != 0))
            take_down "$target" $((SECONDS - begun)) "$(executions_of "$state/log-replay")" 0 \
                "$found" replayed
            ((!found)) || echo "FOUND in $target, as before: $input: $(said "$state/log-replay")"
        done
    done
}

# say TARGET...: how those stand that run.
say() {
    local target log
    for target in "$@"; do
        log=$state/$target/log
        printf '%s  %-20s %6s s left  %s\n' "$(date +%T)" "$target" $((deadline - SECONDS)) \
            "$(grep -aE '^#[0-9]+' "$log" 2>/dev/null | tail -n 1 | tr '\t' ' ')"
    done
}

# Fuzzes until the time is over. Sets how many `failures` there were of what runs the fuzzers.
campaign() {
    local -a queue running
    local target slice left pid seconds=0
    mapfile -t queue < <(tr ' ' '\n' <<<"$targets")
    local -a pids=()
    trap 'stopped=1; kill "${pids[@]}" 2>/dev/null || true' INT TERM
    while ((SECONDS < deadline && !stopped)); do
        running=()
        pids=()
        left=$((deadline - SECONDS))
        slice=$((left < round ? left : round))
        for target in "${queue[@]:0:jobs}"; do
            for_seconds "$target" "$slice" &
            pids+=($!)
            running+=("$target")
        done
        queue=("${queue[@]:jobs}" "${running[@]}")
        while kill -0 "${pids[@]}" 2>/dev/null; do
            # Ctrl-C ends it, too, and that is no failure of ours.
            sleep 1 || true
            ((++seconds % 10)) || say "${running[@]}"
        done
        for pid in "${pids[@]}"; do
            # Ctrl-C may come before the trap of one that has just begun.
            wait "$pid" || ((stopped && $? > 128)) || failures=$((failures + 1))
        done
        say "${running[@]}"
    done
    trap - INT TERM
}

# for_seconds TARGET SECONDS: starts it again for as long as it has time.
for_seconds() {
    local over=$((SECONDS + $2)) fuzzer='' found=0 times=0
    trap 'over=0; kill "$fuzzer" 2>/dev/null || true' INT TERM
    while ((SECONDS < over)); do
        fuzz_once "$1" $((over - SECONDS))
        # What fails on an input that is kept fails at once, each time.
        ((!found || ++times < 5)) || over=0
    done
}

# Merges what was found into as few inputs, and keeps a set with all edges in git.
minimise() {
    local target merged kept
    local -a into
    for target in $targets; do
        mapfile -t into < <(folders "$target")
        merged=$state/$target/merged kept=$state/$target/kept
        rm -rf "$merged" "$kept"
        mkdir -p "$merged" "$kept"
        "$binaries/$target" -merge=1 -timeout=20 "$merged" "${into[@]}" \
            >"$state/$target/log-merge" 2>&1 || fail "$target: see $state/$target/log-merge"
        "$binaries/$target" -set_cover_merge=1 -use_counters=0 -timeout=20 "$kept" "$merged" \
            >"$state/$target/log-cover" 2>&1 || fail "$target: see $state/$target/log-cover"
        bound "$kept"
        rm -rf "$state/$target/inputs" "fuzz/corpus/$target"
        mv "$merged" "$state/$target/inputs"
        mkdir -p "fuzz/corpus/$target"
        cp "$kept"/* "fuzz/corpus/$target/"
        printf '%-20s %6d inputs, of which git keeps %d\n' "$target" \
            "$(count "$state/$target/inputs")" "$(count "$kept")"
    done
}

# bound FOLDER: takes the largest away until the rest is small enough.
bound() {
    local file size sum
    sum=$(find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
    while read -r size file; do
        ((sum > most_kept)) || break
        rm "$file"
        sum=$((sum - size))
    done < <(find "$1" -type f -printf '%s %p\n' | sort -rn)
}

# Lines and functions of the library that the kept inputs reach; a line for each target.
measure_coverage() {
    local target line
    [[ -s $coverage_record ]] || printf 'target\tlines\tof\tfunctions\tof\n' >"$coverage_record"
    for target in $targets; do
        line=$(ci/fuzz-coverage "$target" "$state/coverage/$target" | tail -n 1)
        grep -v "^$target	" "$coverage_record" >"$state/coverage-record" || true
        { cat "$state/coverage-record"; echo "$line"; } >"$coverage_record"
        echo "coverage: $line (target, lines, of, functions, of); html in" \
            "$state/coverage/$target/html"
    done
}

[[ $fuzzes == 0 && -x $binaries/${targets%% *} ]] || build
began=0 failures=0
if ((fuzzes)); then
    began=$(date -u +%FT%TZ)
    replay
    deadline=$((SECONDS + $(awk -v hours="$hours" 'BEGIN { printf "%d", hours * 3600 }')))
    stopped=0
    campaign
fi
if ((reports)); then
    minimise
    ((!with_coverage)) || measure_coverage
fi
fuzz/report "$record" "$coverage_record" >fuzz/REPORT.md
((failures == 0)) || fail "$failures times a finding was not kept, or its fuzzer not run: see above"
fuzz/report --evidence "$began" "$targets" "$record" "$coverage_record"
