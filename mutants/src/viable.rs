//! Which mutants can be woven: the compiler refuses some, and says where.

use crate::list::Mutant;
use crate::sites::{self, Site};
use crate::weave::{self, Weaver};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What can be done with a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Woven,
    /// It would not compile by itself either.
    Unviable,
    /// It stands in what only other builds have.
    Elsewhere,
    /// It has to be built by itself: it changes a constant, or a type that is inferred.
    Apart,
}

/// Errors that a function's other value, or another operator, brings along wherever it stands.
const OWN_FAULT: [&str; 10] =
    ["E0061", "E0277", "E0308", "E0368", "E0369", "E0423", "E0425", "E0433", "E0599", "E0600"];
const ROUNDS: usize = 20;

#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    message: String,
    code: Option<Code>,
    spans: Vec<Place>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Place {
    file_name: String,
    line_start: usize,
    is_primary: bool,
}

/// Weaves all that can be woven into the sources of `tree`, which are those that `mutants` are of.
pub(crate) fn weave(
    tree: &Path,
    mutants: &[Mutant],
    check: &[String],
) -> Result<Vec<State>, String> {
    // A type that only the body tells: another value would be of another type.
    let is_opaque = |mutant: &Mutant| mutant.genre == "FnValue" && mutant.returns_opaque();
    let first = |mutant| if is_opaque(mutant) { State::Apart } else { State::Woven };
    let mut states: Vec<State> = mutants.iter().map(first).collect();
    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    let mut originals = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(tree.join(file));
        originals.insert(file, text.map_err(|error| format!("{file}: {error}"))?);
    }
    let lib = tree.join("src/lib.rs");
    let root = std::fs::read_to_string(&lib).map_err(|error| error.to_string())?;
    write(&lib, &(root + weave::SWITCH))?;
    for _ in 0..ROUNDS {
        let mut woven: BTreeMap<&str, (String, Vec<Site>)> = BTreeMap::new();
        for (file, text) in &originals {
            let (text, sites) = woven_file(file, text, mutants, &mut states)?;
            write(&tree.join(file), &text)?;
            woven.insert(file, (text, sites));
        }
        let errors = errors(tree, check)?;
        if errors.is_empty() {
            return Ok(states);
        }
        // What is wrong in one place may be seen in another: that error goes with the first.
        let refused = errors.iter().filter(|error| refuse(error, &woven, mutants, &mut states));
        if refused.count() == 0 {
            let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
            return Err(format!("no mutant is to blame for: {}", messages.join("; ")));
        }
    }
    Err(format!("after {ROUNDS} rounds there are still errors"))
}

fn woven_file(
    file: &str,
    text: &str,
    mutants: &[Mutant],
    states: &mut [State],
) -> Result<(String, Vec<Site>), String> {
    let its = |number: &usize| mutants[*number].file == file && states[*number] == State::Woven;
    let numbers: Vec<usize> = (0..mutants.len()).filter(its).collect();
    let chosen = numbers.iter().map(|number| (*number, &mutants[*number]));
    let found = sites::find(text, chosen).map_err(|error| format!("{file}: {error}"))?;
    let sites = found.sites;
    for number in numbers {
        if found.elsewhere.contains(&number) {
            states[number] = State::Elsewhere;
        } else if found.unviable.contains(&number) {
            states[number] = State::Unviable;
        } else if !sites.iter().any(|site| site.mutants.contains(&number)) {
            states[number] = State::Apart;
        }
    }
    Ok((Weaver { text, mutants, sites: &sites }.file(), sites))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn errors(tree: &Path, check: &[String]) -> Result<Vec<Message>, String> {
    let output = Command::new("cargo")
        .arg("check")
        .args(check)
        .args(["--quiet", "--message-format=json"])
        .current_dir(tree)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let messages = lines.filter_map(|line| line.message);
    // The last one counts the others, and is at no place.
    let errors = messages.filter(|message| message.level == "error" && !message.spans.is_empty());
    let errors: Vec<Message> = errors.collect();
    if errors.is_empty() && !output.status.success() {
        return Err(format!("cargo check: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(errors)
}

/// Takes out what an error is blamed on, if it is known.
fn refuse(
    error: &Message,
    woven: &BTreeMap<&str, (String, Vec<Site>)>,
    mutants: &[Mutant],
    states: &mut [State],
) -> bool {
    let places = error.spans.iter().filter(|place| place.is_primary);
    let mut blamed = BTreeSet::new();
    for place in places {
        let Some((text, sites)) = woven.get(place.file_name.as_str()) else { continue };
        blamed.extend(weave::blamed(text, place.line_start, sites));
    }
    let alone = blamed.len() == 1;
    let code = error.code.as_ref().map_or("", |code| code.code.as_str());
    let found = !blamed.is_empty();
    for number in blamed {
        let mutant = &mutants[number];
        let own = alone && OWN_FAULT.contains(&code);
        // Two branches of different types are a fault of the weaving.
        let woven_types = code == "E0308" && mutant.genre != "FnValue";
        states[number] = if own && !woven_types { State::Unviable } else { State::Apart };
    }
    found
}
