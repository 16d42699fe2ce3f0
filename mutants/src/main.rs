//! All mutants that cargo-mutants makes of some files, in one program: each costs a run of the
//! tests, and no build. `ci/mutants` is who calls this.
//!
//! ```text
//! weave sources LIST TREE CHECK...   weaves the mutants of LIST (cargo mutants --list --json)
//!                                    into the sources of TREE, which `cargo check CHECK...`
//!                                    has to accept; prints "number, state, name" of each
//! weave run JOBS PROGRAM...          reads such lines; runs the programs with each mutant that
//!                                    is woven; prints "outcome, name" as they come
//! weave apart LIST TREE TEST... -- PROGRAM...
//!                                    the same for each that is not: puts it into the sources of
//!                                    TREE, and builds the programs by `cargo test TEST...`
//! ```

mod list;
mod run;
mod sites;
mod viable;
mod weave;

use run::{Patience, judge, measure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

/// Where tests compute for longer without any mutant, it is more.
const PATIENCE: Patience =
    Patience { computing: Duration::from_secs(5), waiting: Duration::from_secs(20) };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["sources", list, tree, ..] => sources(list, Path::new(tree), &arguments[3..]),
        ["run", jobs, _, ..] => run_all(jobs, &arguments[2..]),
        ["apart", list, tree, ..] => build_each(list, Path::new(tree), &arguments[3..]),
        _ => Err("sources, run or apart: see the head of the program".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("weave: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn mutants_of(list: &str) -> Result<Vec<list::Mutant>, String> {
    let text = std::fs::read_to_string(list).map_err(|error| format!("{list}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{list}: {error}"))
}

fn sources(list: &str, tree: &Path, check: &[String]) -> Result<(), String> {
    let mutants = mutants_of(list)?;
    let states = viable::weave(tree, &mutants, check)?;
    for (number, (mutant, state)) in mutants.iter().zip(&states).enumerate() {
        let state = match state {
            viable::State::Woven => "woven",
            viable::State::Unviable => "unviable",
            viable::State::Elsewhere => "elsewhere",
            viable::State::Apart => "apart",
        };
        println!("{}\t{state}\t{}", number + 1, mutant.name);
    }
    Ok(())
}

/// Number and name of the mutants that the standard input says are in a state.
fn of_state(wanted: &str) -> Result<Vec<(usize, String)>, String> {
    let mut mutants = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let mut words = line.splitn(3, '\t');
        let (number, state, name) = (words.next(), words.next(), words.next());
        let (Some(number), Some(name)) = (number.and_then(|word| word.parse().ok()), name) else {
            return Err(format!("{line}: not number, state, name"));
        };
        if state == Some(wanted) {
            mutants.push((number, name.to_owned()));
        }
    }
    Ok(mutants)
}

/// For how long each of the programs may be silent.
fn patience_for(programs: &[PathBuf]) -> Result<Patience, String> {
    let mut patience = PATIENCE;
    for program in programs {
        let whole = Patience { computing: PATIENCE.computing * 12, ..PATIENCE };
        let longest = measure(program, whole)?;
        // On a slow machine, or a busy one, the longest tests compute for longer.
        patience.computing = patience.computing.max(longest * 3);
    }
    eprintln!("weave: what computes for {:?} without a line may hang", patience.computing);
    Ok(patience)
}

fn tell(word: &str, name: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{word}\t{name}").expect("somebody listens");
    output.flush().expect("somebody listens");
}

fn run_all(jobs: &str, programs: &[String]) -> Result<(), String> {
    let jobs: usize = jobs.parse().map_err(|_| format!("{jobs} is no number of jobs"))?;
    let programs: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
    let patience = patience_for(&programs)?;
    let next = Mutex::new(of_state("woven")?.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let Some((number, name)) = next.lock().expect("no panics under it").next()
                    else {
                        return;
                    };
                    tell(judge(&programs, number, patience).word(), &name);
                }
            });
        }
    });
    Ok(())
}

fn build_each(list: &str, tree: &Path, rest: &[String]) -> Result<(), String> {
    let at = rest.iter().position(|word| word == "--").ok_or("-- PROGRAM... is missing")?;
    let programs: Vec<PathBuf> = rest[at + 1..].iter().map(PathBuf::from).collect();
    let mutants = mutants_of(list)?;
    let builds = || {
        let mut cargo = std::process::Command::new("cargo");
        cargo.arg("test").arg("--manifest-path").arg(tree.join("Cargo.toml"));
        cargo.args(&rest[..at]).arg("--no-run");
        cargo.output().map(|output| output.status.success()).map_err(|error| error.to_string())
    };
    if !builds()? {
        return Err("it does not build without any mutant".to_owned());
    }
    let patience = patience_for(&programs)?;
    for (number, name) in of_state("apart")? {
        let mutant = mutants.get(number - 1).filter(|mutant| mutant.name == name);
        let mutant = mutant.ok_or_else(|| format!("{name} is not number {number} of {list}"))?;
        let file = tree.join(&mutant.file);
        let told = |error: std::io::Error| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(told)?;
        let mut changed = text.clone();
        changed.replace_range(mutant.span.bytes(&text), &mutant.replacement);
        std::fs::write(&file, changed).map_err(told)?;
        // No mutant is woven here: the number says nothing.
        let word = if builds()? { judge(&programs, number, patience).word() } else { "unviable" };
        std::fs::write(&file, text).map_err(told)?;
        tell(word, &name);
    }
    Ok(())
}
