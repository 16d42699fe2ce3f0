//! What a TLS 1.3 server does: two tickets for each handshake, and every second handshake resumes.

use super::{Scale, Work, fresh_salt, writes};
use crate::clock::Watch;
use crate::contestants::{Contestant, Operations};
use crate::keys::{key, mix, value};
use crate::rounds::{Entrant, Sample};
use std::time::Duration;

pub(super) struct Cycle {
    pub(super) scale: Scale,
    /// How long the clock runs while as many tickets are inserted as the cache holds; `None`: it
    /// stands still.
    pub(super) life: Option<Duration>,
}

/// A life of the cache in which the limit evicts what is younger than the timeout of 300 s: a
/// quarter of the tickets is taken, so the oldest are 1.24 lives old.
pub(super) const LIMITED: Duration = Duration::from_secs(200);
/// One in which the timeout comes first: the cache is filled to 0.86.
pub(super) const EXPIRING: Duration = Duration::from_secs(285);
/// Handshakes between two movements of the clock.
const STEP: u64 = 32;

impl Work for Cycle {
    fn enter<C: Contestant>(
        &self,
        name: &str,
        slowness: u64,
        make: impl Fn() -> C + 'static,
    ) -> Entrant {
        let Scale { entries, operations } = self.scale;
        let operations = (operations / slowness).max(16);
        let life = self.life;
        Entrant::new(name, move || {
            let contestant = make();
            let mut tickets = Tickets::new(entries);
            // A million takes of rustls would last for hours.
            if slowness <= 1024 {
                writes::age(&mut contestant.handle(), entries);
            }
            tickets.issue(&mut contestant.handle(), life);
            move |_| {
                let mut handle = contestant.handle();
                handshakes(&mut handle, &mut tickets, operations / 2, life);
                let refused = contestant.refused();
                let mut sample = handshakes(&mut handle, &mut tickets, operations, life);
                sample.figures.extend(writes::refusals(&contestant, refused, 2 * operations));
                sample
            }
        })
    }
}

pub(super) fn handshakes(
    handle: &mut impl Operations,
    tickets: &mut Tickets,
    cycles: u64,
    life: Option<Duration>,
) -> Sample {
    let step = life.map(|life| tickets.step(life));
    let (mut asked, mut found) = (0, 0);
    let watch = Watch::start();
    for cycle in 1..=cycles {
        let two = [tickets.mint(), tickets.mint()];
        handle.insert_two(two.map(|n| (key(n), value(n))));
        if let Some(n) = tickets.resumed() {
            asked += 1;
            found += u64::from(handle.take(&key(n)).is_some());
        }
        if let Some(step) = step.filter(|_| cycle.is_multiple_of(STEP)) {
            handle.time_passes(step);
        }
    }
    Sample { operations: cycles, spent: watch.spent(), asked, found, ..Sample::default() }
}

/// The numbers of tickets.
pub(super) struct Tickets {
    salt: u64,
    next: u64,
    entries: u64,
}

impl Tickets {
    /// Those of a cache of so many, a quarter more than which are there already.
    pub(super) fn new(entries: u64) -> Self {
        Self { salt: fresh_salt(), next: entries + entries / 4, entries }
    }

    /// Inserts all that are there already, at the pace at which others will follow.
    pub(super) fn issue(&self, handle: &mut impl Operations, life: Option<Duration>) {
        let Some(step) = life.map(|life| self.step(life)) else {
            writes::insert(handle, self.salt, self.next);
            return;
        };
        let mut done = 0;
        while done < self.next {
            let some = (2 * STEP).min(self.next - done);
            writes::insert(handle, self.salt + done, some);
            handle.time_passes(step);
            done += some;
        }
    }

    /// Between two movements of the clock.
    fn step(&self, life: Duration) -> Duration {
        let part = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        life * part(2 * STEP) / part(self.entries)
    }

    fn mint(&mut self) -> u64 {
        self.next += 1;
        self.salt + self.next - 1
    }

    /// After each fourth ticket one of an earlier four, every four only once: they are shuffled
    /// within windows of at most 1/32 of the capacity, from so many windows back that its age is
    /// around 9/32 of the capacity.
    fn resumed(&self) -> Option<u64> {
        if !self.next.is_multiple_of(4) {
            return None;
        }
        let (four, window) = (self.next / 4, 1 << (self.entries / 128).max(1).ilog2());
        let back = self.entries * 9 / 32 / (4 * window);
        let (number, at) = (four / window, four % window);
        let at = at ^ (mix(self.salt ^ number) % window);
        let four = (number - back) * window + at;
        Some(self.salt + 4 * four + mix(self.salt ^ !four) % 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn tickets_are_resumed_once_and_at_their_age() {
        for entries in [1024, 65_536, 300_000] {
            let mut tickets = Tickets { salt: 1 << 40, next: entries * 2, entries };
            let mut resumed = BTreeSet::new();
            for _ in 0..entries {
                tickets.mint();
                if let Some(n) = tickets.resumed() {
                    let age = tickets.next - (n - tickets.salt);
                    assert!((entries / 5..=entries * 5 / 16 + 4).contains(&age), "{age}");
                    assert!(resumed.insert(n / 4), "only once");
                }
            }
            assert_eq!(resumed.len(), usize::try_from(entries / 4).unwrap());
        }
    }
}
