//! docs/UNSAFE.md: every `unsafe` of the three crates, with what makes it sound and what would
//! notice if it were not, made of the comments; and what is wrong with those.

use crate::File;
use crate::source::{Finding, Source};
use std::fmt::Write;

const HEAD: &str = "\
# Unsafe

Every `unsafe` of the library, the C library and the program, made by
`HALFSHAKE_BLESS=1 cargo test --test tidy` of the sources; the same test without the variable fails
when this page is stale. Files that are not here have none: `tests/tidy.rs` says which may.

The last column is the `// SAFETY:` comment of a block, or what the function demands of its callers:
the invariant, and who upholds it. What a file is checked by is said of the whole file, not of one
block: it is what would notice a breach somewhere in it. Those are tests that run under the address
sanitizer (`ci/asan`; those of the C library: `ci/capi`), models that fail for a mutant of that file
(docs/MODELS.md), or both. `unsafe` of tests is left out.
";

const CHECKED_BY: &str = "Unsafe is checked by:";

/// Of functions that say nothing themselves.
const ELSEWHERE: &str = "what its trait demands, or the type of the callback that it is";

/// How far above a block its comment may end, in lines of code.
const NEAR: usize = 6;

/// One `unsafe`.
#[derive(Debug)]
struct Item {
    within: String,
    code: String,
    invariant: String,
}

/// A file that has some.
#[derive(Debug)]
struct Part {
    path: String,
    checked_by: String,
    items: Vec<Item>,
    /// Functions that C finds by name: `#[unsafe(no_mangle)]`.
    exported: usize,
}

fn parts(files: &[File]) -> Vec<Part> {
    let is_ours = |path: &str| {
        let folders = ["src/", "capi/src/", "terminator/src/"];
        path.ends_with(".rs") && folders.iter().any(|folder| path.starts_with(folder))
    };
    let ours = files.iter().filter(|file| is_ours(&file.path));
    let parts = ours.map(|file| part(&Source::parse(&file.path, &file.text)));
    parts.filter(|part| !part.items.is_empty()).collect()
}

/// Files that do not say what checks them, or name what there is not, or a model that does not.
/// `models`: which fails for mutants of which file.
pub(crate) fn findings(files: &[File], models: &[(String, String)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for Part { path, checked_by, .. } in parts(files) {
        let mut wrong =
            |what: String| found.push(Finding { path: path.clone(), line: 1, message: what });
        if checked_by.is_empty() {
            wrong(format!("say at the head: {CHECKED_BY} tests or models"));
        }
        for name in checked_by.split('`').skip(1).step_by(2) {
            let is_file = files.iter().any(|file| file.path == name);
            let breaks = || models.iter().any(|(model, of)| model == name && *of == path);
            if !is_file && !breaks() {
                wrong(format!(
                    "{name}: no test, and no model that fails for a mutant of this file"
                ));
            }
        }
    }
    found
}

/// The page.
pub(crate) fn document(files: &[File]) -> String {
    let parts = parts(files);
    let mut out = HEAD.to_owned();
    let total: usize = parts.iter().map(|part| part.items.len()).sum();
    let _infallible = writeln!(out, "\n{total} in {} files.", parts.len());
    for Part { path, checked_by, items, exported } in &parts {
        let _infallible = write!(out, "\n## {path}\n\nChecked by: {checked_by}\n\n");
        if *exported != 0 {
            let _infallible = write!(
                out,
                "{exported} functions are exported by name (`#[unsafe(no_mangle)]`): all begin \
                 with `halfshake_`, so that no other symbol is replaced.\n\n"
            );
        }
        out.push_str("| in | code | invariant, and who upholds it |\n| --- | --- | --- |\n");
        for Item { within, code, invariant } in items {
            let [code, invariant] = [code, invariant].map(|cell| cell.replace('|', "\\|"));
            let _infallible = writeln!(out, "| {within} | `{code}` | {invariant} |");
        }
    }
    out
}

fn part(source: &Source) -> Part {
    let head = source.lines.iter().map_while(|line| line.raw.trim().strip_prefix("//!"));
    let head: Vec<_> = head.map(str::trim).collect();
    let checked_by = head.join("\n");
    let checked_by = checked_by.split_once(CHECKED_BY).map_or("", |(_, rest)| rest);
    let checked_by = checked_by.split("\n\n").next().unwrap_or_default();
    let in_code = |at: &usize| source.tokens[*at].line < source.tests_at;
    let all: Vec<usize> = (0..source.tokens.len()).filter(in_code).collect();
    let exported = all.iter().filter(|at| source.token(**at) == "no_mangle").count();
    let items = all.iter().filter(|at| is_item(source, **at)).map(|at| item(source, *at));
    Part {
        path: source.path.clone(),
        checked_by: one_line(checked_by),
        items: items.collect(),
        exported,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A block, an implementation, a declaration of foreign functions, or a function that is named: no
/// type of a function.
fn is_item(source: &Source, at: usize) -> bool {
    let next = |n: usize| source.token(at + n);
    // `extern "C"` is three tokens: what a string contains is left out.
    let is_foreign = next(1) == "extern" && next(4) == "{";
    let is_function = next(1) == "fn" && next(2) != "("
        || next(1) == "extern" && next(4) == "fn" && next(5) != "(";
    let is_block = matches!(next(1), "{" | "impl" | "trait");
    source.token(at) == "unsafe" && (is_block || is_foreign || is_function)
}

fn item(source: &Source, at: usize) -> Item {
    let line = source.tokens[at].line;
    let raw = |line: usize| source.lines.get(line).map_or("", |line| line.raw.trim());
    let from = raw(line).find("unsafe").unwrap_or_default();
    let mut code = raw(line)[from..].to_owned();
    if source.token(at + 1) == "{" && code.ends_with('{') {
        code = format!("{code} {}", raw(line + 1));
    }
    let demanded = matches!(source.token(at + 1), "fn" | "trait") || source.token(at + 4) == "fn";
    let above = above(source, line);
    let invariant = if demanded {
        above.split_once("# Safety").map_or(ELSEWHERE, |(_, rest)| rest)
    } else {
        above.split_once("SAFETY:").map_or("", |(_, rest)| rest)
    };
    let name = |at: &usize| source.token(*at) == "fn" && source.token(at + 1) != "(";
    let is_named = matches!(source.token(at + 1), "{");
    let function = (0..at).rev().find(name).filter(|_| is_named);
    let within = function.map_or(String::new(), |at| format!("`{}`", source.token(at + 1)));
    let code = code.split(" // ").next().unwrap_or_default();
    Item { within, code: one_line(code.trim_end_matches('{')), invariant: one_line(invariant) }
}

/// The comments above a line, in their order, past the lines of the same statement.
fn above(source: &Source, line: usize) -> String {
    let mut comments = vec![source.lines[line].comment.as_str()];
    let mut passed = 0;
    for above in source.lines[..line].iter().rev() {
        let code = above.code.trim();
        if code.is_empty() || code.starts_with("#[") {
            if above.raw.trim().is_empty() {
                break;
            }
        } else {
            passed += 1;
            if passed > NEAR || code.ends_with([';', '{', '}', ',']) {
                break;
            }
        }
        comments.push(above.comment.trim_start_matches('/'));
    }
    comments.reverse();
    comments.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! It reads.\n//!\n\
        //! Unsafe is checked by: `tests/a.rs`, `reads::get`.\n\n\
        /// Reads.\n///\n/// # Safety\n/// - `p` is good.\npub unsafe fn read(p: *const u8) {}\n\n\
        fn f() {\n    // SAFETY: `p` is ours, or\n    // it is NULL.\n    let x =\n        \
        unsafe { read(p) };\n}\n\n// SAFETY: it is a number.\nunsafe impl Send for X {}\n\
        type F = unsafe extern \"C\" fn(u8);\n";

    fn files(text: &str) -> Vec<File> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        vec![file("src/x.rs", text), file("tests/a.rs", ""), file("src/y.rs", "fn g() {}")]
    }

    #[test]
    fn each_unsafe_is_listed_with_its_invariant() {
        let page = document(&files(TEXT));
        for line in [
            "|  | `unsafe fn read(p: *const u8) {}` | - `p` is good. |",
            "| `f` | `unsafe { read(p) };` | `p` is ours, or it is NULL. |",
            "|  | `unsafe impl Send for X {}` | it is a number. |",
            "3 in 1 files.",
            "Checked by: `tests/a.rs`, `reads::get`.",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }

    #[test]
    fn file_that_does_not_say_what_checks_it_is_found() {
        let models = |of: &str| [("reads::get".to_owned(), of.to_owned())];
        let count = |text: &str| findings(&files(text), &models("src/x.rs")).len();
        assert_eq!(count(TEXT), 0);
        assert_eq!(count(&TEXT.replace("Unsafe is checked by:", "Checked:")), 1);
        assert_eq!(count(&TEXT.replace("tests/a.rs", "tests/b.rs")), 1);
        assert_eq!(count(&TEXT.replace("reads::get", "reads::got")), 1);
        assert_eq!(findings(&files(TEXT), &models("src/y.rs")).len(), 1, "not of this file");
    }
}
