//! What was observed, and what other tests claim, as a document.

use super::case::{Case, Group, NOT_MEASURED};
use super::{GROUPS, PROFILES};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# Conformance

What `halfshake::session` does, beside what OpenSSL and its kin do. Written by a test, from what it
has observed:

```
HALFSHAKE_BLESS=1 cargo test --test conformance      # rewrites this file
cargo test --test conformance                        # fails if it is stale
```

*strict* is the cache as it comes: what the manual page SSL_CTX_sess_set_get_cb(3) and its family
say. The next four columns are the same cache under the presets of `Compat`. The last three are
OpenSSL 1.1.1, OpenSSL 3.0.19 and LibreSSL 4.3.1, as small C programs have measured them or, where
they could not, as the source has it (`-`: neither, or there is no such thing). The test fails
unless strict shows what is expected of it, and unless each preset shows what the library has shown:
where one does not, the lines below a table say why. BoringSSL was read, not measured.

N, G, R: a call of the new, get or remove callback, in this order. *resumed*, *full*: what the
handshake came to. *holds*: sessions in the internal cache. *counts*: counters of
SSL_CTX_sess_number(3) that moved. The manual page names no order of eviction: what is told here of
it is exact for up to five sessions; beyond them, the oldest of a sample goes.
";

pub(crate) fn write(root: &Path) -> String {
    let mut out = HEAD.to_owned();
    for group in &GROUPS {
        table(&mut out, group);
    }
    out.push_str("\n## What else is tested\n\n");
    out.push_str(
        "Each line is the name of a test of the strict cache, unless it says otherwise.\n",
    );
    for (file, title, claims) in others(root) {
        let _infallible = write!(out, "\n### {title} (`tests/core/{file}`)\n\n");
        for claim in claims {
            let _infallible = writeln!(out, "- {claim}");
        }
    }
    out
}

fn table(out: &mut String, group: &Group) {
    let _infallible = write!(
        out,
        "\n## {}\n\n| claim | strict | 1.1.1 | 3 | LibreSSL | BoringSSL | *1.1.1* | *3.0* | \
         *LibreSSL* |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        group.title,
    );
    let mut reasons = Vec::new();
    for case in group.cases {
        let observed = PROFILES.map(|(_, compat)| (case.observe)(compat()));
        let mark = if case.apart.is_empty() {
            String::new()
        } else {
            reasons.push(case.apart);
            format!(" ({})", reasons.len())
        };
        let _infallible = writeln!(
            out,
            "| {}{mark} | {} | {} |",
            case.claim,
            observed.join(" | "),
            case.measured.join(" | "),
        );
    }
    for (i, reason) in reasons.iter().enumerate() {
        let before = if i == 0 { "\n" } else { "" };
        let _infallible = writeln!(out, "{before}{}. {reason}.", i + 1);
    }
}

/// Whether strict shows what is expected, and the presets what was measured; else what is wrong.
pub(crate) fn judge(case: &Case) -> Vec<String> {
    let observed = PROFILES.map(|(name, compat)| (name, (case.observe)(compat())));
    let expected =
        [case.strict, case.measured[0], case.measured[1], case.measured[2], case.boringssl];
    let differs = |((name, seen), expected): (&(&str, String), &str)| {
        let same = expected == NOT_MEASURED || seen == expected;
        (!same).then(|| format!("{}: {name}: {seen}, and not {expected}", case.claim))
    };
    let all: Vec<String> = observed.iter().zip(expected).filter_map(differs).collect();
    let strict = observed[0].1 == case.strict;
    match (case.apart.is_empty(), strict) {
        (false, true) if all.is_empty() => vec![format!("{}: nothing is apart", case.claim)],
        (false, true) => Vec::new(),
        _ => all,
    }
}

/// The claims of `tests/core/contract_*.rs`: file, what it is about, and its tests' names in words.
fn others(root: &Path) -> Vec<(String, String, Vec<String>)> {
    let mut files: Vec<String> = std::fs::read_dir(root.join("tests/core"))
        .expect("the tests are there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.starts_with("contract_") && name.ends_with(".rs"))
        .collect();
    files.sort_unstable();
    let read = |file: String| {
        let text = std::fs::read_to_string(root.join("tests/core").join(&file)).expect("readable");
        let title = text.lines().next().and_then(|line| line.strip_prefix("//! "));
        let title = title.expect("a test file says what it is about").trim_end_matches(['.', ':']);
        let claims = claims(&text);
        assert!(!claims.is_empty(), "{file} claims nothing");
        (file, title.to_owned(), claims)
    };
    files.into_iter().map(read).collect()
}

fn claims(text: &str) -> Vec<String> {
    let mut claims = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line != "#[test]" {
            continue;
        }
        let function = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
        let name = function.and_then(|function| function.split('(').next());
        claims.push(name.expect("a test has a name").replace('_', " "));
    }
    claims
}
