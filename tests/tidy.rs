//! The house rules that no compiler checks, on the sources as text.
//!
//! Each rule is a function from text to findings with its own tests, which show it bite; here they
//! are let loose on the tree. A new file of `src/` needs a line in [`ROOMS`]. Pages of `docs/` that
//! are made of the sources are written with `HALFSHAKE_BLESS=1`, and fail when they are stale.

#[path = "tidy/comments.rs"]
mod comments;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/models.rs"]
mod models;
#[path = "tidy/orderings.rs"]
mod orderings;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/programs.rs"]
mod programs;
#[path = "tidy/shared.rs"]
mod shared;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/unsafes.rs"]
mod unsafes;

use layers::Room;
use models::{ARCHITECTURE, Inventory};
use source::{Finding, Source};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The layers of ARCHITECTURE.md, lowest first.
const ROOMS: &[Room] = &[
    safe("sync", 0),
    safe("sync/explored", 0),
    safe("sync/scheduled", 0),
    safe("clock", 0),
    safe("hash", 0),
    safe("holding", 0),
    safe("wiping", 0),
    safe("panics", 0),
    unsafe_("prefetch", 0),
    unsafe_("reclaim", 1),
    unsafe_("pages", 1),
    unsafe_("entry", 1),
    unsafe_("entry/depot", 1),
    unsafe_("entry/memory", 1),
    unsafe_("entry/record", 1),
    unsafe_("entry/slab", 1),
    unsafe_("entry/watched", 1),
    safe("table", 2),
    safe("table/away", 2),
    safe("table/hints", 2),
    unsafe_("table/set", 2),
    safe("table/retired", 2),
    safe("table/ring", 2),
    safe("table/summary", 2),
    unsafe_("table/tags", 2),
    safe("table/ways", 2),
    safe("budget", 2),
    safe("policy", 3),
    safe("removal", 3),
    safe("stats", 3),
    safe("error", 3),
    safe("engine", 4),
    safe("engine/deliver", 4),
    safe("engine/evict", 4),
    unsafe_("engine/held", 4),
    safe("engine/insert", 4),
    safe("engine/local", 4),
    safe("engine/lookup", 4),
    safe("engine/remove", 4),
    safe("engine/sweep", 4),
    safe("engine/validate", 4),
    safe("cache", 5),
    safe("cache/bytes", 5),
    safe("cache/handles", 5),
    safe("cache/pair", 5),
    safe("cache/refs", 5),
    safe("builder", 5),
    safe("maintenance", 5),
    safe("once", 5),
    safe("reader", 5),
    safe("model", 5),
    safe("model/parts", 5),
    safe("remedies", 5),
    safe("session", 6),
    safe("session/arrival", 6),
    safe("session/asynchronous", 6),
    safe("session/breaker", 6),
    safe("session/builder", 6),
    safe("session/callbacks", 6),
    safe("session/change", 6),
    safe("session/remove", 6),
    safe("session/compat", 6),
    safe("session/counters", 6),
    safe("session/entry", 6),
    safe("session/board", 6),
    safe("session/flights", 6),
    safe("session/found", 6),
    safe("session/hello", 6),
    safe("session/id", 6),
    safe("session/lookup", 6),
    safe("session/model", 6),
    safe("session/modes", 6),
    safe("session/outcome", 6),
    safe("session/outside", 6),
    safe("session/record", 6),
    safe("session/renew", 6),
    safe("session/seal", 6),
    safe("session/tags", 6),
    safe("session/taking", 6),
    safe("session/unknown", 6),
    safe("adapters", 7),
    safe("adapters/openssl", 7),
    unsafe_("adapters/openssl/callbacks", 7),
    safe("adapters/openssl/connection", 7),
    safe("adapters/openssl/fetch", 7),
    safe("adapters/openssl/hello", 7),
    safe("adapters/openssl/objects", 7),
    unsafe_("adapters/openssl/sys", 7),
    safe("adapters/rustls", 7),
];

/// The same of the C library: `exports` above what C sees, and that above what C points to.
const CAPI_ROOMS: &[Room] = &[
    safe("result", 0),
    safe("compat", 1),
    safe("options", 1),
    safe("session", 1),
    safe("statistics", 1),
    unsafe_("raw", 2),
    unsafe_("foreign", 2),
    safe("shell", 2),
    safe("attach", 3),
    unsafe_("attach/callbacks", 3),
    unsafe_("attach/library", 3),
    safe("attach/objects", 3),
    safe("attach/options", 1),
    unsafe_("attach/symbols", 1),
    safe("exports", 3),
    safe("exports/arguments", 3),
    unsafe_("exports/attach", 3),
    unsafe_("exports/cache", 3),
    unsafe_("exports/callbacks", 3),
    unsafe_("exports/changes", 3),
    unsafe_("exports/lookups", 3),
    unsafe_("exports/names", 3),
    unsafe_("exports/sessions", 3),
    unsafe_("exports/statistics", 3),
];

const fn safe(module: &'static str, layer: u8) -> Room {
    Room { module, layer, has_unsafe: false }
}

const fn unsafe_(module: &'static str, layer: u8) -> Room {
    Room { module, layer, has_unsafe: true }
}

/// A text file of the repository; the path is relative to its root.
struct File {
    path: String,
    text: String,
}

/// What git tracks, and what it would if it were added now; binary files are left out.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git lists the files of the repository");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let mut paths: Vec<&str> = paths.lines().collect();
    paths.sort_unstable();
    let files: Vec<File> = paths
        .into_iter()
        .filter_map(|path| {
            let text = String::from_utf8(std::fs::read(root.join(path)).ok()?).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .collect();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the sources are listed");
    files
}

fn sources(folder: &str) -> Vec<Source> {
    files()
        .iter()
        .filter(|file| file.path.starts_with(folder) && file.path.ends_with(".rs"))
        .map(|file| Source::parse(&file.path, &file.text))
        .collect()
}

/// The sources of the C library, by their paths within it.
fn capi_sources() -> Vec<Source> {
    let parse = |file: &File| {
        let path = file.path.strip_prefix("capi/")?;
        let is_source = path.starts_with("src/") && path.ends_with(".rs");
        is_source.then(|| Source::parse(path, &file.text))
    };
    files().iter().filter_map(parse).collect()
}

fn is_script(file: &File) -> bool {
    let scripts = [".ci/run", "capi/install.sh"];
    scripts.contains(&file.path.as_str()) || file.path.starts_with("ci/")
}

#[track_caller]
fn none(findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<String> = findings.into_iter().map(|found| found.to_string()).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_file_has_its_layer() {
    none(layers::rooms_and_files(ROOMS, &sources("src/")));
}

#[test]
fn imports_point_downwards() {
    none(sources("src/").iter().flat_map(|source| layers::imports(ROOMS, source)));
}

#[test]
fn unsafe_stays_in_its_files() {
    let sources = sources("src/");
    none(sources.iter().flat_map(|source| layers::unsafe_rooms(ROOMS, source)));
    none(layers::lifted(ROOMS, &sources));
}

#[test]
fn the_c_library_keeps_to_its_layers_too() {
    let sources = capi_sources();
    assert!(!sources.is_empty(), "the sources of the C library are listed");
    none(layers::rooms_and_files(CAPI_ROOMS, &sources));
    none(sources.iter().flat_map(|source| layers::imports(CAPI_ROOMS, source)));
    none(sources.iter().flat_map(|source| layers::unsafe_rooms(CAPI_ROOMS, source)));
    none(layers::lifted(CAPI_ROOMS, &sources));
}

#[test]
fn atomics_models_and_epochs_stay_in_their_files() {
    none(sources("src/").iter().flat_map(layers::names));
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    none(sources("").iter().flat_map(comments::safety));
}

#[test]
fn every_ordering_names_its_partner() {
    none(sources("src/").iter().flat_map(comments::orderings));
}

#[test]
fn files_and_functions_are_small() {
    let sources = sources("");
    none(
        sources.iter().flat_map(|source| [sizes::file(source), sizes::functions(source)].concat()),
    );
}

#[test]
fn lines_are_short_and_nothing_is_left_over() {
    let is_c = |path: &str| [".c", ".cc", ".h"].iter().any(|end| path.ends_with(end));
    let is_code = |file: &&File| file.path.ends_with(".rs") || is_c(&file.path) || is_script(file);
    none(files().iter().filter(is_code).flat_map(|File { path, text }| {
        [sizes::columns(path, text), sizes::leftovers(path, text)].concat()
    }));
}

#[test]
fn no_test_file_is_left_out_of_its_program() {
    let files = files();
    none(["tests/core/", "tests/adapters/"].map(|at| programs::unlisted(at, &files)).concat());
}

#[test]
fn tests_wait_for_conditions() {
    let is_test = |file: &&File| file.path.starts_with("tests/");
    none(files().iter().filter(is_test).flat_map(|file| sizes::sleeps(&file.path, &file.text)));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    none(files().iter().flat_map(|file| sizes::machine_paths(&file.path, &file.text)));
}

#[test]
fn every_row_of_the_architecture_has_models_that_bite() {
    none(Inventory::read(&files()).findings());
}

#[test]
fn what_threads_share_stands_in_the_architecture() {
    none(shared::findings(&files()));
}

#[test]
fn every_ordering_has_mutants() {
    none(orderings::findings(&files()));
}

#[test]
fn every_mutant_applies() {
    let files = files();
    let inventory = Inventory::read(&files);
    // Those of ci/planted: a change of their own, or the name of a mutant.
    let planted = files.iter().filter(|file| file.path.starts_with("tests/planted/"));
    let planted = planted.map(|file| {
        let mutant = file.text.lines().find_map(|line| line.strip_prefix("plants: "));
        mutant.map_or(file.path.clone(), |name| format!("loom-tests/mutants/{name}.patch"))
    });
    let applies = |patch: &String| {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut git = Command::new("git");
        let checked = git.args(["apply", "--check", patch]).current_dir(root).output();
        checked.expect("git can be run").status.success()
    };
    let patches = inventory.patches().map(str::to_owned).chain(planted);
    let stale: Vec<_> = patches.filter(|patch| !applies(patch)).collect();
    assert!(stale.is_empty(), "these do not apply any more: {stale:?}");
}

#[test]
fn each_mutant_was_run_and_was_killed() {
    const RECORD: &str = "docs/loom-mutants.txt";
    let files = files();
    let record = files.iter().find(|file| file.path == RECORD).expect("there is one");
    let in_one = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let recorded: BTreeSet<_> = record.text.lines().skip(1).map(in_one).collect();
    let wanted = Inventory::read(&files).record();
    let differ: Vec<_> = recorded.symmetric_difference(&wanted).collect();
    assert!(differ.is_empty(), "{RECORD}: run ci/loom-mutants for these: {differ:#?}");
}

#[test]
fn the_page_of_models_is_what_the_models_say() {
    let files = files();
    let page = Inventory::read(&files).document() + &orderings::section(&files);
    is_page("docs/MODELS.md", &page);
}

#[test]
fn the_architecture_has_the_table_of_mutants() {
    const BEGIN: &str = "<!-- mutants -->\n";
    const END: &str = "<!-- end of mutants -->\n";
    let files = files();
    let table = Inventory::read(&files).table_of_mutants();
    let stands = files.iter().find(|file| file.path == ARCHITECTURE).expect("there is one");
    let (before, rest) = stands.text.split_once(BEGIN).expect("a place for the table");
    let (_, after) = rest.split_once(END).expect("an end of that place");
    is_page(ARCHITECTURE, &format!("{before}{BEGIN}{table}{END}{after}"));
}

#[test]
fn every_unsafe_file_says_what_checks_it() {
    let files = files();
    let models = Inventory::read(&files).fail_for();
    none(unsafes::findings(&files, &models));
}

#[test]
fn the_page_of_unsafe_is_what_the_comments_say() {
    is_page("docs/UNSAFE.md", &unsafes::document(&files()));
}

/// Whether a page that is made of the sources says what they say.
#[track_caller]
fn is_page(path: &str, made: &str) {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("HALFSHAKE_BLESS").is_some() {
        std::fs::write(&at, made).expect("the page can be written");
    }
    let stands = std::fs::read_to_string(&at).unwrap_or_default();
    let mut pairs = made.lines().zip(stands.lines().chain(std::iter::repeat("")));
    assert!(
        stands == made,
        "{path} is stale, first here: {:?}\nHALFSHAKE_BLESS=1 cargo test --test tidy rewrites it",
        pairs.find(|(made, stands)| made != stands)
    );
}

#[test]
fn the_readme_is_short() {
    let files = files();
    let readme = files.iter().find(|file| file.path == "README.md").expect("there is a README.md");
    none(sizes::readme(&readme.path, &readme.text));
}
