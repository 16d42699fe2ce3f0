//! `halfshake.h` is what the sources say. `HALFSHAKE_BLESS=1` writes it.

use std::path::Path;

/// In the order of the header.
const SOURCES: &[&str] = &[
    "result",
    "compat",
    "options",
    "session",
    "foreign",
    "shell",
    "statistics",
    "attach/symbols",
    "attach/options",
    "exports/names",
    "exports/cache",
    "exports/sessions",
    "exports/changes",
    "exports/lookups",
    "exports/callbacks",
    "exports/statistics",
    "exports/attach",
];

/// The first function of each part.
const HEADINGS: &[(&str, &str)] = &[
    ("halfshake_version", "Names and messages"),
    ("halfshake_options_init", "A cache: made, set up, ended"),
    ("halfshake_session_new", "Sessions"),
    ("halfshake_cache_new_session", "New sessions, flushes, handshakes"),
    ("halfshake_cache_resume", "Look-ups and removals"),
    ("halfshake_cache_set_new_callback", "Callbacks"),
    ("halfshake_new_has_left", "Inside of callbacks"),
    ("halfshake_cache_stats", "Statistics and walks"),
    ("halfshake_attach_options_init", "Under a context of a TLS library"),
];

const GUARD: &str = "HALFSHAKE_H";

fn generated() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(here.join(name)).expect("a file of this crate");
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("settings");
    let mut builder = cbindgen::Builder::new().with_config(config).with_header(
        read("header-intro.h").replace("@VERSION@", env!("CARGO_PKG_VERSION")).trim_end(),
    );
    for source in SOURCES {
        builder = builder.with_src(here.join("src").join(source).with_extension("rs"));
    }
    let mut header = Vec::new();
    let trailer = format!("#endif /* {GUARD} */");
    builder.with_trailer(trailer).generate().expect("a header").write(&mut header);
    let header = String::from_utf8(header).expect("a header is text");
    // A cache is never read by C, and every call may change it: `const` would say nothing.
    let header = header.replace("const struct halfshake_cache *", "struct halfshake_cache *");
    // Nor is a name of the TLS library's ours to define.
    let header = header.replace("typedef struct ssl_ctx_st ssl_ctx_st;", "struct ssl_ctx_st;");
    with_headings(&short_comments(&by_typedef(&header)))
}

/// A type that has a name needs no `struct`.
fn by_typedef(header: &str) -> String {
    let line = |line: &str| {
        let defines = line.starts_with("typedef struct") || line.starts_with("struct");
        if defines { line.to_owned() } else { line.replace("struct halfshake_", "halfshake_") }
    };
    header.lines().map(|text| line(text) + "\n").collect()
}

/// A comment of one line takes one line.
fn short_comments(header: &str) -> String {
    let lines: Vec<&str> = header.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let text = lines.get(at + 1).and_then(|text| text.trim_start().strip_prefix("* "));
        let closed = lines.get(at + 2).is_some_and(|end| end.trim() == "*/");
        match text.map(|text| format!("{indent}/** {text} */")) {
            Some(short) if line.trim() == "/**" && closed && short.len() <= 100 => {
                out += &short;
                at += 3;
            }
            _ => {
                out += line;
                at += 1;
            }
        }
        out.push('\n');
    }
    // One of several in a row needs no empty line between.
    let mut tidy = out.clone();
    loop {
        let next = joined(&tidy);
        if next == tidy {
            return tidy;
        }
        tidy = next;
    }
}

/// Takes out the empty line between two constants of the same kind.
fn joined(header: &str) -> String {
    let lines: Vec<&str> = header.lines().collect();
    let kind = |line: Option<&&str>| -> Option<String> {
        let name = line?.strip_prefix("#define HALFSHAKE_")?;
        Some(name.split('_').next().unwrap_or(name).to_owned())
    };
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| lines.get(at));
        let short = lines.get(at + 1).is_some_and(|next| next.starts_with("/** "));
        let same = short && kind(before).is_some() && kind(before) == kind(lines.get(at + 2));
        if !(line.is_empty() && same) {
            out += line;
            out.push('\n');
        }
    }
    out
}

/// Says where a new part of the functions begins.
fn with_headings(header: &str) -> String {
    let mut header = header.to_owned();
    for (function, heading) in HEADINGS {
        let functions = header.find("extern \"C\"").expect("functions follow");
        let declared =
            [" ", "*"].map(|before| header[functions..].find(&format!("{before}{function}(")));
        let [name, pointer] = declared;
        let name = functions + name.or(pointer).expect("a heading stands before a function");
        let comment = header[..name].rfind("\n/**").expect("a function has a comment");
        header.insert_str(comment, &format!("\n/* ==== {heading} ==== */\n"));
    }
    header
}

#[test]
fn the_header_is_what_the_sources_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("halfshake.h");
    let fresh = generated();
    if std::env::var_os("HALFSHAKE_BLESS").is_some() {
        std::fs::write(&path, &fresh).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "halfshake.h is stale: HALFSHAKE_BLESS=1 cargo test -p halfshake-capi --test header"
    );
}
