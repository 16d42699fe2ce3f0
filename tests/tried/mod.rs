//! How much a test of a fault tries, and how it says so.
#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "../random/mod.rs"]
pub(crate) mod random;

pub(crate) use random::Random;

/// The short amount, or the long one.
pub(crate) fn amount(short: u64, long: u64) -> u64 {
    if is_long() { long } else { short }
}

pub(crate) fn is_long() -> bool {
    std::env::var("HALFSHAKE_FAULTS").is_ok_and(|form| form == "long")
}

/// Says what was tried: a row of the table in docs/RELIABILITY.md.
pub(crate) fn tried(class: &str, fault: &str, number: &str, law: &str) {
    // The harness may have begun the line.
    println!("\nFAULT | {class} | {fault} | {number} | {law}");
}

/// A law, and what of it only the long form asserts.
pub(crate) fn law(always: &str, when_long: &str) -> String {
    if is_long() { format!("{always}{when_long}") } else { always.to_owned() }
}

impl Random {
    /// An id as a client of another server would offer it.
    pub(crate) fn id(&mut self) -> [u8; 32] {
        let mut id = [0; 32];
        id.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&self.next().to_le_bytes()));
        id
    }
}

/// Panics with this word say nothing.
pub(crate) const INJECTED: &str = "injected";

pub(crate) fn silence_injected() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&INJECTED) {
                usual(panic);
            }
        }));
    });
}

/// Does it; whether it panicked as injected. Any other panic goes on.
pub(crate) fn bears(call: impl FnOnce()) -> bool {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(()) => false,
        Err(panic) if panic.downcast_ref::<&str>() == Some(&INJECTED) => true,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// What this process holds of the machine's memory, in bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("memory can be judged");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.expect("a line VmRSS with a number") * 1024
}
