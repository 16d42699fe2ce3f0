//! The paths in a file (`a::b::c`), in expressions and in `use` declarations with their groups.

use crate::source::Source;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// The modules written inside the file that the path stands in, outermost first.
    pub(crate) modules: Vec<String>,
}

/// Every path of two segments or more, and every leaf of a group.
pub(crate) fn paths(source: &Source) -> Vec<Path> {
    let mut found = Vec::new();
    // What each open brace belongs to: a module, or anything else.
    let mut braces: Vec<Option<String>> = Vec::new();
    let mut at = 0;
    while at < source.tokens.len() {
        let token = source.token(at);
        match token {
            "{" => {
                let is_module = at >= 2 && source.token(at - 2) == "mod";
                braces.push(is_module.then(|| source.token(at - 1).to_owned()));
            }
            "}" => {
                braces.pop();
            }
            _ if is_word(token) && separates(source, at + 1) => {
                let first = found.len();
                at = leaves(source, at, &[], &mut found);
                for path in &mut found[first..] {
                    path.modules = braces.iter().flatten().cloned().collect();
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one use tree (or a plain path) from `at`; returns where it ends.
fn leaves(source: &Source, mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    loop {
        if source.token(at) == "{" {
            at += 1;
            while at < source.tokens.len() && source.token(at) != "}" {
                let begun = at;
                at = leaves(source, at, &segments, found);
                while !matches!(source.token(at), "," | "}" | "") {
                    at += 1; // `as name`
                }
                at += usize::from(source.token(at) == ",");
                debug_assert!(at > begun, "a group is read to its end");
            }
            return at + 1;
        }
        let line = source.tokens.get(at).map_or(0, |token| token.line);
        if is_word(source.token(at)) || source.token(at) == "*" {
            segments.push(source.token(at).to_owned());
            at += 1;
        }
        if !separates(source, at) || !continues(source, at + 2) {
            found.push(Path { line, segments, modules: Vec::new() });
            return at;
        }
        at += 2;
    }
}

fn separates(source: &Source, at: usize) -> bool {
    source.token(at) == ":" && source.token(at + 1) == ":"
}

fn continues(source: &Source, at: usize) -> bool {
    let token = source.token(at);
    is_word(token) || token == "{" || token == "*"
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|sign| sign.is_alphabetic() || sign == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let joined = |path: Path| path.segments.join("::");
        paths(&Source::parse("a.rs", text)).into_iter().map(joined).collect()
    }

    #[test]
    fn groups_are_unfolded() {
        assert_eq!(
            all("use crate::{\n  a::{self, B as C},\n  d::*,\n};\nfn f() { g::h::<u8>(1); }"),
            ["crate::a::self", "crate::a::B", "crate::d::*", "g::h"]
        );
    }

    #[test]
    fn lines_and_inner_modules_are_known() {
        let found = paths(&Source::parse("a.rs", "mod m {\n  use super::x;\n}\nuse super::y;"));
        assert_eq!((found[0].line, found[0].modules.as_slice()), (1, &["m".to_owned()][..]));
        assert_eq!((found[1].line, found[1].modules.len()), (3, 0));
    }
}
