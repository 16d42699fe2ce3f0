//! Who may import whom, and which names stay in their rooms.

use crate::paths::paths;
use crate::source::{Finding, Source};

/// A file of `src/`: its module path with `/`, its layer, and whether it may contain `unsafe`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) module: &'static str,
    pub(crate) layer: u8,
    pub(crate) has_unsafe: bool,
}

/// `src/table/mod.rs` is the module `table`; `src/lib.rs` is above all and has none.
pub(crate) fn module_of(path: &str) -> Option<&str> {
    let module = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    Some(module.strip_suffix("/mod").unwrap_or(module)).filter(|module| *module != "lib")
}

/// Every file has a room, and every room its file.
pub(crate) fn rooms_and_files(rooms: &[Room], sources: &[Source]) -> Vec<Finding> {
    let modules: Vec<&str> = sources.iter().filter_map(|file| module_of(&file.path)).collect();
    let has_room = |module: &str| rooms.iter().any(|room| room.module == module);
    let unknown = sources
        .iter()
        .filter(|file| module_of(&file.path).is_some_and(|module| !has_room(module)))
        .map(|file| file.finding(0, "has no layer: add it to the table in tests/tidy.rs"));
    let stale = rooms.iter().filter(|room| !modules.contains(&room.module)).map(|room| Finding {
        path: format!("src/{}.rs", room.module),
        line: 1,
        message: "has a layer in tests/tidy.rs, but is not there".to_owned(),
    });
    unknown.chain(stale).collect()
}

/// A file imports from its own layer or a lower one, and from where a name is defined.
pub(crate) fn imports(rooms: &[Room], source: &Source) -> Vec<Finding> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let Some(own) = rooms.iter().find(|room| room.module == module) else { return Vec::new() };
    let mut findings = Vec::new();
    for path in paths(source).into_iter().filter(|path| path.line < source.tests_at) {
        let mut target: Vec<&str> = match path.segments[0].as_str() {
            "crate" => Vec::new(),
            "super" => module.split('/').chain(path.modules.iter().map(String::as_str)).collect(),
            _ => continue,
        };
        for segment in &path.segments {
            match segment.as_str() {
                "crate" => {}
                "super" => drop(target.pop()),
                name => target.push(name),
            }
        }
        let name = path.segments.join("::");
        match room_of(rooms, &target) {
            Some(room) if room.layer > own.layer => findings.push(source.finding(
                path.line,
                format!("layer {} imports {name} of layer {}", own.layer, room.layer),
            )),
            Some(_) => {}
            None => findings.push(
                source.finding(path.line, format!("{name} is no module: import what defines it")),
            ),
        }
    }
    findings
}

fn room_of<'r>(rooms: &'r [Room], target: &[&str]) -> Option<&'r Room> {
    (1..=target.len()).rev().find_map(|length| {
        let module = target[..length].join("/");
        rooms.iter().find(|room| room.module == module)
    })
}

/// `unsafe` only in the files whose `mod` line expects it, and these are the table's.
pub(crate) fn unsafe_rooms(rooms: &[Room], source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let module = module_of(&source.path);
    let room = rooms.iter().find(|room| Some(room.module) == module);
    let first = source.tokens.iter().find(|token| token.text == "unsafe");
    match (room.is_some_and(|room| room.has_unsafe), first) {
        (false, Some(token)) => {
            findings.push(source.finding(token.line, "`unsafe` outside the files for it"));
        }
        (true, None) => {
            findings.push(source.finding(0, "may contain `unsafe` and does not: say so"));
        }
        _ => {}
    }
    for (line, child) in lifts(source) {
        let is_room =
            |child: &str| rooms.iter().any(|room| room.has_unsafe && room.module == child);
        if !child.is_some_and(|child| is_room(&child)) {
            let message = "lifts `unsafe_code`, but not for a file that tests/tidy.rs knows";
            findings.push(source.finding(line, message));
        }
    }
    findings
}

/// The `mod` line of each file that may contain `unsafe` says so: the module list is also theirs.
pub(crate) fn lifted(rooms: &[Room], sources: &[Source]) -> Vec<Finding> {
    let lifted: Vec<String> =
        sources.iter().flat_map(lifts).filter_map(|(_, child)| child).collect();
    let missing = |source: &&Source| {
        let module = module_of(&source.path);
        rooms.iter().any(|room| room.has_unsafe && Some(room.module) == module)
            && !lifted.iter().any(|child| Some(child.as_str()) == module)
    };
    let message = "may contain `unsafe`, but its `mod` line does not expect `unsafe_code`";
    sources.iter().filter(missing).map(|source| source.finding(0, message)).collect()
}

/// Where a file lifts `unsafe_code`, and the module (with `/`) whose declaration that stands on.
fn lifts(source: &Source) -> Vec<(usize, Option<String>)> {
    let parent = module_of(&source.path).map_or(String::new(), |module| format!("{module}/"));
    let tokens = source.tokens.iter().enumerate();
    tokens
        .filter(|(_, token)| token.text == "unsafe_code")
        .map(|(at, token)| {
            let child = declared_after(source, at).map(|child| format!("{parent}{child}"));
            (token.line, child)
        })
        .collect()
}

/// The module that is declared by the item whose attribute stands at `at`.
fn declared_after(source: &Source, at: usize) -> Option<&str> {
    let rest = (at..source.tokens.len()).take_while(|at| !matches!(source.token(*at), "{" | ";"));
    let declared = rest.skip_while(|at| source.token(*at) != "mod").nth(1)?;
    (source.token(declared + 1) == ";").then(|| source.token(declared))
}

/// Where the atomics are, and what takes their place in models.
const SYNC: [&str; 2] = ["src/sync.rs", "src/sync/scheduled.rs"];

/// Atomics, loom and shuttle only in `sync`, crossbeam-epoch only in `reclaim.rs`.
pub(crate) fn names(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !SYNC.contains(&source.path.as_str()) {
        let atomics =
            |segments: &[String]| segments.windows(2).any(|two| two == ["sync", "atomic"]);
        for path in paths(source).iter().filter(|path| atomics(&path.segments)) {
            findings.push(source.finding(path.line, "only src/sync.rs names the atomics"));
        }
        for name in ["loom", "shuttle"] {
            for token in source.tokens.iter().filter(|token| token.text == name) {
                let message = format!("only src/sync.rs names {name}");
                findings.push(source.finding(token.line, message));
            }
        }
    }
    if source.path != "src/reclaim.rs" {
        for token in source.tokens.iter().filter(|token| token.text == "crossbeam_epoch") {
            let message = "only src/reclaim.rs names crossbeam_epoch";
            findings.push(source.finding(token.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: &[Room] = &[
        Room { module: "sync", layer: 0, has_unsafe: false },
        Room { module: "table", layer: 2, has_unsafe: false },
        Room { module: "table/set", layer: 2, has_unsafe: true },
        Room { module: "cache", layer: 5, has_unsafe: false },
    ];

    fn messages(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    fn broken_imports(path: &str, text: &str) -> Vec<String> {
        messages(imports(ROOMS, &Source::parse(path, text)))
    }

    #[test]
    fn imports_from_above_are_found() {
        assert_eq!(
            broken_imports("src/table/set.rs", "use crate::sync::Ordering;\nuse crate::cache::C;"),
            ["src/table/set.rs:2: layer 2 imports crate::cache::C of layer 5"]
        );
        let grouped = "fn f() {}\nuse crate::{\n    sync,\n    cache::{self, C},\n};";
        assert_eq!(broken_imports("src/table/mod.rs", grouped).len(), 2);
        let called = "fn f() { crate::cache::g(); super::super::cache::g(); }";
        assert_eq!(broken_imports("src/table/set.rs", called).len(), 2);
    }

    #[test]
    fn imports_of_ones_own_layer_and_below_are_fine() {
        let text = "use super::Table;\nuse super::set::X;\nmod imp { use super::Own; }\n\
                    // crate::cache\n#[cfg(test)]\nmod tests {\n  use crate::cache::C;\n}";
        assert_eq!(broken_imports("src/table/set.rs", text), [""; 0]);
    }

    #[test]
    fn imports_through_the_crate_root_are_found() {
        assert_eq!(
            broken_imports("src/cache.rs", "use crate::Cache;"),
            ["src/cache.rs:1: crate::Cache is no module: import what defines it"]
        );
    }

    #[test]
    fn unknown_files_and_stale_rooms_are_found() {
        let files = ["src/lib.rs", "src/sync.rs", "src/table/mod.rs", "src/cache.rs", "src/new.rs"];
        let sources: Vec<Source> = files.iter().map(|path| Source::parse(path, "")).collect();
        assert_eq!(
            messages(rooms_and_files(ROOMS, &sources)),
            [
                "src/new.rs:1: has no layer: add it to the table in tests/tidy.rs",
                "src/table/set.rs:1: has a layer in tests/tidy.rs, but is not there"
            ]
        );
    }

    #[test]
    fn unsafe_outside_its_files_is_found() {
        let check = |path, text| messages(unsafe_rooms(ROOMS, &Source::parse(path, text)));
        assert_eq!(
            check("src/cache.rs", "// unsafe\nfn f() { unsafe { g() } }"),
            ["src/cache.rs:2: `unsafe` outside the files for it"]
        );
        assert_eq!(check("src/table/set.rs", "unsafe fn f() {}"), [""; 0]);
        assert_eq!(check("src/table/set.rs", "fn f() {}").len(), 1);
        let declared = "#[expect(unsafe_code, reason = \"cells\")]\npub(crate) mod set;";
        assert_eq!(check("src/table/mod.rs", declared), [""; 0]);
        assert_eq!(check("src/lib.rs", declared).len(), 1);
        assert_eq!(check("src/lib.rs", "#![allow(unsafe_code)]\nmod sync;").len(), 1);
        assert_eq!(check("src/cache.rs", "#[allow(unsafe_code)]\nfn f() {}").len(), 1);
    }

    #[test]
    fn an_unsafe_file_that_its_mod_line_hides_is_found() {
        let check = |declared| {
            let files = [("src/table/mod.rs", declared), ("src/table/set.rs", "")];
            messages(lifted(ROOMS, &files.map(|(path, text)| Source::parse(path, text))))
        };
        assert_eq!(check("#[expect(unsafe_code, reason = \"cells\")]\nmod set;"), [""; 0]);
        assert_eq!(
            check("mod set;"),
            ["src/table/set.rs:1: may contain `unsafe`, but its `mod` line does not expect \
              `unsafe_code`"]
        );
    }

    #[test]
    fn names_outside_their_rooms_are_found() {
        let check = |path, text| messages(names(&Source::parse(path, text)));
        assert_eq!(
            check("src/cache.rs", "use std::sync::{Arc,\n  atomic::AtomicBool};"),
            ["src/cache.rs:2: only src/sync.rs names the atomics"]
        );
        assert_eq!(check("src/cache.rs", "loom::explore();").len(), 1);
        assert_eq!(check("src/once.rs", "use shuttle::sync::Mutex;").len(), 1);
        assert_eq!(check("src/sync/scheduled.rs", "use shuttle::sync::Mutex;").len(), 0);
        assert_eq!(check("src/cache.rs", "use crossbeam_epoch as e;").len(), 1);
        assert_eq!(check("src/cache.rs", "#[cfg(halfshake_loom)]\nuse std::sync::Arc;").len(), 0);
        assert_eq!(check("src/sync.rs", "use core::sync::atomic::fence;\nuse loom::x;").len(), 0);
        assert_eq!(check("src/reclaim.rs", "use crossbeam_epoch::Guard;").len(), 0);
    }
}
