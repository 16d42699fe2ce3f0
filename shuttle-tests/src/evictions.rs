//! Whether an eviction was needed, as far as all histories of a cache together tell.
//!
//! An entry has one unit of the limit, from before it can be found until it was put out; another
//! insert under way has one more at most: what it was granted, or has taken over, and does not
//! need. Whoever puts an entry out has none for its own, or would not, unless a set is full. So
//! while all of these, but for its own, are fewer than the limit, there is a free unit, and nobody
//! need go for it. Entries of one set may be too many for that; fewer than that in all are not.
//!
//! Where a limit in bytes is set, weights would have to be known of inserts that were refused; and
//! where another thread tells, it is not known when somebody was put out. There nothing is judged.

use crate::history::{Action, Event};
use crate::plan::Plan;
use crate::player::Log;
use crate::world::Told;
use halfshake::RemovalCause;
use std::collections::HashMap;

/// That many entries fit into one set.
const ONE_SET: usize = if cfg!(halfshake_shuttle) { 2 } else { 15 };

/// # Panics
/// If an entry was evicted while there was room.
pub(crate) fn judge(plan: &Plan, logs: &[Log], told: &[Told]) {
    if plan.bytes.is_some() {
        return;
    }
    let least = logs.iter().filter_map(|log| log.least_capacity).fold(plan.capacity, u64::min);
    let room = usize::try_from(least).unwrap_or(usize::MAX).min(ONE_SET);
    let events: HashMap<u64, Event> =
        told.iter().map(|told| (told.event.value, told.event)).collect();
    let operations = || logs.iter().flat_map(|log| &log.operations).map(|(_, op)| op);
    let brought: Vec<_> = operations()
        .filter_map(|op| match op.action {
            Action::Insert(value)
            | Action::InsertIfAbsent(value, true)
            | Action::Replace(value, true)
            | Action::MayInsertOver(value) => Some((op.called, events.get(&value))),
            _ => None,
        })
        .collect();
    let evicted = told.iter().filter(|told| told.cause == RemovalCause::Evicted);
    for Told { key, event, .. } in evicted.filter(|told| told.event.since != 0) {
        let is_there = |called: u64, gone: Option<&Event>| {
            // What the teller told of before this one had left before it.
            let until = |gone: &Event| {
                if gone.since == event.since { event.at } else { event.since }
            };
            let is_own = called == event.since;
            called < event.at && !is_own && gone.is_none_or(|gone| gone.at >= until(gone))
        };
        let entries = brought.iter().filter(|(called, gone)| is_there(*called, *gone)).count();
        let others = logs.iter().flat_map(|log| log.spans.iter().map(move |span| (log, span)));
        let inserts = others.filter(|(log, (kind, begun, ended))| {
            kind.inserts()
                && *begun < event.at
                && event.since < *ended
                && !tells(log, event, (*begun, *ended))
        });
        let most = entries + inserts.count();
        assert!(
            most >= room,
            "evicted while there was room: at most {most} units of {room} were held when {event:?} \
             came of key {key}, {plan:?}"
        );
    }
}

/// Whether an event came of the operation that took so long.
fn tells(log: &Log, event: &Event, (begun, ended): (u64, u64)) -> bool {
    let since = event.since;
    let is_in_time = begun <= since && since < ended;
    is_in_time && (begun == since || log.operations.iter().any(|(_, op)| op.called == since))
}
