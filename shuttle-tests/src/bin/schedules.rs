//! `schedules [NUMBER]`: runs so many schedules of short plans, half on each of two threads, and
//! checks the history of each. A failure says its seed; `SHUTTLE_SEED=N` runs that one again.

#[cfg(not(halfshake_shuttle))]
fn main() {
    eprintln!("schedules are built with RUSTFLAGS=\"--cfg halfshake_shuttle\": run ci/shuttle");
    std::process::exit(2);
}

#[cfg(halfshake_shuttle)]
fn main() {
    scheduled::main();
}

#[cfg(halfshake_shuttle)]
mod scheduled {
    use shuttle_tests::{Outcome, first_seed, from_environment, schedules};
    use std::time::Instant;

    const WORKERS: u64 = 2;
    /// With so many schedules each pair must have met.
    const ENOUGH: u64 = 50_000;

    pub(super) fn main() {
        end_at_the_first_panic();
        if let Some(seed) = from_environment("SHUTTLE_SEED") {
            println!("{}", schedules::describe(seed));
            let outcome = schedules::run(seed, 1, 1);
            println!("{} operations on keys: no rule is broken", outcome.operations);
            return;
        }
        let number =
            std::env::args().nth(1).map_or(100_000, |text| text.parse().expect("a number"));
        let first = first_seed();
        println!("{number} schedules, from seed {first} on");
        let begun = Instant::now();
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let count = number / WORKERS + u64::from(worker < number % WORKERS);
                std::thread::spawn(move || schedules::run(first + worker, count, WORKERS))
            })
            .collect();
        let mut sum = Outcome::default();
        for worker in workers {
            sum.add(&worker.join().expect("a panic ends the process"));
        }
        println!("{sum}, in {:.1} s", begun.elapsed().as_secs_f64());
        let most = if number < ENOUGH { usize::MAX } else { 0 };
        sum.meetings.report("the engine", most);
        sum.meetings_of_sessions.report("session caches", most);
        if number < ENOUGH {
            return;
        }
        println!(
            "EVIDENCE: every pair of {} operations of the engine, and of {} of session caches, at \
             the same time leaves a history that an order explains | shuttle, random and by \
             priorities | {number} schedules | none refused",
            sum.meetings.kinds(),
            sum.meetings_of_sessions.kinds(),
        );
    }

    /// Also of a panic that is caught on its way: the rest of that run would prove nothing. The
    /// threads that have not ended are not unwound.
    fn end_at_the_first_panic() {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            tell(info);
            eprintln!("SHUTTLE_SEED={} runs it again", schedules::seed());
            std::process::exit(101);
        }));
    }
}
