//! The operations of the API, and how often each two of them were under way at the same time.

use crate::random::Random;
use halfshake::RemovalCause;
use std::marker::PhantomData;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// An operation of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];
        }
    };
}

kinds! {
    /// `get`, read twice; `get_cloned`, `get_copied`.
    Get,
    /// `get_many`.
    GetMany,
    /// `contains`.
    Contains,
    /// `get`, for the identity of the entry.
    Identify,
    /// `iter`.
    Iterate,
    /// A reader's `get`.
    ReaderGet,
    /// A reader's `get_many`, `get_each`.
    ReaderGetMany,
    /// A reader's `contains`.
    ReaderContains,
    /// Look-ups in one pin of a reader.
    ReaderPinned,
    /// `insert`.
    Insert,
    /// `insert_with_timeout`.
    InsertWithTimeout,
    /// `insert_with_timeout`, of 0.
    InsertNothing,
    /// `insert_if_absent`.
    InsertIfAbsent,
    /// `replace`.
    Replace,
    /// `insert_many`, `insert_each`.
    InsertMany,
    /// A reader's `insert`.
    ReaderInsert,
    /// `get_or_insert_with`; a cache of bytes has none.
    GetOrInsert,
    /// `take`, held for a while; `take_cloned`, `take_copied`.
    Take,
    /// A reader's `take`.
    ReaderTake,
    /// `remove`.
    Remove,
    /// A reader's `remove`.
    ReaderRemove,
    /// `remove_exact`.
    RemoveExact,
    /// `retain`.
    Retain,
    /// `clear`.
    Clear,
    /// `flush`.
    Flush,
    /// `set_capacity`.
    SetCapacity,
    /// `run_maintenance`.
    Maintain,
    /// `run_maintenance_step`.
    MaintainStep,
    /// `set_removal_listener`.
    SetListener,
    /// The clock goes on.
    Advance,
    /// A handle more and one less; counters and gauges; `prefetch`.
    Look,
    /// `shutdown`.
    Shutdown,
}

impl Kind {
    pub(crate) fn inserts(self) -> bool {
        use Kind::{
            GetOrInsert, Insert, InsertIfAbsent, InsertMany, InsertNothing, InsertWithTimeout,
            ReaderInsert, Replace,
        };
        matches!(
            self,
            Insert
                | InsertWithTimeout
                | InsertNothing
                | InsertIfAbsent
                | Replace
                | InsertMany
                | ReaderInsert
                | GetOrInsert
        )
    }

    /// Whether this operation may tell of an entry that left for this cause.
    #[must_use]
    pub fn tells_of(self, cause: RemovalCause) -> bool {
        use Kind::{
            Clear, Flush, InsertIfAbsent, InsertNothing, Maintain, MaintainStep, ReaderRemove,
            ReaderTake, Remove, RemoveExact, Retain, SetCapacity, Shutdown, Take,
        };
        let pays = matches!(self, SetCapacity | Maintain | MaintainStep);
        let removes = matches!(self, Remove | ReaderRemove | RemoveExact | Retain);
        match cause {
            RemovalCause::Replaced => self.inserts() && self != InsertIfAbsent,
            RemovalCause::Evicted => self.inserts() && self != InsertNothing || pays,
            RemovalCause::Expired => {
                self.inserts() || pays || removes || matches!(self, Clear | Flush | Shutdown)
            }
            RemovalCause::Taken => matches!(self, Take | ReaderTake),
            RemovalCause::Removed => removes,
            RemovalCause::Flushed => matches!(self, Clear | Flush),
            RemovalCause::Shutdown => self == Shutdown,
            _ => false,
        }
    }

    /// Any two, the same one included.
    #[must_use]
    pub fn any_pair(random: &mut Random) -> (Self, Self) {
        (random.choose(Self::ALL), random.choose(Self::ALL))
    }
}

/// Operations that can be told apart by their number.
pub trait Numbered: Copy + 'static {
    /// All of them, in order.
    const ALL: &'static [Self];

    /// Where it stands among them.
    fn number(self) -> usize;
}

impl Numbered for Kind {
    const ALL: &'static [Self] = Self::ALL;

    fn number(self) -> usize {
        self as usize
    }
}

/// How often two operations were under way at the same time.
#[derive(Clone, Debug)]
pub struct Meetings<K>(Vec<u64>, PhantomData<K>);

impl<K: Numbered> Default for Meetings<K> {
    fn default() -> Self {
        Self(vec![0; K::ALL.len() * K::ALL.len()], PhantomData)
    }
}

impl<K: Numbered> Meetings<K> {
    /// Of what each player did, one after the other: from when until when.
    pub(crate) fn of<'s>(spans: impl Iterator<Item = &'s [(K, u64, u64)]>) -> Self {
        let (spans, mut meetings) = (spans.collect::<Vec<_>>(), Self::default());
        for (at, own) in spans.iter().enumerate() {
            for other in &spans[at + 1..] {
                let mut from = 0;
                for (kind, begun, ended) in *own {
                    // Both are in order: what ended before this one began meets no later one.
                    while other.get(from).is_some_and(|(.., ended)| ended < begun) {
                        from += 1;
                    }
                    let under_way = other[from..].iter().take_while(|(_, begun, _)| begun < ended);
                    under_way.for_each(|(other, ..)| meetings.add(*kind, *other));
                }
            }
        }
        meetings
    }

    /// How many operations there are.
    #[must_use]
    pub fn kinds(&self) -> usize {
        K::ALL.len()
    }

    /// One meeting more.
    fn add(&mut self, one: K, other: K) {
        let (one, other) = (one.number(), other.number());
        self.0[one.min(other) * K::ALL.len() + one.max(other)] += 1;
    }

    /// Those of another table, too.
    pub fn add_all(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(here, there)| *here += there);
    }

    /// Each two, with how often they met, the rarest first.
    #[must_use]
    pub fn pairs(&self) -> Vec<(u64, K, K)> {
        let all = K::ALL;
        let pair =
            |one: usize, other: usize| (self.0[one * all.len() + other], all[one], all[other]);
        let mut pairs: Vec<_> = (0..all.len())
            .flat_map(|one| (one..all.len()).map(move |other| pair(one, other)))
            .collect();
        pairs.sort_by_key(|(met, ..)| *met);
        pairs
    }

    /// Prints how many pairs there are, of `whose` operations, and which met most rarely; the
    /// number of those that never did.
    ///
    /// # Panics
    /// If that is more than `most`.
    pub fn report(&self, whose: &str, most: usize) -> usize
    where
        K: std::fmt::Debug,
    {
        let pairs = self.pairs();
        let (rarest, one, other) = pairs[0];
        println!(
            "{} pairs of operations of {whose}; the rarest, {one:?} and {other:?}, met {rarest} \
             times",
            pairs.len()
        );
        let never: Vec<_> = pairs.iter().take_while(|(met, ..)| *met == 0).collect();
        assert!(never.len() <= most, "these never met: {never:?}");
        never.len()
    }
}
