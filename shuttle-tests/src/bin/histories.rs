//! `histories [NUMBER]`: plays so many plans on threads of the system, and checks their histories.
//!
//! `HALFSHAKE_SEED=N` begins with that plan (the same operations, not the same interleaving);
//! `HALFSHAKE_OPERATIONS=N` is the length of a history, 1,000 if it is not given.

use shuttle_tests::{Outcome, Plan, first_seed, from_environment, play};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if cfg!(halfshake_shuttle) {
        eprintln!("histories are of threads of the system, and need a plain build: ci/histories");
        return ExitCode::from(2);
    }
    let number = std::env::args().nth(1).map_or(10_000, |text| text.parse().expect("a number"));
    let operations = from_environment("HALFSHAKE_OPERATIONS").unwrap_or(1_000);
    let first = first_seed();
    println!("{number} histories of {operations} operations, from seed {first} on");
    let (begun, mut sum) = (Instant::now(), Outcome::default());
    for seed in (first..).take(number) {
        let plan = Plan::long(seed, operations);
        let played = std::panic::catch_unwind(|| play(&plan));
        let Ok(outcome) = played else {
            eprintln!("HALFSHAKE_SEED={seed} plays the same operations again");
            return ExitCode::FAILURE;
        };
        sum.add(&outcome);
    }
    println!("{sum}, in {:.1} s", begun.elapsed().as_secs_f64());
    let never = sum.meetings.pairs().into_iter().take_while(|(met, ..)| *met == 0).count();
    println!("pairs of operations that were never under way at the same time: {never}");
    println!(
        "EVIDENCE: each key's history has an order that explains it, with one event for each entry \
         that left | history checker on threads of the system | {number} histories of {operations} \
         operations | none refused"
    );
    ExitCode::SUCCESS
}
