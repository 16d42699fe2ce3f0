//! The comments that code must have: on `unsafe`, and on orderings above relaxed.

use crate::source::{Finding, Source};

const ORDERINGS: &[&str] = &["Acquire", "Release", "AcqRel", "SeqCst"];
/// How far above an ordering its comment may end, in lines of code.
const NEAR: usize = 6;

/// Every `unsafe {` and `unsafe impl` has a `// SAFETY:` right above its statement.
pub(crate) fn safety(source: &Source) -> Vec<Finding> {
    let within_statement = |code: &str| !code.ends_with([';', '{', '}', ',']);
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let needs_one = token.text == "unsafe" && matches!(source.token(at + 1), "{" | "impl");
        let above = || source.comments_above(token.line, NEAR, within_statement);
        if needs_one && !above().contains("SAFETY:") {
            findings.push(source.finding(token.line, "`unsafe` without `// SAFETY:` above it"));
        }
    }
    findings
}

/// Every ordering above relaxed has a comment near it that names its partner.
pub(crate) fn orderings(source: &Source) -> Vec<Finding> {
    let within_function = |code: &str| code != "}";
    let mut findings: Vec<Finding> = Vec::new();
    let mut in_use = false;
    for (at, token) in source.tokens.iter().enumerate() {
        match token.text.as_str() {
            "use" => in_use = true,
            ";" => in_use = false,
            _ => {}
        }
        if in_use || token.line >= source.tests_at || !is_ordering(source, at) {
            continue;
        }
        let comments = source.comments_above(token.line, NEAR, within_function);
        let names_partner =
            comments.contains("pairs") || ORDERINGS.iter().any(|order| comments.contains(order));
        if !names_partner {
            let message = format!("{} without a comment that names its partner", token.text);
            findings.push(source.finding(token.line, message));
        }
    }
    findings
}

/// An ordering as an argument: qualified by its type, or imported by name.
fn is_ordering(source: &Source, at: usize) -> bool {
    let qualified = at >= 3 && source.token(at - 1) == ":";
    ORDERINGS.contains(&source.token(at)) && (!qualified || source.token(at - 3) == "Ordering")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    fn unsafe_lines(text: &str) -> Vec<usize> {
        lines(safety(&Source::parse("src/a.rs", text)))
    }

    fn ordering_lines(text: &str) -> Vec<usize> {
        lines(orderings(&Source::parse("src/a.rs", text)))
    }

    #[test]
    fn unsafe_without_a_safety_comment_is_found() {
        assert_eq!(unsafe_lines("unsafe impl Send for X {}"), [1]);
        assert_eq!(
            unsafe_lines("// SAFETY: the guard.\nlet x = unsafe { f() };\nunsafe { g() }"),
            [3]
        );
        assert_eq!(unsafe_lines("// SAFETY: far away.\n\nunsafe { f() }"), [3]);
        assert_eq!(
            unsafe_lines("match x {\n// SAFETY: a.\n1 => unsafe { f() },\n2 => unsafe { g() },"),
            [4]
        );
    }

    #[test]
    fn unsafe_with_a_safety_comment_is_fine() {
        assert_eq!(
            unsafe_lines("// SAFETY: the guard\n// pins it.\nlet x =\n    unsafe { f() };"),
            [0; 0]
        );
        assert_eq!(
            unsafe_lines("// SAFETY: no state.\n#[cfg(unix)]\nunsafe impl Send for X {}"),
            [0; 0]
        );
        assert_eq!(unsafe_lines("/// # Safety\nunsafe fn f();\nlet s = \"unsafe {\";"), [0; 0]);
    }

    #[test]
    fn an_ordering_without_its_partner_is_found() {
        assert_eq!(ordering_lines("// Loads it.\nx.load(Ordering::Acquire);"), [2]);
        assert_eq!(ordering_lines("use Ordering::SeqCst;\nx.load(SeqCst);"), [2]);
        let far = format!("// Acquire: pairs.\n{}x.load(Ordering::Acquire);", "f();\n".repeat(6));
        assert_eq!(ordering_lines(&far), [0; 0]);
        let farther =
            format!("// Acquire: pairs.\n{}x.load(Ordering::Acquire);", "f();\n".repeat(7));
        assert_eq!(ordering_lines(&farther), [9]);
    }

    #[test]
    fn an_ordering_with_its_partner_is_fine() {
        let swap = "// AcqRel: pairs with the Release of `push`.\nlet old = x.compare_exchange(\n\
                    1,\n2,\nOrdering::AcqRel,\nOrdering::Relaxed,\n);";
        assert_eq!(ordering_lines(swap), [0; 0]);
        assert_eq!(ordering_lines("x.load(Ordering::Relaxed);\nKind::Release;"), [0; 0]);
        assert_eq!(ordering_lines("#[cfg(test)]\nmod tests {\nx.load(Ordering::SeqCst);"), [0; 0]);
    }
}
