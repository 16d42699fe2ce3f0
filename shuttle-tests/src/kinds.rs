//! The operations of the API, and how often each two of them were under way at the same time.

use crate::random::Random;
use halfshake::RemovalCause;

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
    fn inserts(self) -> bool {
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
        match cause {
            RemovalCause::Replaced => self.inserts() && self != InsertIfAbsent,
            RemovalCause::Evicted => self.inserts() && self != InsertNothing || pays,
            RemovalCause::Expired => {
                self.inserts() || pays || matches!(self, Retain | Clear | Flush | Shutdown)
            }
            RemovalCause::Taken => matches!(self, Take | ReaderTake),
            RemovalCause::Removed => matches!(self, Remove | ReaderRemove | RemoveExact | Retain),
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

/// How often two operations were under way at the same time.
#[derive(Clone, Debug)]
pub struct Meetings(Vec<u64>);

impl Default for Meetings {
    fn default() -> Self {
        Self(vec![0; Kind::ALL.len() * Kind::ALL.len()])
    }
}

impl Meetings {
    fn at(one: Kind, other: Kind) -> usize {
        let (low, high) = (one.min_of(other), one.max_of(other));
        low * Kind::ALL.len() + high
    }

    /// One meeting more.
    pub fn add(&mut self, one: Kind, other: Kind) {
        self.0[Self::at(one, other)] += 1;
    }

    /// Those of another table, too.
    pub fn add_all(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(here, there)| *here += there);
    }

    /// Each two, with how often they met, the rarest first.
    #[must_use]
    pub fn pairs(&self) -> Vec<(u64, Kind, Kind)> {
        let all = Kind::ALL;
        let pair =
            |one: usize, other: usize| (self.0[one * all.len() + other], all[one], all[other]);
        let mut pairs: Vec<_> = (0..all.len())
            .flat_map(|one| (one..all.len()).map(move |other| pair(one, other)))
            .collect();
        pairs.sort_by_key(|(met, ..)| *met);
        pairs
    }
}

impl Kind {
    fn min_of(self, other: Self) -> usize {
        (self as usize).min(other as usize)
    }

    fn max_of(self, other: Self) -> usize {
        (self as usize).max(other as usize)
    }
}
