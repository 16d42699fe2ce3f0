//! How a run ends that has found something: it says what and with which seed, and ends at once. A
//! cache with a broken law may wait for ever for an event that never comes, so nothing is dropped,
//! and no thread is waited for.

use crate::world::INJECTED;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks of the watch.
const LOOK: Duration = Duration::from_millis(200);

/// The seed of the run, and how long it may be at one thing.
static RUN: OnceLock<(u64, Duration)> = OnceLock::new();
/// Since when the run is at what it is at.
static AT: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// Tells of a violation, and ends the process.
pub(crate) fn violation(what: &str) -> ! {
    // The first one that is found: others wait for the end.
    static FIRST: Mutex<()> = Mutex::new(());
    let _first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    say(what);
    std::process::exit(1);
}

/// Says it in one piece, on one line: other threads may be panicking, too.
pub(crate) fn say(what: &str) {
    let seed = RUN.get().map_or(0, |(seed, _)| *seed);
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("\nVIOLATION: {what}; seed {seed}\n");
    // Where nothing can be written to, the status says it.
    _ = std::io::stderr().write_all(line.as_bytes());
}

/// Panics that are part of the load say nothing.
pub(crate) fn silence_injected() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&INJECTED) {
            usual(panic);
        }
    }));
}

/// Every other panic, of any thread, is a violation from now on; and so is to be at one thing for
/// longer than `patience`.
pub(crate) fn begin(seed: u64, patience: Duration) {
    RUN.get_or_init(|| (seed, patience));
    silence_injected();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if panic.payload().downcast_ref::<&str>() != Some(&INJECTED) {
            violation(&format!("{}: {}", at(), said(panic.payload())));
        }
    }));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK);
            if since() > patience {
                violation(&format!("{}: it hangs", at()));
            }
        }
    });
}

pub(crate) fn patience() -> Duration {
    RUN.get().map_or(Duration::MAX, |(_, patience)| *patience)
}

/// What the run is at now.
pub(crate) fn now_at(what: &str) {
    *AT.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), what.to_owned()));
}

/// What a panic says.
pub(crate) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

fn at() -> String {
    let at = AT.lock().unwrap_or_else(PoisonError::into_inner);
    at.as_ref().map_or_else(String::new, |(_, what)| what.clone())
}

fn since() -> Duration {
    let at = AT.lock().unwrap_or_else(PoisonError::into_inner);
    at.as_ref().map_or(Duration::ZERO, |(since, _)| since.elapsed())
}
