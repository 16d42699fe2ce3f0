//! What is played: a cache, and what each thread does to it. All of it comes from one seed.

use crate::kinds::Kind;
use crate::random::Random;
use halfshake::{Delivery, Maintenance};

/// The shape of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Keys and values of any type.
    Pairs,
    /// Keys and values of bytes.
    Bytes,
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    pub(crate) keys: u64,
    pub(crate) capacity: u64,
    pub(crate) max_capacity: u64,
    /// The limit in bytes, of entries that weigh 1 to 3.
    pub(crate) bytes: Option<u64>,
    /// The timeout of entries that bring none, in ticks.
    pub(crate) timeout: Option<u64>,
    /// All keys are in one set, and pairs of them have one tag.
    pub(crate) one_set: bool,
    pub(crate) delivery: Delivery,
    pub(crate) maintenance: Maintenance,
    /// What each thread does, one after the other.
    pub(crate) threads: Vec<Vec<Kind>>,
}

impl Plan {
    /// For shuttle: 3 or 4 threads, 20 to 50 operations, half of which are two of the API.
    #[must_use]
    pub fn short(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let focus = Kind::any_pair(&mut random);
        let capacity = 1 + random.below(4);
        let count = 3 + random.below(2);
        let each = random.below(6);
        let threads: Vec<Vec<_>> = (0..count)
            .map(|thread| {
                let own = if thread % 2 == 0 { focus.0 } else { focus.1 };
                let kinds = (0..7 + each).map(|_| match random.below(2) {
                    0 if own != Kind::Shutdown => own,
                    _ => often(&mut random),
                });
                let mut kinds: Vec<_> = kinds.collect();
                if own == Kind::Shutdown
                    && let Some(last) = kinds.last_mut()
                {
                    // Nothing much happens after it.
                    *last = own;
                }
                kinds
            })
            .collect();
        let has_retain = threads.iter().flatten().any(|kind| *kind == Kind::Retain);
        let (delivers, maintains) = (!has_retain && random.one_in(8), random.one_in(8));
        let has_make = threads.iter().flatten().any(|kind| *kind == Kind::GetOrInsert);
        let shape = if has_make || !random.one_in(3) { Shape::Pairs } else { Shape::Bytes };
        Self {
            seed,
            shape,
            keys: 2 + random.below(4),
            capacity,
            max_capacity: capacity + random.below(3),
            bytes: random.one_in(4).then(|| 3 + random.below(8)),
            timeout: random.one_in(3).then(|| 1 + random.below(4)),
            one_set: random.one_in(2),
            delivery: if delivers { Delivery::Thread } else { Delivery::Caller },
            maintenance: if maintains { Maintenance::Thread } else { Maintenance::Embedder },
            threads,
        }
    }

    /// For real threads: `operations` in all, of 2 to 4 of them.
    #[must_use]
    pub fn long(seed: u64, operations: u64) -> Self {
        let mut random = Random::new(seed, 2);
        let count = 2 + random.below(3);
        let delivery = if random.one_in(4) { Delivery::Thread } else { Delivery::Caller };
        let maintains = random.one_in(8);
        let maintenance = if maintains { Maintenance::Thread } else { Maintenance::Embedder };
        let shape = if random.one_in(2) { Shape::Pairs } else { Shape::Bytes };
        let fits = |kind: &Kind| match kind {
            Kind::GetOrInsert => shape == Shape::Pairs,
            // Another thread's event does not tell which operation it belongs to.
            Kind::Retain => delivery == Delivery::Caller,
            Kind::Shutdown => false,
            _ => true,
        };
        let all: Vec<_> = Kind::ALL.iter().copied().filter(fits).collect();
        let mut threads: Vec<Vec<_>> = (0..count)
            .map(|thread| {
                let own = operations * (thread + 1) / count - operations * thread / count;
                let kind = |_| match random.one_in(4) {
                    true => random.choose(&all),
                    false => often(&mut random),
                };
                (0..own).map(kind).collect()
            })
            .collect();
        if random.one_in(2) {
            end_early(&mut threads, &all, &mut random);
        }
        let capacity = 2 + random.below(20);
        Self {
            seed,
            shape,
            keys: 8 + random.below(8),
            capacity,
            max_capacity: capacity + random.below(8),
            bytes: random.one_in(4).then(|| 6 + random.below(24)),
            timeout: random.one_in(3).then(|| 2 + random.below(20)),
            one_set: random.one_in(2),
            delivery,
            maintenance,
            threads,
        }
    }

    /// Whether the threads begin their operations of this number at the same moment. More than two
    /// may be more than there are processors: to wait for all takes long.
    pub(crate) fn meets(&self, number: usize) -> bool {
        self.threads.len() == 2 && self.threads.iter().all(|own| number < own.len())
    }

    /// How many operations there are.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.threads.iter().map(Vec::len).sum()
    }
}

/// So many operations of a thread come last.
const TAIL: usize = 8;

/// Two threads shut down, perhaps at the same time, and all do anything then.
fn end_early(threads: &mut [Vec<Kind>], all: &[Kind], random: &mut Random) {
    let mut ends = || random.below(TAIL as u64) as usize;
    let (first, other) = (ends(), ends());
    let ends = [first, if random.one_in(2) { first } else { other }];
    for (number, thread) in threads.iter_mut().enumerate() {
        let own = thread.len().saturating_sub(TAIL);
        let tail = &mut thread[own..];
        tail.iter_mut().for_each(|kind| *kind = random.choose(all));
        // Nothing much happens after it.
        if let Some(kind) = ends.get(number).and_then(|end| tail.get_mut(*end)) {
            *kind = Kind::Shutdown;
        }
    }
}

/// An operation that changes what others see.
fn often(random: &mut Random) -> Kind {
    const OFTEN: &[Kind] = &[
        Kind::Insert,
        Kind::Insert,
        Kind::Insert,
        Kind::InsertWithTimeout,
        Kind::InsertWithTimeout,
        Kind::InsertIfAbsent,
        Kind::Replace,
        Kind::Get,
        Kind::Get,
        Kind::ReaderGet,
        Kind::Take,
        Kind::Take,
        Kind::Remove,
        Kind::Maintain,
        Kind::Advance,
    ];
    random.choose(OFTEN)
}
