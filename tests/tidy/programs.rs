//! Test programs of many files: one that its `main.rs` does not name would be compiled by nobody,
//! and nothing would be red.

use crate::File;
use crate::source::Finding;
use std::collections::BTreeSet;

/// Files of a folder that its `main.rs` has no `mod` for, and the other way round.
pub(crate) fn unlisted(folder: &str, files: &[File]) -> Vec<Finding> {
    let main = format!("{folder}main.rs");
    let finding = |path: &str, message: String| Finding { path: path.to_owned(), line: 1, message };
    let Some(program) = files.iter().find(|file| file.path == main) else {
        return vec![finding(&main, "is not there".to_owned())];
    };
    let listed: BTreeSet<&str> = modules(&program.text).collect();
    let there: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(folder)?.strip_suffix(".rs"))
        .filter(|name| *name != "main")
        .collect();
    there
        .symmetric_difference(&listed)
        .map(|name| finding(&main, format!("`mod {name};` and {name}.rs: one is not there")))
        .collect()
}

/// Those that lie beside the file: what has a path of its own lies elsewhere.
fn modules(text: &str) -> impl Iterator<Item = &str> {
    let mut is_elsewhere = false;
    text.lines().filter_map(move |line| {
        let was_elsewhere = std::mem::replace(&mut is_elsewhere, line.starts_with("#[path"));
        if was_elsewhere { None } else { line.strip_prefix("mod ")?.strip_suffix(';') }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(main: &str, names: &[&str]) -> Vec<String> {
        let file = |path: String, text: &str| File { path, text: text.to_owned() };
        let mut files = vec![file("tests/x/main.rs".to_owned(), main)];
        files.extend(names.iter().map(|name| file(format!("tests/x/{name}.rs"), "")));
        unlisted("tests/x/", &files).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_file_without_its_mod_is_found_and_a_mod_without_its_file() {
        let main = "#[path = \"../w/mod.rs\"]\nmod w;\n\nmod a;\nmod b;\n";
        assert!(found(main, &["a", "b"]).is_empty());
        assert_eq!(found(main, &["a", "b", "c"]), ["`mod c;` and c.rs: one is not there"]);
        assert_eq!(found(main, &["b"]), ["`mod a;` and a.rs: one is not there"]);
        assert_eq!(unlisted("tests/y/", &[]).len(), 1);
    }
}
