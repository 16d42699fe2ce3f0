//! What a TLS 1.2 server asks of its sessions: of a hundred operations eighty look-ups, fifteen
//! inserts and five look-ups of what has expired. A few sessions are asked for much more often
//! than the rest (Zipf, 0.9), and which ones these are changes as new ones take their places.

use super::{Scale, Work, fresh_salt, writes};
use crate::clock::Watch;
use crate::contestants::{Contestant, Operations, TIMEOUT};
use crate::keys::{Sequence, key, mix, value};
use crate::rounds::{Entrant, Sample};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

pub(super) struct Mix {
    pub(super) scale: Scale,
}

/// Inserts between two movements of the clock.
const STEP: u64 = 32;

impl Work for Mix {
    fn enter<C: Contestant>(
        &self,
        name: &str,
        slowness: u64,
        make: impl Fn() -> C + 'static,
    ) -> Entrant {
        let Scale { entries, operations } = self.scale;
        let operations = operations / slowness;
        Entrant::new(name, move || {
            let contestant = make();
            writes::age(&mut contestant.handle(), entries);
            let mut sessions = Sessions::new(entries);
            for _ in 0..entries + entries / 4 {
                sessions.open(&mut contestant.handle());
            }
            move |seed| {
                let mut handle = contestant.handle();
                let mut random = Random::new(seed, entries);
                sessions.pass(&mut handle, &mut random, operations / 2, |_| {});
                let mut sample = sessions.pass(&mut handle, &mut random, operations, |_| {});
                // Once more, looking at the clock after each: that would weigh on the times above.
                let mut single = Histogram::new(3).expect("three digits");
                let mut before = Instant::now();
                let note = |_| {
                    let after = Instant::now();
                    let took = u64::try_from((after - before).as_nanos()).unwrap_or(u64::MAX);
                    single.record(took).expect("it grows");
                    before = after;
                };
                sessions.pass(&mut handle, &mut random, operations, note);
                let p999 = u32::try_from(single.value_at_quantile(0.999)).unwrap_or(u32::MAX);
                sample.figures.push(("p99.9, ns", f64::from(p999)));
                sample.latencies = Some(single);
                sample
            }
        })
    }
}

/// The sessions of a server, by numbers.
struct Sessions {
    salt: u64,
    next: u64,
    entries: u64,
    /// How many of the youngest are alive; the others have expired.
    alive: u64,
    step: Duration,
}

impl Sessions {
    fn new(entries: u64) -> Self {
        let alive = entries - entries / 8;
        let steps = u32::try_from(alive / STEP).unwrap_or(u32::MAX).max(1);
        Self { salt: fresh_salt(), next: 2 * entries, entries, alive, step: TIMEOUT / steps }
    }

    fn open(&mut self, handle: &mut impl Operations) -> bool {
        let n = self.salt + self.next;
        self.next += 1;
        if self.next.is_multiple_of(STEP) {
            handle.time_passes(self.step);
        }
        handle.insert(key(n), value(n))
    }

    /// The youngest session in a place. As many places as live sessions: a new one takes that of
    /// the one that expires.
    fn in_place(&self, place: u64) -> u64 {
        let last = self.next - 1;
        self.salt + last - (last - place % self.alive) % self.alive
    }

    fn pass(
        &mut self,
        handle: &mut impl Operations,
        random: &mut Random,
        operations: u64,
        mut done: impl FnMut(u64),
    ) -> Sample {
        let (mut asked, mut found, mut stale) = (0, 0, 0u32);
        let mut expired = 0u32;
        let watch = Watch::start();
        for n in 0..operations {
            match random.numbers.below(20, 0) {
                0..16 => {
                    asked += 1;
                    let place = random.place();
                    found += u64::from(handle.get(&key(self.in_place(place))).is_some());
                }
                16..19 => drop(std::hint::black_box(self.open(handle))),
                _ => {
                    expired += 1;
                    // So old that it is gone also where no clock can be moved.
                    let age = self.entries * 9 / 8 + random.numbers.below(self.entries / 2, 0);
                    let answer = handle.get(&key(self.salt + self.next - age));
                    stale += u32::from(answer.is_some());
                }
            }
            done(n);
        }
        let spent = watch.spent();
        let stale = f64::from(stale) / f64::from(expired.max(1));
        let figures = vec![("expired ones found", stale)];
        Sample { operations, spent, asked, found, figures, ..Sample::default() }
    }
}

/// Random places, the first of them most often.
struct Random {
    numbers: Sequence,
    /// The places to the power of 0.1, less one.
    span: f64,
    places: u64,
}

impl Random {
    #[expect(clippy::cast_precision_loss, reason = "fewer entries than a double has digits")]
    fn new(seed: u64, places: u64) -> Self {
        Self { numbers: Sequence::new(seed), span: (places as f64).powf(0.1) - 1.0, places }
    }

    /// The inverse of the distribution whose density falls with the power 0.9.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to the number of places"
    )]
    fn place(&mut self) -> u64 {
        let part = self.numbers.below(1 << 53, 0) as f64 / (1u64 << 53) as f64;
        let rank = (part * self.span + 1.0).powi(10) as u64;
        // Popular ones are not neighbours in time.
        mix(rank.min(self.places)) >> 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_live_session() {
        let mut sessions = Sessions::new(1024);
        for _ in 0..100 {
            for place in [0, 1, 500, 895, 896, u64::MAX >> 8] {
                let n = sessions.in_place(place) - sessions.salt;
                assert!(n < sessions.next && n + sessions.alive >= sessions.next, "{n}");
                assert_eq!(n % sessions.alive, place % sessions.alive);
            }
            sessions.next += 7;
        }
    }

    #[test]
    fn few_places_are_asked_for_most() {
        let mut random = Random::new(7, 1_000_000);
        let mut counts = std::collections::BTreeMap::<u64, u32>::new();
        for _ in 0..100_000 {
            *counts.entry(random.place()).or_default() += 1;
        }
        let first = counts.get(&(mix(1) >> 8)).copied().unwrap_or(0);
        // One place of a million has more than a fiftieth, and half of all goes to many.
        assert!((2_000..4_000).contains(&first), "{first}");
        assert!(counts.len() > 20_000, "{}", counts.len());
    }
}
