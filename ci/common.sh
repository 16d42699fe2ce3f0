# shellcheck shell=bash disable=SC2034
# Sourced by the scripts of this folder: where things are, and how a check says what it could
# not do.
set -euo pipefail

# A target folder given from outside is meant relative to where the script was called.
given_target=${CARGO_TARGET_DIR:+$(realpath -m "$CARGO_TARGET_DIR")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target_root=${given_target:-$PWD/target}

# One target folder for all checks with ordinary flags, so that none compiles what another has.
# Nothing here is compiled twice from the same folder: incremental state would only cost space.
export CARGO_TARGET_DIR=$target_root
export CARGO_INCREMENTAL=0
# Nobody looks for a line but in what a sanitizer says (and cargo-fuzz keeps them by itself).
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

# Workspaces of their own, beside the one at the root.
small_workspaces=(benches loom-tests shuttle-tests fuzz soak mutants)

# Where ci/install unpacks Debian's compiler with the libraries of another platform.
foreign_rust=${XDG_CACHE_HOME:-$HOME/.cache}/halfshake-ci/rust-aarch64
foreign_target=aarch64-unknown-linux-gnu

fail() {
    echo "ci/${0##*/}: $*" >&2
    exit 1
}

# Says aloud that something was not checked. ci/test repeats it at its end.
not_checked() {
    echo "NOT CHECKED: $*" >&2
    if [[ -n ${HALFSHAKE_NOT_CHECKED:-} ]]; then
        echo "$*" >>"$HALFSHAKE_NOT_CHECKED"
    fi
}

# A missing tool is an error, never a skipped check.
need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is missing: ci/install (or --by-hand)"
    done
}

need_nightly() {
    RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1 ||
        fail "a nightly toolchain is missing: rustup toolchain install nightly"
}

# What a sanitizer finds has a line.
use_lines() {
    export CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
}

# Flags and folder of the model builds: loom's atomics in the table and in crossbeam-epoch.
use_loom_flags() {
    export RUSTFLAGS="--cfg halfshake_loom --cfg crossbeam_loom"
    export CARGO_TARGET_DIR=$target_root/loom
}

# The same of scheduled builds: steps of shuttle's before each access to a shared word.
use_shuttle_flags() {
    export RUSTFLAGS="--cfg halfshake_shuttle -C debug-assertions"
    export CARGO_TARGET_DIR=$target_root/shuttle
}

# side_by_side FUNCTION ARGUMENT...: calls it with each of these, `at_once` at a time, or as many as
# there are processors. What one says is shown when it has ended. Status 1 if one has failed.
side_by_side() {
    local function=$1 argument pid status=0 outputs most=${at_once:-$(nproc)}
    local -A says=()
    shift
    outputs=$(mktemp -d)
    # What runs in the background does not hear of Ctrl-C.
    trap 'end_all "${!says[@]}"; cat "${says[@]}" /dev/null; exit 130' INT TERM
    for argument in "$@" ''; do
        while ((${#says[@]})) && { [[ -z $argument ]] || ((${#says[@]} >= most)); }; do
            pid=''
            wait -n -p pid "${!says[@]}" || status=1
            if [[ -z $pid ]]; then
                # One that was killed, and that the shell has forgotten.
                status=1
                wait "${!says[@]}" || true
                cat "${says[@]}"
                says=()
                break
            fi
            cat "${says[$pid]}"
            unset "says[$pid]"
        done
        if [[ -n $argument ]]; then
            ("$function" "$argument") >"$outputs/$(basename "$argument")" 2>&1 &
            says[$!]=$outputs/$(basename "$argument")
        fi
    done
    trap - INT TERM
    rm -rf "$outputs"
    return "$status"
}

# end_all PID...: ends these processes and all that they have started.
end_all() {
    local pid children
    for pid in "$@"; do
        read -ra children < <(cat "/proc/$pid/task"/*/children 2>/dev/null | tr '\n' ' ') || true
        # Before its children, or it would start others.
        kill "$pid" 2>/dev/null || true
        end_all "${children[@]}"
    done
}

# run_tests LEAST COMMAND...: runs cargo test, and refuses a green run of fewer tests than LEAST.
run_tests() {
    local least=$1 log passed
    shift
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || { rm -f "$log"; return 1; }
    passed=$(awk '/^test result: ok\./ { sum += $4 } END { print sum + 0 }' "$log")
    rm -f "$log"
    ((passed >= least)) || fail "only $passed tests ran; at least $least were expected"
    tests_passed=$passed
}

# state_of_source: for a record: the commit that this is, or is a change of, and its day.
state_of_source() {
    echo "$(git describe --always --dirty --exclude='*'), $(git log -1 --format=%cs)"
}

# replace_table NAME FILE: puts what comes in between the comments NAME and "end of NAME" of a page.
replace_table() {
    local comment page
    for comment in "$1" "end of $1"; do
        grep -qx "<!-- $comment -->" "$2" || fail "$2 has no line <!-- $comment -->"
    done
    page=$(
        sed "/^<!-- $1 -->\$/q" "$2"
        printf '\n'
        cat
        printf '\n'
        sed -n "/^<!-- end of $1 -->\$/,\$p" "$2"
    )
    echo "$page" >"$2"
}

# programs_but NAME...: sets `programs` to the arguments that select the programs of tests/*.rs, all
# but these.
programs_but() {
    local path name
    programs=()
    for path in tests/*.rs; do
        name=$(basename "$path" .rs)
        [[ " $* " == *" $name "* ]] || programs+=(--test "$name")
    done
}

# Whether the ordinary toolchain has the standard library of a target.
rust_knows() {
    [[ -d $(rustc --print sysroot)/lib/rustlib/$1/lib ]]
}

# llvm_tool NAME: prints the path of llvm-profdata or llvm-cov, that of the toolchain or else the
# newest that is installed: they have to read what the compiler's own LLVM writes.
llvm_tool() {
    local tool versions
    tool=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/$1
    if [[ ! -x $tool ]]; then
        versions=$(compgen -c "$1-" | sort -u -t - -k 3 -n | tail -n 1)
        tool=$(command -v "${versions:-$1}") ||
            fail "$1 is missing; ci/install --by-hand installs it"
    fi
    echo "$tool"
}
