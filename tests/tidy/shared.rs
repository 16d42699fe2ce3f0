//! What threads share: each field of an atomic, a lock or a shared pointer stands in a table of
//! ARCHITECTURE.md.

use crate::File;
use crate::models::{ARCHITECTURE, STAND_INS};
use crate::source::{Finding, Source};
use std::collections::BTreeSet;

/// Types that threads share something by. (`Depot` and `Ring` are made of these.)
const SHARED: [&str; 15] = [
    "AtomicI64",
    "AtomicU8",
    "AtomicU32",
    "AtomicU64",
    "Condvar",
    "Flag",
    "Lock",
    "Mutex",
    "OnceLock",
    "PlainBool",
    "PlainSwap",
    "PlainU64",
    "Slot",
    "Swap",
    "Word",
];

/// Types that stand in the tables under another name.
const ALIASES: [(&str, &str, &str); 4] = [
    ("src/table/retired.rs", "Inner", "List"),
    ("src/table/ring.rs", "Inner", "Ring"),
    ("src/table/tags.rs", "Tags", "Meta::tags"),
    ("src/session/unknown.rs", "Line", "Unknown"),
];

/// A stand-in in a file that ships; and what stands in the first table, and is a fence.
const MODEL_ONLY: &str = "ModelEpoch";
const FENCE: &str = "Guard::repin";

/// Where the tables stand: from the title of the first to that of the next section.
const BEGIN: &str = "## Fields, writers, orderings";
const END: &str = "\n## What fails without them";

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    path: String,
    line: usize,
    owner: String,
    /// Nothing, of a struct whose fields have no names.
    name: String,
}

/// Shared fields that no table has, and names in the tables that are no shared fields.
pub(crate) fn findings(files: &[File]) -> Vec<Finding> {
    let is_ours = |file: &&File| {
        let is_stand_in = STAND_INS.contains(&file.path.as_str());
        file.path.starts_with("src/") && file.path.ends_with(".rs") && !is_stand_in
    };
    let fields: Vec<_> = files.iter().filter(is_ours).flat_map(fields).collect();
    let architecture = files.iter().find(|file| file.path == ARCHITECTURE);
    let names = architecture.map(|file| names(&file.text)).unwrap_or_default();
    let mut found = Vec::new();
    for field in fields.iter().filter(|field| !names.contains(&field.whole())) {
        let message = format!("no table of {ARCHITECTURE} has {}", field.whole());
        found.push(Finding { path: field.path.clone(), line: field.line, message });
    }
    for name in names.iter().filter(|name| *name != FENCE) {
        let is_known = |field: &Field| *name == field.owner || *name == field.whole();
        if !fields.iter().any(is_known) {
            let message = format!("{name} is no field that threads share");
            found.push(Finding { path: ARCHITECTURE.to_owned(), line: 1, message });
        }
    }
    found
}

impl Field {
    fn whole(&self) -> String {
        if self.name.is_empty() {
            self.owner.clone()
        } else {
            format!("{}::{}", self.owner, self.name)
        }
    }
}

fn fields(file: &File) -> Vec<Field> {
    let source = Source::parse(&file.path, &file.text);
    let is_shared = |text: &str| {
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        words.any(|word| SHARED.contains(&word))
    };
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = Vec::new();
    let mut owner = String::new();
    for (number, line) in source.lines.iter().enumerate().take(source.tests_at) {
        let code = line.code.trim();
        let bare = code.trim_start_matches("pub").trim_start();
        let bare =
            if bare.starts_with('(') { bare.split_once(") ").map_or("", |b| b.1) } else { bare };
        let (name, of) = if let Some(rest) = bare.strip_prefix("struct ") {
            owner = word(rest);
            let alias = ALIASES.iter().find(|(path, name, _)| *path == file.path && *name == owner);
            owner = alias.map_or(owner, |(_, _, name)| (*name).to_owned());
            (String::new(), rest.split_once('(').map_or("", |(_, of)| of))
        } else if code == "}" {
            owner.clear();
            continue;
        } else {
            bare.split_once(": ").map_or((String::new(), ""), |(name, of)| (word(name), of))
        };
        let (path, line) = (file.path.clone(), number + 1);
        if let Some((name, of)) = bare.strip_prefix("static ").and_then(|of| of.split_once(": ")) {
            if is_shared(of.split(" = ").next().unwrap_or_default()) {
                found.push(Field { path, line, owner: module(file), name: name.to_owned() });
            }
        } else if !owner.is_empty() && owner != MODEL_ONLY && is_shared(of) {
            found.push(Field { path, line, owner: owner.clone(), name });
        }
        if code.ends_with(");") {
            // All of a struct whose fields have no names.
            owner.clear();
        }
    }
    found
}

/// The last name of its path.
fn module(file: &File) -> String {
    let path = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// What the first cells of the tables name: `A::b`, `c` is A::b and A::c, and so is `A` (`b`, `c`).
fn names(architecture: &str) -> BTreeSet<String> {
    let tables = architecture.split_once(BEGIN).map_or("", |(_, rest)| rest);
    let tables = tables.split_once(END).map_or(tables, |(tables, _)| tables);
    let mut found = BTreeSet::new();
    for row in tables.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cell = row.split(" |").next().unwrap_or_default();
        let mut owner = None;
        for name in cell.split('`').step_by(2) {
            let own = name.split_once("::").map(|(owner, _)| owner);
            found.insert(match (own, owner) {
                (None, Some(owner)) => format!("{owner}::{name}"),
                _ => name.to_owned(),
            });
            owner = own.or(owner).or(Some(name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "\n## Fields, writers, orderings\n\n| `A::b`, `c` | x |\n| `D` | y |\n\n\
                          ## What fails without them\n| `A::e` |\n";

    fn wrong(source: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file(ARCHITECTURE, TABLES), file("src/a.rs", source)];
        findings(&files).into_iter().map(|finding| finding.message).collect()
    }

    const FINE: &str = "struct A {\n    b: AtomicU64,\n    pub(crate) c: Arc<Lock<()>>,\n\
                        \x20   d: u64,\n}\nstruct D(Swap<u64>);\nfn f() {\n    let x: Lock;\n}\n";

    #[test]
    fn fields_that_stand_in_a_table_are_fine() {
        assert_eq!(wrong(FINE), [""; 0]);
        let tested = format!("{FINE}#[cfg(test)]\nmod tests {{\n    struct E(Lock<u8>);\n}}\n");
        assert_eq!(wrong(&tested), [""; 0]);
    }

    #[test]
    fn fields_that_no_table_has_and_names_of_none_are_found() {
        let more = FINE.replace("d: u64", "e: CachePadded<[Word; 3]>");
        assert_eq!(wrong(&more), ["no table of ARCHITECTURE.md has A::e"]);
        assert_eq!(wrong(&FINE.replace("c: Arc", "b2: Arc")).len(), 2);
        let less = FINE.replace("b: AtomicU64", "b: u64");
        assert_eq!(wrong(&less), ["A::b is no field that threads share"]);
        let named = FINE.replace("struct D(Swap<u64>);", "struct D {\n    e: Swap<u64>,\n}");
        assert_eq!(wrong(&named)[0], "no table of ARCHITECTURE.md has D::e");
        let counted = format!("{FINE}fn g() {{\n    static N: PlainU64 = PlainU64::new(1);\n}}\n");
        assert_eq!(wrong(&counted), ["no table of ARCHITECTURE.md has a::N"]);
    }
}
