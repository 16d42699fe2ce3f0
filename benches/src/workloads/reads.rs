//! Look-ups.

use super::writes::insert;
use super::{Scale, Work, fresh_salt};
use crate::clock::Watch;
use crate::contestants::{Contestant, Lookups, Operations};
use crate::keys::{Key, Sequence, key};
use crate::rounds::{Entrant, Sample};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hit,
    Miss,
    Batch,
    MissBatch,
}

pub(super) struct Reads {
    pub(super) scale: Scale,
    pub(super) kind: Kind,
}

/// Between the numbers of keys that are there and those of keys that are not.
pub(super) const ABSENT: u64 = 1 << 36;

impl Work for Reads {
    fn enter<C: Contestant>(
        &self,
        name: &str,
        slowness: u64,
        make: impl Fn() -> C + 'static,
    ) -> Entrant {
        let Scale { entries, operations } = self.scale;
        let (operations, kind) = (operations / slowness, self.kind);
        Entrant::new(name, move || {
            let (contestant, salt) = (make(), fresh_salt());
            insert(&mut contestant.handle(), salt, entries);
            move |seed: u64| {
                let mut handle = contestant.handle();
                let mut pass = |seed, operations| match kind {
                    Kind::Hit => singles(handle.held(), salt, entries, seed, operations),
                    Kind::Miss => singles(handle.held(), salt + ABSENT, entries, seed, operations),
                    Kind::Batch => batches(&mut handle, salt, entries, seed, operations / 16),
                    Kind::MissBatch => {
                        batches(&mut handle, salt + ABSENT, entries, seed, operations / 16)
                    }
                };
                pass(!seed, operations / 2);
                pass(seed, operations)
            }
        })
    }
}

/// Look-ups of random keys, each of which depends on what was found before.
pub(super) fn singles(
    mut lookups: impl Lookups,
    salt: u64,
    entries: u64,
    seed: u64,
    operations: u64,
) -> Sample {
    let mut numbers = Sequence::new(seed);
    let (mut found, mut read) = (0, 0);
    let watch = Watch::start();
    for _ in 0..operations {
        let word = lookups.get(&key(salt + numbers.below(entries, read)));
        found += u64::from(word.is_some());
        read = word.unwrap_or_else(nothing);
    }
    Sample { operations, spent: watch.spent(), asked: operations, found, ..Sample::default() }
}

/// What is read where nothing is found, by way of a branch, which the processor guesses: were it
/// chosen by a conditional move, the next key would wait for this look-up.
fn nothing() -> u64 {
    std::hint::black_box(0)
}

fn batches(
    handle: &mut impl Operations,
    salt: u64,
    entries: u64,
    seed: u64,
    batches: u64,
) -> Sample {
    let mut numbers = Sequence::new(seed);
    let (mut found, mut read) = (0, 0u64);
    let watch = Watch::start();
    for _ in 0..batches {
        let keys: [Key; 16] = std::array::from_fn(|_| key(salt + numbers.below(entries, read)));
        handle.get_batch(&keys, |word| {
            found += u64::from(word.is_some());
            read ^= word.unwrap_or_else(nothing);
        });
    }
    let operations = batches * 16;
    Sample { operations, spent: watch.spent(), asked: operations, found, ..Sample::default() }
}
