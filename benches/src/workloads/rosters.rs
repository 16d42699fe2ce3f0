//! Who takes part in what. The first of each list is nobody: it shows what the workload itself
//! costs. The second is what the others are compared with.

use super::footprint::Alone;
use super::{Scale, Work, slack};
use crate::contestants::Nobody;
use crate::contestants::caches::{Lru, Moka, Quick};
use crate::contestants::layouts::{A, B2, Layout, StandIn};
use crate::contestants::limits::{IndexLine, OneLine, TwoLines};
use crate::contestants::maps::{Dashmap, Fifo, Papaya, PapayaPinning};
use crate::contestants::more::{Foyer, MiniMoka, Segments, TinyUfo};
use crate::contestants::ours::{Bytes, Holding, Kept, Pairs, Reading};
use crate::contestants::scc::{BucketLru, Index};
use crate::contestants::sessions::{SameBytes, Sessions};
use crate::contestants::singly::Singly;
use crate::contestants::stores::Store;
use crate::keys::Value;
use crate::rounds::Entrant;
use std::sync::Arc;

/// Where the contestant that the others are compared with is in each list.
const REFERENCE: usize = 1;

fn compared(entrants: Vec<Entrant>) -> Vec<Entrant> {
    entrants.into_iter().map(|e| e.against(REFERENCE)).collect()
}

fn size(entries: u64) -> usize {
    usize::try_from(entries).unwrap_or(usize::MAX)
}

/// For look-ups. Room for all entries, so that all are found.
pub(super) fn readers(work: &impl Work, entries: u64) -> Vec<Entrant> {
    let room = slack(entries);
    let n = size(room);
    let by = Kept::ByThread;
    compared(vec![
        work.enter("(nobody)", 1, || Nobody),
        work.enter("halfshake pinned, bytes", 1, move || {
            Holding(Reading(Bytes::new(room, by, false)))
        }),
        work.enter("halfshake pinned, pairs", 1, move || {
            Holding(Reading(Pairs::new(room, by, false)))
        }),
        work.enter("halfshake reader, bytes", 1, move || Reading(Bytes::new(room, by, false))),
        work.enter("halfshake reader, pairs", 1, move || Reading(Pairs::new(room, by, false))),
        work.enter("halfshake cache, bytes", 1, move || Bytes::new(room, by, false)),
        work.enter("halfshake cache, pairs", 1, move || Pairs::new(room, by, false)),
        work.enter("halfshake cache, a session's bytes", 1, move || SameBytes::new(room)),
        work.enter("halfshake sessions", 1, move || Sessions::new(room)),
        work.enter("(one line)", 1, move || OneLine::new(entries)),
        work.enter("(two lines)", 1, move || TwoLines::new(entries)),
        work.enter("(one line of an index)", 1, move || IndexLine::new(entries)),
        work.enter(A::NAME, 1, move || StandIn::<A>::new(room)),
        work.enter(B2::NAME, 1, move || StandIn::<B2>::new(room)),
        work.enter("papaya, guard held", 1, move || Papaya::new(n)),
        work.enter("papaya, pin each", 1, move || PapayaPinning(Papaya::new(n))),
        work.enter("scc HashIndex, guard held", 1, move || Index::new(n)),
        work.enter("scc HashCache", 1, move || BucketLru::new(n)),
        work.enter("dashmap", 1, move || Dashmap::new(n)),
        work.enter("quick_cache", 1, move || Quick::<Value>::new(n)),
        work.enter("quick_cache, Arc", 1, move || Quick::<Arc<[u8]>>::new(n)),
        work.enter("16 mutexes of lru", 1, move || Lru::<Value>::new(n)),
        work.enter("16 mutexes of lru, Vec", 1, move || Lru::<Vec<u8>>::new(n)),
        work.enter("foyer", 1, move || Foyer::new(n)),
        work.enter("TinyUFO", 1, move || TinyUfo::new(n)),
        work.enter("segcache", 1, move || Segments::new(n)),
        work.enter("mini-moka, Arc", 2, move || MiniMoka::new(room)),
        work.enter("moka, Arc", 2, move || Moka::new(room)),
    ])
}

/// For batches: the same, and ours one by one.
pub(super) fn batchers(work: &impl Work, entries: u64) -> Vec<Entrant> {
    let (room, by) = (slack(entries), Kept::ByThread);
    let mut all = readers(work, entries);
    all.push(work.enter("halfshake pinned, bytes, one by one", 1, move || {
        Singly(Holding(Reading(Bytes::new(room, by, false))))
    }));
    compared(all)
}

/// For changes, with this limit.
pub(super) fn writers(work: &impl Work, limit: u64) -> Vec<Entrant> {
    let n = size(limit);
    let (caller, thread) = (Kept::ByCaller, Kept::ByThread);
    compared(vec![
        work.enter("(nobody)", 1, || Nobody),
        work.enter("halfshake, bytes", 1, move || Bytes::new(limit, caller, false)),
        work.enter("halfshake, pairs", 1, move || Pairs::new(limit, caller, false)),
        work.enter("halfshake, bytes, listener", 1, move || Bytes::new(limit, caller, true)),
        work.enter("halfshake, pairs, listener", 1, move || Pairs::new(limit, caller, true)),
        work.enter("halfshake, bytes, own thread", 1, move || Bytes::new(limit, thread, false)),
        work.enter(A::NAME, 1, move || StandIn::<A>::new(limit)),
        work.enter(B2::NAME, 1, move || StandIn::<B2>::new(limit)),
        work.enter("halfshake cache, a session's bytes", 1, move || SameBytes::new(limit)),
        work.enter("halfshake sessions", 1, move || Sessions::new(limit)),
        work.enter("16 mutexes of lru", 1, move || Lru::<Value>::new(n)),
        work.enter("16 mutexes of lru, Vec", 1, move || Lru::<Vec<u8>>::new(n)),
        work.enter("quick_cache", 1, move || Quick::<Value>::new(n)),
        work.enter("quick_cache, Arc", 1, move || Quick::<Arc<[u8]>>::new(n)),
        work.enter("papaya and a queue", 1, move || Fifo::new(PapayaPinning(Papaya::new(n)), n)),
        work.enter("dashmap and a queue", 1, move || Fifo::new(Dashmap::new(n), n)),
        work.enter("scc HashIndex and a queue", 1, move || Fifo::new(Index::new(n), n)),
        work.enter("scc HashCache", 1, move || BucketLru::new(n)),
        work.enter("foyer", 1, move || Foyer::new(n)),
        work.enter("TinyUFO", 2, move || TinyUfo::new(n)),
        work.enter("segcache", 1, move || Segments::new(n)),
        work.enter("mini-moka, Arc", 4, move || MiniMoka::new(limit)),
        work.enter("moka, Arc", 4, move || Moka::new(limit)),
        work.enter("moka, Arc, LRU", 4, move || Moka::lru(limit)),
    ])
}

/// For sessions with timeouts: who lets entries expire.
pub(super) fn timed(work: &impl Work, limit: u64) -> Vec<Entrant> {
    let n = size(limit);
    let (caller, thread) = (Kept::ByCaller, Kept::ByThread);
    compared(vec![
        work.enter("(nobody)", 1, || Nobody),
        work.enter("halfshake, bytes", 1, move || Bytes::new(limit, caller, false)),
        work.enter("halfshake, pairs", 1, move || Pairs::new(limit, caller, false)),
        work.enter("halfshake, bytes, listener", 1, move || Bytes::new(limit, caller, true)),
        work.enter("halfshake, bytes, own thread", 1, move || Bytes::new(limit, thread, false)),
        work.enter("segcache", 1, move || Segments::new(n)),
        work.enter("mini-moka, Arc", 2, move || MiniMoka::new(limit)),
        work.enter("moka, Arc", 2, move || Moka::new(limit)),
        work.enter("moka, Arc, LRU", 2, move || Moka::lru(limit)),
    ])
}

/// For memory: everybody once, in their leanest form.
pub(super) fn footprints(scale: Scale) -> Vec<Entrant> {
    let (limit, n) = (scale.entries, size(scale.entries));
    let work = &Alone { scale, unlimited: false };
    let map = &Alone { scale, unlimited: true };
    let caller = Kept::ByCaller;
    vec![
        work.enter("halfshake, bytes", 1, move || Bytes::new(limit, caller, false)),
        work.enter("halfshake, pairs", 1, move || Pairs::new(limit, caller, false)),
        work.enter(A::NAME, 1, move || StandIn::<A>::new(limit)),
        work.enter(B2::NAME, 1, move || StandIn::<B2>::new(limit)),
        map.enter("papaya", 1, move || PapayaPinning(Papaya::new(n))),
        map.enter("scc HashIndex", 1, move || Index::new(n)),
        map.enter("dashmap", 1, move || Dashmap::new(n)),
        work.enter("scc HashCache", 1, move || BucketLru::new(n)),
        work.enter("quick_cache", 1, move || Quick::<Value>::new(n)),
        work.enter("quick_cache, Arc", 1, move || Quick::<Arc<[u8]>>::new(n)),
        work.enter("16 mutexes of lru", 1, move || Lru::<Value>::new(n)),
        work.enter("foyer", 1, move || Foyer::new(n)),
        work.enter("TinyUFO", 1, move || TinyUfo::new(n)),
        work.enter("segcache", 1, move || Segments::new(n)),
        work.enter("mini-moka, Arc", 1, move || MiniMoka::new(limit)),
        work.enter("moka, Arc", 1, move || Moka::new(limit)),
        work.enter("rustls's own store", 1, move || Store::of_rustls(n)),
    ]
}

/// For the cycle of TLS: the same, and rustls's interface.
pub(super) fn cyclers(work: &impl Work, limit: u64) -> Vec<Entrant> {
    // A take of rustls looks at every ticket.
    let slowness = (limit / 128).max(1);
    let mut all = writers(work, limit);
    all.push(work.enter("halfshake's store of rustls", 1, move || Store::of_halfshake(limit)));
    all.push(work.enter("rustls's own store", slowness, move || Store::of_rustls(size(limit))));
    compared(all)
}
