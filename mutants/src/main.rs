//! All mutants that cargo-mutants makes of some files, in one program: each costs a run of the
//! tests, and no build. `ci/mutants` is who calls this.
//!
//! ```text
//! weave sources LIST TREE CHECK...   weaves the mutants of LIST (cargo mutants --list --json)
//!                                    into the sources of TREE, which `cargo check CHECK...`
//!                                    has to accept; prints "number, state, name" of each
//! weave run JOBS PROGRAM...          reads such lines; runs the programs with each mutant that
//!                                    is woven; prints "outcome, name" as they come
//! ```

mod list;
mod run;
mod sites;
mod viable;
mod weave;

use run::{Outcome, Patience, judge, measure};
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
        _ => Err("sources LIST TREE CHECK..., or: run JOBS PROGRAM...".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("weave: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn sources(list: &str, tree: &Path, check: &[String]) -> Result<(), String> {
    let text = std::fs::read_to_string(list).map_err(|error| format!("{list}: {error}"))?;
    let mutants: Vec<list::Mutant> =
        serde_json::from_str(&text).map_err(|error| format!("{list}: {error}"))?;
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

fn run_all(jobs: &str, programs: &[String]) -> Result<(), String> {
    let jobs: usize = jobs.parse().map_err(|_| format!("{jobs} is no number of jobs"))?;
    let programs: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
    let mut patience = PATIENCE;
    for program in &programs {
        let whole = Patience { computing: PATIENCE.computing * 12, ..PATIENCE };
        let longest = measure(program, whole)?;
        // On a slow machine, or a busy one, the longest tests compute for longer.
        patience.computing = patience.computing.max(longest * 3);
    }
    eprintln!("weave: what computes for {:?} without a line may hang", patience.computing);
    let mut woven = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let mut words = line.splitn(3, '\t');
        let (number, state, name) = (words.next(), words.next(), words.next());
        let (Some(number), Some(name)) = (number.and_then(|word| word.parse().ok()), name) else {
            return Err(format!("{line}: not number, state, name"));
        };
        if state == Some("woven") {
            woven.push((number, name.to_owned()));
        }
    }
    let next = Mutex::new(woven.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let Some((number, name)) = next.lock().expect("no panics under it").next()
                    else {
                        return;
                    };
                    let word = match judge(&programs, number, patience) {
                        Outcome::Caught => "caught",
                        Outcome::Missed => "missed",
                        Outcome::Timeout => "timeout",
                    };
                    let mut output = std::io::stdout().lock();
                    writeln!(output, "{word}\t{name}").expect("somebody listens");
                    output.flush().expect("somebody listens");
                }
            });
        }
    });
    Ok(())
}
