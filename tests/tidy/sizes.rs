//! Sizes, and words that have no place in a tracked file.

use crate::source::{Finding, Source};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;
const README_LINES: usize = 150;

/// A file has at most 500 lines before its tests.
pub(crate) fn file(source: &Source) -> Vec<Finding> {
    let message = || format!("{} lines before the tests, {FILE_LINES} at most", source.tests_at);
    (source.tests_at > FILE_LINES)
        .then(|| source.finding(FILE_LINES, message()))
        .into_iter()
        .collect()
}

/// A function has at most 70 lines, from `fn` to its closing brace.
pub(crate) fn functions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let named =
            source.token(at + 1).starts_with(|sign: char| sign.is_alphabetic() || sign == '_');
        if token.text != "fn" || !named {
            continue;
        }
        let Some(end) = body_end(source, at) else { continue };
        let lines = end + 1 - token.line;
        if lines > FUNCTION_LINES {
            let name = source.token(at + 1);
            let message = format!("`{name}` has {lines} lines, {FUNCTION_LINES} at most");
            findings.push(source.finding(token.line, message));
        }
    }
    findings
}

/// The line of the brace that closes the body of the function at `at`, if it has a body.
fn body_end(source: &Source, at: usize) -> Option<usize> {
    let mut braces = 0_usize;
    // `[u8; 4]` in a signature is no end of it.
    let mut brackets = 0_usize;
    for token in &source.tokens[at..] {
        match token.text.as_str() {
            "[" => brackets += 1,
            "]" => brackets = brackets.saturating_sub(1),
            ";" if braces == 0 && brackets == 0 => return None,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line),
            "}" => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// A line has at most 100 columns.
pub(crate) fn columns(path: &str, text: &str) -> Vec<Finding> {
    find_lines(path, text, |line| {
        let columns = line.chars().count();
        (columns > COLUMNS).then(|| format!("{columns} columns, {COLUMNS} at most"))
    })
}

/// The README fits on a few screens.
pub(crate) fn readme(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    let message = format!("{lines} lines, {README_LINES} at most");
    (lines > README_LINES)
        .then(|| Finding { path: path.to_owned(), line: README_LINES + 1, message })
        .into_iter()
        .collect()
}

/// No note to oneself is left behind.
pub(crate) fn leftovers(path: &str, text: &str) -> Vec<Finding> {
    // Split, so that this file does not contain what it looks for.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("db", "g!("), concat!("to", "do!(")];
    find_lines(path, text, |line| {
        words.iter().find(|word| stands_alone(line, word)).map(|word| format!("`{word}` is left"))
    })
}

/// No path of somebody's machine.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let folders =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/t", "mp/")];
    find_lines(path, text, |line| {
        let found = folders.iter().find(|folder| stands_alone(line, folder));
        found.map(|folder| format!("`{folder}` is a path of one machine"))
    })
}

/// Waiting for a time is no waiting for a condition.
pub(crate) fn sleeps(path: &str, text: &str) -> Vec<Finding> {
    let word = concat!("thread::", "sleep");
    find_lines(path, text, |line| {
        line.contains(word).then(|| format!("`{word}`: wait for a condition, with a bound"))
    })
}

/// Whether the word is in the line, and not as the end of a longer word or path.
fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|sign: char| sign.is_alphanumeric() || "_-./~}$".contains(sign))
    })
}

fn find_lines(path: &str, text: &str, check: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let checked = text.lines().enumerate().filter_map(|(at, line)| Some((at, check(line)?)));
    checked.map(|(at, message)| Finding { path: path.to_owned(), line: at + 1, message }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_file_is_found_but_not_its_tests() {
        let check = |text: String| lines(file(&Source::parse("src/a.rs", &text)));
        assert_eq!(check("x;\n".repeat(500)), [0; 0]);
        assert_eq!(check("x;\n".repeat(501)), [501]);
        assert_eq!(check(format!("#[cfg(test)]\nmod tests {{\n{}}}", "x;\n".repeat(600))), [0; 0]);
    }

    #[test]
    fn a_long_function_is_found() {
        let check = |text: String| lines(functions(&Source::parse("src/a.rs", &text)));
        let body = |lines: usize| "    if x { y(); }\n".repeat(lines);
        assert_eq!(check(format!("fn f() {{\n{}}}\n", body(68))), [0; 0]);
        assert_eq!(check(format!("\nfn f(x: [u8; 4]) {{\n{}}}\n", body(69))), [2]);
        assert_eq!(check(format!("fn f();\nlet x: fn(u8);\n{}", body(100))), [0; 0]);
    }

    #[test]
    fn long_lines_and_a_long_readme_are_found() {
        assert_eq!(lines(columns("a.rs", &format!("x\n{}", "é".repeat(101)))), [2]);
        assert_eq!(lines(columns("a.rs", &"é".repeat(100))), [0; 0]);
        assert_eq!(lines(readme("README.md", &"x\n".repeat(151))), [151]);
        assert_eq!(lines(readme("README.md", &"x\n".repeat(150))), [0; 0]);
    }

    #[test]
    fn leftovers_are_found() {
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("db", "g!(1)")] {
            assert_eq!(lines(leftovers("a.rs", &format!("fine\n// {word}: later"))), [2]);
        }
        assert_eq!(lines(leftovers("a.rs", concat!("fn f() { to", "do!() }"))), [1]);
        assert_eq!(lines(leftovers("a.rs", concat!("MY_TO", "DO_LIST"))), [0; 0]);
    }

    #[test]
    fn machine_paths_are_found() {
        for path in [concat!("/wo", "rk/x"), concat!("/ho", "me/me"), concat!("/t", "mp/y")] {
            assert_eq!(lines(machine_paths("a.md", &format!("cd {path}"))), [1]);
            assert_eq!(lines(machine_paths("a.md", &format!("https://example.org{path}"))), [0; 0]);
        }
    }

    #[test]
    fn sleeps_are_found() {
        assert_eq!(lines(sleeps("tests/a.rs", concat!("std::thread::", "sleep(d);"))), [1]);
        assert_eq!(lines(sleeps("tests/a.rs", "thread::yield_now();")), [0; 0]);
    }
}
