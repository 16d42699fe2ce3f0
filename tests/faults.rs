//! Faults, class by class: what breaks caches of this kind, made on purpose, and the law that has
//! to hold all the same. docs/RELIABILITY.md has the classes, and what else tests them.
//!
//! Each test has a short amount, and a long one: `HALFSHAKE_FAULTS=long`, which `ci/faults --long`
//! sets. It says what it tried in a line that begins with `FAULT`; `--nocapture` shows it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

#[path = "faults/blocked.rs"]
mod blocked;
#[path = "faults/capacities.rs"]
mod capacities;
#[path = "faults/clocks.rs"]
mod clocks;
#[path = "faults/floods.rs"]
mod floods;
#[path = "faults/ids.rs"]
mod ids;
#[path = "faults/namespaces.rs"]
mod namespaces;
#[path = "faults/panics.rs"]
mod panics;
#[path = "faults/reentrant.rs"]
mod reentrant;
#[path = "faults/shared.rs"]
mod shared;
#[path = "faults/stalls.rs"]
mod stalls;
#[path = "faults/threads.rs"]
mod threads;
#[path = "faults/timeouts.rs"]
mod timeouts;
mod tried;
mod world;
