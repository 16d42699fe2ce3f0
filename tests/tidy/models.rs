//! What the models of `loom-tests/` prove of which row of ARCHITECTURE.md: docs/MODELS.md, made of
//! the models' own words and of the heads of the mutants, and what is wrong with those.

use crate::File;
use crate::source::Finding;
use std::collections::BTreeSet;
use std::fmt::Write;

pub(crate) const ARCHITECTURE: &str = "ARCHITECTURE.md";
const MODELS: &str = "loom-tests/tests/models/";
const MUTANTS: &str = "loom-tests/mutants/";
const TABLE: &str = "## Fields, writers, orderings";
const INVARIANTS: &str = "## Invariants";

const HEAD: &str = "\
# Models

What is proved of the concurrent parts, on the real code, and what shows that the proof bites. Made
by `HALFSHAKE_BLESS=1 cargo test --test tidy` of the heads of the models, of the mutants and of
ARCHITECTURE.md; the same test without the variable fails when this page is stale.

A *model* is a few threads whose every order loom tries (`ci/loom`). A *mutant* is one line of the
real source made wrong: each model that it names must then fail, in both role orders
(`ci/loom-mutants`). So a row is proved by the models that fail when what upholds it is taken away,
and by no others. Which of its mutants weaken an ordering, and nothing else, is in the last table.

A few mutants break what stands in models for something of another library: they show that what that
library promises is needed, not that it keeps it.
";

/// What models run in the place of what ships.
pub(crate) const STAND_INS: [&str; 8] = [
    "src/entry/watched.rs",
    "src/model.rs",
    "src/model/parts.rs",
    "src/remedies.rs",
    "src/session/model.rs",
    "src/sync.rs",
    "src/sync/explored.rs",
    "src/sync/scheduled.rs",
];

/// What a failed assertion says, whichever it is.
const TELL_NOTHING: [&str; 5] = ["assertion", "failed", "left == right", "panicked", "unwrap"];

/// A row of the table of fields, or an invariant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    line: usize,
}

#[derive(Debug)]
struct Model {
    file: String,
    line: usize,
    /// Its file without `.rs`, and its own name.
    name: String,
    property: String,
    threads: String,
    not_covered: String,
    on_the_real_epoch: bool,
}

#[derive(Debug)]
struct Mutant {
    file: String,
    name: String,
    what: String,
    models: Vec<String>,
    rows: Vec<String>,
    source: String,
    /// Texts, one of which a model fails with.
    expects: Vec<String>,
    /// What ships in the place of what it breaks, or nothing.
    stand_in: String,
}

/// What a text says after each of three words.
#[derive(Debug, Default)]
struct Words {
    property: String,
    threads: String,
    not_covered: String,
}

/// A file of models.
#[derive(Debug)]
struct Group {
    path: String,
    name: String,
    words: Words,
}

/// All that is known of the models.
#[derive(Debug)]
pub(crate) struct Inventory {
    rows: Vec<Row>,
    groups: Vec<Group>,
    models: Vec<Model>,
    mutants: Vec<Mutant>,
}

impl Inventory {
    pub(crate) fn read(files: &[File]) -> Self {
        let rows = files.iter().find(|file| file.path == ARCHITECTURE);
        let is_model = |file: &&File| {
            let name = file.path.strip_prefix(MODELS);
            name.is_some_and(|name| name.ends_with(".rs") && name != "main.rs")
        };
        let groups: Vec<_> = files.iter().filter(is_model).collect();
        let mutants = files.iter().filter(|file| file.path.starts_with(MUTANTS));
        Self {
            rows: rows.map(|file| rows_of(&file.text)).unwrap_or_default(),
            groups: groups.iter().map(|file| group(file)).collect(),
            models: groups.iter().flat_map(|file| models(file)).collect(),
            mutants: mutants.map(mutant).collect(),
        }
    }

    /// The patches, by their paths.
    pub(crate) fn patches(&self) -> impl Iterator<Item = &str> {
        self.mutants.iter().map(|mutant| mutant.file.as_str())
    }

    /// What `ci/loom-mutants` says of all of them, without its blanks.
    pub(crate) fn record(&self) -> BTreeSet<String> {
        let runs = |mutant: &Mutant| -> Vec<_> {
            let orders = |model| ["given", "swapped"].map(|order| format!("{model} {order}"));
            let runs = mutant.models.iter().flat_map(orders);
            runs.map(|run| format!("{} {run} killed", mutant.name)).collect()
        };
        self.mutants.iter().flat_map(runs).collect()
    }

    /// The models, by file and name, each with the files of the mutants that it fails for.
    pub(crate) fn fail_for(&self) -> Vec<(String, String)> {
        let sources = |model: &Model| -> Vec<_> {
            let name = &model.name;
            self.killers(name).map(|mutant| (name.clone(), mutant.source.clone())).collect()
        };
        self.models.iter().flat_map(sources).collect()
    }

    fn killers<'i>(&'i self, model: &'i str) -> impl Iterator<Item = &'i Mutant> {
        self.mutants.iter().filter(move |mutant| mutant.models.iter().any(|name| name == model))
    }

    fn of_row<'i>(&'i self, row: &'i str) -> impl Iterator<Item = &'i Mutant> {
        self.mutants.iter().filter(move |mutant| mutant.rows.iter().any(|name| name == row))
    }

    /// Everything that keeps the models from covering what they should.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for Group { path, words, .. } in &self.groups {
            if words.property.is_empty() || words.threads.is_empty() || words.not_covered.is_empty()
            {
                found.push(at(path, 1, "say `Property:`, `Threads:` and `Not covered:` first"));
            }
        }
        for model in &self.models {
            let mut wrong = |what: &str| found.push(at(&model.file, model.line, what));
            if model.property.is_empty() || model.threads.is_empty() {
                wrong(&format!("{}: say the property, then `Threads:`", model.name));
            }
            if self.killers(&model.name).next().is_none() {
                wrong(&format!("{}: no mutant shows that it bites", model.name));
            }
        }
        for mutant in &self.mutants {
            let mut wrong = |what: String| found.push(at(&mutant.file, 1, &what));
            if STAND_INS.contains(&mutant.source.as_str()) == mutant.stand_in.is_empty() {
                wrong(format!("{}: say `stand-in:`, or don't", mutant.source));
            }
            if mutant.models.is_empty() || mutant.rows.is_empty() {
                wrong("say `models:` and `row:`".to_owned());
            }
            if mutant.expects.iter().any(|text| TELL_NOTHING.contains(&text.as_str())) {
                wrong("it expects what any failure says: say which".to_owned());
            }
            for name in &mutant.models {
                if !self.models.iter().any(|model| model.name == *name) {
                    wrong(format!("there is no model {name}"));
                }
            }
            for name in &mutant.rows {
                if !self.rows.iter().any(|row| row.name == *name) {
                    wrong(format!("{ARCHITECTURE} has no row {name}"));
                }
            }
        }
        for row in &self.rows {
            if self.of_row(&row.name).next().is_none() {
                let line = format!("{}: no mutant breaks it, so no model shows it", row.name);
                found.push(at(ARCHITECTURE, row.line, &line));
            }
        }
        found
    }

    /// docs/MODELS.md.
    pub(crate) fn document(&self) -> String {
        let mut out = HEAD.to_owned();
        let real = self.models.iter().filter(|model| model.on_the_real_epoch).count();
        let _infallible = writeln!(
            out,
            "\n{} models, {real} of them on the real crossbeam-epoch; {} mutants; {} rows.",
            self.models.len(),
            self.mutants.len(),
            self.rows.len()
        );
        self.write_rows(&mut out);
        for group in &self.groups {
            self.write_group(&mut out, group);
        }
        self.write_mutants(&mut out);
        out
    }

    /// What ARCHITECTURE.md says of mutants.
    pub(crate) fn table_of_mutants(&self) -> String {
        let mut out = "\n| row | models fail when |\n| --- | --- |\n".to_owned();
        for row in &self.rows {
            line(&mut out, [&row.name, &names(self.of_row(&row.name).collect())]);
        }
        out.push('\n');
        out
    }

    fn write_rows(&self, out: &mut String) {
        out.push_str("\n## Rows\n\n| row of ARCHITECTURE.md | models | mutants |\n");
        out.push_str("| --- | --- | --- |\n");
        for row in &self.rows {
            let mutants: Vec<_> = self.of_row(&row.name).collect();
            let models: BTreeSet<_> =
                mutants.iter().flat_map(|mutant| mutant.models.iter().cloned()).collect();
            let models = models.into_iter().collect::<Vec<_>>().join(", ");
            line(out, [&row.name, &models, &names(mutants)]);
        }
    }

    fn write_group(&self, out: &mut String, Group { path, name, words }: &Group) {
        let _infallible = write!(
            out,
            "\n## {name}\n\n`{path}`\n\n- Property: {}\n- Threads: {}\n- Not covered: {}\n\n",
            words.property, words.threads, words.not_covered
        );
        out.push_str("| model | property | threads | not covered, besides | rows | killed by |\n");
        out.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for model in self.models.iter().filter(|model| model.file == *path) {
            let killers: Vec<_> = self.killers(&model.name).collect();
            let rows: BTreeSet<_> =
                killers.iter().flat_map(|mutant| mutant.rows.iter().cloned()).collect();
            let rows = rows.into_iter().collect::<Vec<_>>().join("; ");
            let name = model.name.split("::").last().unwrap_or_default();
            let Model { property, threads, not_covered, .. } = model;
            line(out, [name, property, threads, not_covered, &rows, &names(killers)]);
        }
    }

    fn write_mutants(&self, out: &mut String) {
        out.push_str("\n## Mutants\n\n| mutant | what it breaks | in |\n| --- | --- | --- |\n");
        for Mutant { name, what, source, stand_in, .. } in &self.mutants {
            let what = match stand_in.as_str() {
                "" => what.clone(),
                real => format!("{what} It breaks what stands in models for {real}."),
            };
            line(out, [name, &what, &format!("`{source}`")]);
        }
    }
}

fn at(path: &str, line: usize, message: &str) -> Finding {
    Finding { path: path.to_owned(), line, message: message.to_owned() }
}

fn names(mutants: Vec<&Mutant>) -> String {
    let name = |mutant: &Mutant| match mutant.stand_in.as_str() {
        "" => mutant.name.clone(),
        _ => format!("{} (of a stand-in)", mutant.name),
    };
    mutants.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

fn line<const N: usize>(out: &mut String, cells: [&str; N]) {
    for cell in cells {
        let _infallible = write!(out, "| {} ", cell.replace('|', "\\|"));
    }
    out.push_str("|\n");
}

/// The invariants, then the rows of the table of fields. Rows of one field are told apart by the
/// first word of who writes them.
fn rows_of(architecture: &str) -> Vec<Row> {
    let lines: Vec<&str> = architecture.lines().collect();
    let section = |title: &str| {
        let begin = lines.iter().position(|line| *line == title).map_or(lines.len(), |at| at + 1);
        let length = lines[begin..].iter().take_while(|line| !line.starts_with("## ")).count();
        begin..begin + length
    };
    let mut rows = Vec::new();
    for line in section(INVARIANTS) {
        if let Some((number, _)) = lines[line].split_once(". **") {
            let name = format!("invariant {number}");
            rows.push(Row { name, line: line + 1 });
        }
    }
    let cells = |line: usize| -> Vec<String> {
        let inner = lines[line].trim_matches('|');
        inner.split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let table: Vec<_> = section(TABLE).filter(|line| lines[*line].starts_with('|')).collect();
    let mut field = String::new();
    for (number, line) in table.iter().enumerate().skip(2) {
        let cells = cells(*line);
        let goes_on = table.get(number + 1).is_some_and(|next| lines[*next].starts_with("| |"));
        if !cells[0].is_empty() {
            field = cells[0].split(" (").next().unwrap_or_default().to_owned();
        }
        let is_one_of_some = cells[0].is_empty() || goes_on;
        let writer = cells[1].split([' ', ',']).next().unwrap_or_default();
        let name = if is_one_of_some { format!("{field}: {writer}") } else { field.clone() };
        rows.push(Row { name, line: line + 1 });
    }
    rows
}

fn group(file: &File) -> Group {
    let head: Vec<_> = file.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let name = file.path.trim_start_matches(MODELS).trim_end_matches(".rs").to_owned();
    let head = head.join("\n");
    let from_property = head.split_once("Property:").map_or("", |(_, rest)| rest);
    Group { path: file.path.clone(), name, words: words(from_property) }
}

/// Each model of a file: what stands above the function of its name.
fn models(file: &File) -> Vec<Model> {
    let lines: Vec<&str> = file.text.lines().collect();
    let group = file.path.trim_start_matches(MODELS).trim_end_matches(".rs");
    let mut found = Vec::new();
    for (number, _) in file.text.match_indices("model!(") {
        let rest = file.text[number + "model!(".len()..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let begin = format!("fn {name}(");
        let line = lines.iter().position(|line| line.starts_with(&begin)).unwrap_or_default();
        let above = lines[..line].iter().rev().map_while(|line| line.strip_prefix("///"));
        let mut doc: Vec<_> = above.collect();
        doc.reverse();
        let Words { property, threads, not_covered } = words(&doc.join("\n"));
        found.push(Model {
            file: file.path.clone(),
            line: line + 1,
            name: format!("{group}::{name}"),
            property,
            threads,
            not_covered,
            on_the_real_epoch: rest[name.len()..]
                .trim_start_matches(',')
                .trim_start()
                .starts_with("real,"),
        });
    }
    found
}

/// A text in three parts, each on one line. The last one ends with its paragraph.
fn words(text: &str) -> Words {
    let (property, rest) = text.split_once("Threads:").unwrap_or((text, ""));
    let (threads, rest) = rest.split_once("Not covered:").unwrap_or((rest, ""));
    let not_covered = rest.split("\n\n").next().unwrap_or_default();
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Words {
        property: one_line(property),
        threads: one_line(threads),
        not_covered: one_line(not_covered),
    }
}

fn mutant(file: &File) -> Mutant {
    let head = |word: &str| file.text.lines().find_map(|line| line.strip_prefix(word));
    let list = |word: &str, by: char| -> Vec<String> {
        let all = head(word).unwrap_or_default().split(by).map(str::trim);
        all.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    Mutant {
        file: file.path.clone(),
        name: file.path.trim_start_matches(MUTANTS).trim_end_matches(".patch").to_owned(),
        what: file.text.lines().next().unwrap_or_default().to_owned(),
        models: list("models: ", ' '),
        rows: list("row: ", ';'),
        expects: list("expect: ", '|'),
        stand_in: head("stand-in: ").unwrap_or_default().to_owned(),
        source: head("--- a/").unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "## Invariants\n\n1. **One.** It is.\n\n## Fields, writers, orderings\n\n\
        | field | written by |\n| --- | --- |\n\
        | `A::b` | `publish` (CAS) |\n| | `unlink`, `clear` |\n| `C` (one) | x |\n";
    const MODEL: &str = "//! Some.\n//!\n//! Property: p.\n//! Threads: t.\n//! Not covered: n.\n\n\
        /// It holds.\n///\n/// Threads: two. Not covered: three.\nfn holds(race: &Race) {\n}\n\
        model!(holds, real, least 20);\n";
    const MUTANT: &str = "Nothing is kept.\nmodels: some::holds\nrow: A::b: publish; A::b: unlink; \
        invariant 1; C\nexpect: x\n\n--- a/src/a.rs\n";

    fn findings(rows: &str, model: &str, mutant: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file(ARCHITECTURE, rows),
            file("loom-tests/tests/models/some.rs", model),
            file("loom-tests/mutants/keeps.patch", mutant),
        ];
        let found = Inventory::read(&files).findings();
        found.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn rows_are_told_apart_by_field_and_by_writer() {
        let names: Vec<_> = rows_of(ROWS).into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["invariant 1", "A::b: publish", "A::b: unlink", "C"]);
    }

    #[test]
    fn whole_inventory_has_no_findings() {
        assert_eq!(findings(ROWS, MODEL, MUTANT), [""; 0]);
    }

    #[test]
    fn models_mutants_and_rows_must_name_one_another() {
        let wrong = |rows: &str, model: &str, mutant: &str, says: &str| {
            let found = findings(rows, model, mutant);
            assert!(found.iter().any(|found| found.contains(says)), "{says}: {found:?}");
        };
        wrong(ROWS, MODEL, &MUTANT.replace("some::holds", "some::other"), "no model some::other");
        wrong(ROWS, MODEL, &MUTANT.replace("some::holds", "some::other"), "no mutant shows");
        wrong(ROWS, MODEL, &MUTANT.replace("A::b: unlink", "A::c"), "has no row A::c");
        wrong(ROWS, MODEL, &MUTANT.replace("; invariant 1", ""), "invariant 1: no mutant");
        wrong(ROWS, MODEL, &MUTANT.replace("row: ", "raw: "), "say `models:` and `row:`");
        wrong(ROWS, &MODEL.replace("/// Threads:", "/// Two:"), MUTANT, "say the property");
        wrong(ROWS, &MODEL.replace("//! Threads:", "//! Two:"), MUTANT, "`Not covered:` first");
        wrong(ROWS, MODEL, &MUTANT.replace("; C", ""), "C: no mutant");
        wrong(ROWS, MODEL, &MUTANT.replace("src/a.rs", STAND_INS[0]), "say `stand-in:`");
        wrong(ROWS, MODEL, &MUTANT.replace("expect: x", "expect: x|unwrap"), "say which");
        wrong(ROWS, MODEL, &MUTANT.replace("row:", "stand-in: y\nrow:"), "say `stand-in:`");
    }

    #[test]
    fn the_page_has_each_row_model_and_mutant() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file(ARCHITECTURE, ROWS),
            file("loom-tests/tests/models/some.rs", MODEL),
            file("loom-tests/mutants/keeps.patch", MUTANT),
        ];
        let inventory = Inventory::read(&files);
        let page = inventory.document();
        let table = inventory.table_of_mutants();
        assert!(table.ends_with("| A::b: unlink | keeps |\n| C | keeps |\n\n"), "{table}");
        for line in [
            "| A::b: unlink | some::holds | keeps |",
            "| C | some::holds | keeps |",
            "| keeps | Nothing is kept. | `src/a.rs` |",
            "1 models, 1 of them on the real crossbeam-epoch; 1 mutants; 4 rows.",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        let rows = "A::b: publish; A::b: unlink; C; invariant 1";
        let model = format!("| holds | It holds. | two. | three. | {rows} | keeps |");
        assert!(page.contains(&model), "{page}");
    }
}
