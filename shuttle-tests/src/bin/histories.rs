//! `histories [NUMBER]`: plays so many plans on threads of the system, a quarter of them on session
//! caches, and checks their histories. With many of them nearly all pairs of operations must have
//! met.
//!
//! `HALFSHAKE_SEED=N` begins with that one (the same operations, not the same interleaving);
//! `HALFSHAKE_OPERATIONS=N` is the length of a history, 1,000 if it is not given;
//! `HALFSHAKE_SECONDS=N` ends earlier, after so long.
//!
//! Any panic, of any thread, ends the process with the seed; so does a history that comes to no
//! end. A cache with a broken law may wait for ever for an event that never comes, so nothing is
//! dropped then.

use shuttle_tests::{Outcome, first_seed, from_environment, histories};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A history takes milliseconds.
const HANGS: Duration = Duration::from_secs(60);
/// In so many operations each two of one cache should have been under way at the same time...
const ENOUGH: u64 = 10_000 * 1_000;
/// ...but for so many pairs: the rarest meet some ten times, and when is up to the machine.
const MAY_MISS: usize = 5;

static SEED: AtomicU64 = AtomicU64::new(0);

fn end() -> ! {
    // In one piece: other threads may be panicking, too.
    let line = format!("\nHALFSHAKE_SEED={} plays the same operations again\n", SEED.load(Relaxed));
    _ = std::io::stderr().write_all(line.as_bytes());
    std::process::exit(101);
}

fn end_at_the_first_panic_or_hang() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tell(info);
        end();
    }));
    std::thread::spawn(|| {
        let (mut seed, mut since) = (SEED.load(Relaxed), Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = SEED.load(Relaxed);
            if now != seed {
                (seed, since) = (now, Instant::now());
            }
            if since.elapsed() > HANGS {
                eprintln!("it hangs: an operation, or an event that never comes");
                end();
            }
        }
    });
}

fn main() -> ExitCode {
    if cfg!(halfshake_shuttle) {
        eprintln!("histories are of threads of the system, and need a plain build: ci/histories");
        return ExitCode::from(2);
    }
    let number = std::env::args().nth(1).map_or(10_000, |text| text.parse().expect("a number"));
    let operations = from_environment("HALFSHAKE_OPERATIONS").unwrap_or(1_000);
    let first = first_seed();
    println!("{number} histories of {operations} operations, from seed {first} on");
    let most = from_environment("HALFSHAKE_SECONDS").map(Duration::from_secs);
    let (begun, mut sum) = (Instant::now(), Outcome::default());
    let (mut played, mut took) = ([0, 0], [Duration::ZERO; 2]);
    SEED.store(first, Relaxed);
    end_at_the_first_panic_or_hang();
    for seed in (first..).take(number) {
        SEED.store(seed, Relaxed);
        let (which, since) = (usize::from(histories::is_of_sessions(seed)), Instant::now());
        sum.add(&histories::play(seed, operations));
        played[which] += 1;
        took[which] += since.elapsed();
        if most.is_some_and(|most| begun.elapsed() >= most) {
            break;
        }
    }
    let [of_engine, of_sessions] = played;
    println!("{sum}, in {:.1} s", begun.elapsed().as_secs_f64());
    let [by_engine, by_sessions] = took.map(|took| took.as_secs_f64());
    println!(
        "{of_engine} histories of caches, in {by_engine:.1} s; {of_sessions} of session caches, in \
         {by_sessions:.1} s"
    );
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let is_enough = processors > 1 && (of_engine + of_sessions) * operations >= ENOUGH;
    let most = if is_enough { MAY_MISS } else { usize::MAX };
    let never = sum.meetings.report("the engine", most)
        + sum.meetings_of_sessions.report("session caches", most);
    println!(
        "EVIDENCE: each key's history has an order that explains it, with one event for each entry \
         that left, also of session caches | history checker on threads of the system | \
         {of_engine} histories of caches and {of_sessions} of session caches, of {operations} \
         operations; {never} pairs never met | none refused"
    );
    ExitCode::SUCCESS
}
