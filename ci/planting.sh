# shellcheck shell=bash
# What the scripts share that put bugs into a copy of the real source, to see them found
# (ci/*-mutants). Sourced after common.sh.

# copy_into TREE PATH...: makes TREE a copy of what lies at these paths, and `outputs` a folder for
# what programs say; both go when the script ends. The copy's path stays the same from run to run,
# so that only what is changed is built again.
copy_into() {
    tree=$1
    outputs=$(mktemp -d)
    trap 'rm -rf "$outputs" "$tree"' EXIT
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard -- "${@:2}" |
        while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
        tar --create --null --files-from=- | tar --extract --touch -C "$tree"
}

# header FIELD PATCH: what a patch says in the lines before the change.
header() {
    sed -n "/^--- /q; s/^$1: //p" "$2"
}

# plant PATCH: puts a bug into the copy. uproot PATCH: takes it out again. In a repository git would
# take its paths from the top: the copy is none.
plant() {
    [[ -f $1 ]] || fail "there is no $1"
    in_copy "$1" || fail "$1 does not apply any more"
}

uproot() {
    in_copy "$1" --reverse
}

in_copy() {
    GIT_CEILING_DIRECTORIES=${tree%/*} git -C "$tree" apply "${@:2}" "$PWD/$1"
}

# keep_todays NUMBER: of `mutants` so many, others every day.
keep_todays() {
    local day=$(($(date +%s) / 86400)) chosen=() i
    for ((i = 0; i < $1; i++)); do
        chosen+=("${mutants[$(((day * $1 + i) % ${#mutants[@]}))]}")
    done
    mutants=("${chosen[@]}")
}
