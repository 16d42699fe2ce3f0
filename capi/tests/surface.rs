//! Every function of the library is declared, documented, tested, and lets no panic out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(here().join(path)).expect("a file of this crate")
}

fn files_of(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(here().join(folder)).expect("a folder of this crate");
    files.map(|file| file.expect("a file").path()).collect()
}

/// The exports with their bodies.
fn exports() -> Vec<(String, String)> {
    let mut exports = Vec::new();
    for file in files_of("src/exports") {
        let text = read(file);
        assert_eq!(
            text.matches("#[unsafe(no_mangle)]").count(),
            text.matches("#[unsafe(no_mangle)]\npub extern \"C\" fn halfshake_").count(),
            "an export is a function named halfshake_*"
        );
        for export in text.split("pub extern \"C\" fn ").skip(1) {
            let (name, rest) = export.split_once('(').expect("a function has arguments");
            let body = rest.split("\n}\n").next().expect("and a body");
            exports.push((name.to_owned(), body.to_owned()));
        }
    }
    assert!(exports.len() >= 20, "the exports are found");
    exports
}

/// The words of a text that are names of functions.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    text.split(|sign| !is_part(sign)).filter(|word| word.starts_with("halfshake_")).collect()
}

#[test]
fn every_function_is_declared_in_the_header() {
    let header = read("halfshake.h");
    let declared: BTreeSet<&str> = header
        .lines()
        .filter(|line| !line.trim_start().starts_with(['*', '/']) && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(').map(|(before, _)| before))
        .flat_map(names)
        .collect();
    for (name, _) in exports() {
        assert!(declared.contains(name.as_str()), "{name} is not in halfshake.h");
    }
}

#[test]
fn every_function_has_a_prototype_and_a_word_in_the_man_page() {
    let page = read("halfshake.3");
    let (synopsis, description) = page.split_once(".Sh DESCRIPTION").expect("two parts");
    for (name, _) in exports() {
        let fits = |line: &&str| {
            let mut words = line.split(' ');
            matches!(words.next(), Some(".Fn" | ".Fo")) && words.next() == Some(&name)
        };
        for part in [synopsis, description] {
            assert_eq!(part.lines().filter(fits).count().min(1), 1, "halfshake.3: {name}");
        }
    }
}

#[test]
fn every_function_is_called_from_c() {
    let tests: String = files_of("tests/c").into_iter().map(read).collect();
    for (name, _) in exports() {
        assert!(tests.contains(&format!("{name}(")), "{name} is not called in tests/c");
    }
}

#[test]
fn no_panic_leaves_a_function() {
    for (name, body) in exports() {
        // `halfshake_version` is a constant, and `look_up` is three functions' body.
        let guarded = ["guard(", "guard_or(", "look_up("].iter().any(|call| body.contains(call));
        assert!(guarded || name == "halfshake_version", "{name} is not guarded");
    }
    let look_up = read("src/exports/lookups.rs");
    let body = look_up.split("\nfn look_up(").nth(1).expect("that body");
    assert!(body.contains("-> c_int {\n    guard("), "look_up is guarded");
}

#[test]
fn no_panic_reaches_the_tls_library() {
    let callbacks = read("src/attach/callbacks.rs");
    let functions: Vec<&str> = callbacks.split("unsafe extern \"C\" fn ").skip(1).collect();
    assert_eq!(functions.len(), 6, "they are found");
    for function in functions {
        let name = function.split('(').next().expect("a function has arguments");
        let body = function.split_once(" {\n").expect("and a body").1;
        assert!(body.starts_with("    guard_or("), "{name} is not guarded");
    }
}
