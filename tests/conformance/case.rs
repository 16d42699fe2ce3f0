//! What a case is, and what cases have in common.

use crate::sessions::{Call, Rig, rig_with};
use halfshake::session::Compat;

/// Not measured, or there is no such thing.
pub(crate) const NOT_MEASURED: &str = "-";

/// One claim, with what was measured and what is observed here.
pub(crate) struct Case {
    pub(crate) claim: &'static str,
    /// What the strict cache must show.
    pub(crate) strict: &'static str,
    /// What OpenSSL 1.1.1, OpenSSL 3.0 and LibreSSL 4.3.1 have shown.
    pub(crate) measured: [&'static str; 3],
    /// What BoringSSL's source says.
    pub(crate) boringssl: &'static str,
    /// Why some preset does not show what was measured; empty if all do.
    pub(crate) apart: &'static str,
    pub(crate) observe: fn(Compat) -> String,
}

pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) cases: &'static [Case],
}

/// The same in all of the measured libraries.
pub(crate) const fn all(measured: &'static str) -> [&'static str; 3] {
    [measured; 3]
}

pub(crate) fn subject(compat: Compat) -> Rig {
    rig_with(|builder| builder.compat(compat))
}

/// The calls since the last time: N, G and R for the new, get and remove callback, in order.
pub(crate) fn calls(rig: &Rig) -> String {
    let letters: String = rig
        .world
        .calls()
        .iter()
        .map(|call| match call {
            Call::New(..) => 'N',
            Call::Get(..) => 'G',
            Call::Remove(..) => 'R',
        })
        .collect();
    if letters.is_empty() { "no call".to_owned() } else { letters }
}

/// The calls, and how many sessions the internal cache holds.
pub(crate) fn calls_and_number(rig: &Rig) -> String {
    let calls = calls(rig);
    format!("{calls}, holds {}", rig.cache.len())
}

/// What a resumption comes to, with its calls and counters.
pub(crate) fn resumption(rig: &Rig, first: u8) -> String {
    let before = rig.cache.stats().ssl();
    rig.world.calls();
    let found = if rig.resume(first).is_some() { "resumed" } else { "full" };
    let calls = calls(rig);
    let now = rig.cache.stats().ssl();
    let counters = [
        ("hits", now.hits - before.hits),
        ("misses", now.misses - before.misses),
        ("cb_hits", now.cb_hits - before.cb_hits),
        ("timeouts", now.timeouts - before.timeouts),
    ];
    let counted: Vec<_> = counters.iter().filter(|(_, n)| *n != 0).map(|(name, _)| *name).collect();
    let counted = if counted.is_empty() { "nothing".to_owned() } else { counted.join(" ") };
    format!("{found}, {calls}, holds {}, counts {counted}", rig.cache.len())
}

/// Which of the sessions 1, 2, ... are there.
pub(crate) fn held(rig: &Rig, of: u8) -> String {
    let held: Vec<_> = (1..=of).filter(|n| rig.holds(*n)).map(|n| n.to_string()).collect();
    held.join(" ")
}
