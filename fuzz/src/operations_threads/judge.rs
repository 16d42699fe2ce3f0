//! Whether what happened keeps to the contract.

use super::super::history::{Action, Event, How, NEVER, Operation, check, named};
use super::world::{Gone, Notes, Seen, TLS12, Told, World, is_by_use, name_of, session};
use super::{Kind, MOST_IDS, Played, Script};
use halfshake::session::{NotStored, Rejection, Session};
use halfshake::{Refusal, RemovalCause};
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::atomic::Ordering::SeqCst;

/// The threads have ended.
pub(super) fn judge(world: &World, script: &Script) -> Played {
    let cache = &world.cache;
    // What has expired is not found, so it goes first: the rest can be counted.
    _ = cache.run_maintenance(usize::MAX);
    cache.validate();
    // What was gone before must not have stayed, nor come back.
    let called = world.log.next();
    let left: Vec<_> = cache.sessions().map(|left| seen_at_the_end(&left, called)).collect();
    world.log.notes().seen.extend(&left);
    let left: HashSet<_> = left.iter().map(|left| left.name).collect();
    let before = world.log.notes().told.len();
    assert!(left.len() as u64 <= cache.capacity(), "more than the limit: {script:?}");
    // Before the shutdown, which waits for events, also for such as never come.
    let stored = cache.stats().engine.inserts;
    let there = (left.len() + before) as u64;
    assert!(
        stored == there || there < stored && !world.tells_all,
        "{stored} sessions were stored, {there} are there, or were told of: {script:?}"
    );
    cache.shutdown();
    let ended = world.log.notes().told.split_off(before);
    let lived: HashSet<_> = ended.iter().map(|told| told.name).collect();
    assert_eq!(left, lived, "not what was there was told of at the end: {script:?}");
    world.log.notes().told.extend(ended);
    let refused = cache.add(&session(cache, 0, 0, TLS12));
    assert_eq!(refused, Err(NotStored::Refused(Refusal::Closed)), "stored after its end");
    cache.validate();
    let stats = cache.stats();
    let (counted, rejected) = (world.rejected.load(SeqCst), Rejection::Namespace);
    assert_eq!(stats.rejected_for(rejected), counted, "counted as rejected: {script:?}");
    assert_eq!(stats.accept, [counted, 0, 0], "handshakes, as they were counted: {script:?}");
    let stats = stats.engine;
    assert_eq!(stats.inserts, stats.removed_total(), "stored, and gone at the end: {script:?}");
    let notes = std::mem::take(&mut *world.log.notes());
    for cause in RemovalCause::ALL {
        let told = notes.told.iter().filter(|told| told.cause == cause).count() as u64;
        let removed = stats.removed_by(cause);
        assert!(
            removed == told || told < removed && !world.tells_all,
            "{removed} counted as {cause}, {told} told of: {script:?}"
        );
    }
    let rules = Rules {
        lands: world.lands(),
        keeps: world.keeps(),
        renews: world.renews,
        is_taken_once: world.is_taken_once,
        tells_all: world.tells_all,
    };
    if let Err(why) = judge_notes(&notes, rules, stats.inserts) {
        panic!("{why}\n{script:?}");
    }
    Played {
        operations: notes.operations.len() as u64,
        events: notes.told.len() as u64,
        spans: notes.spans,
    }
}

fn seen_at_the_end(left: &Session, called: u64) -> Seen {
    let (id, name) = (left.id().as_bytes()[0], name_of(left.payload()));
    Seen { id, name, called, returned: NEVER, is_taken: false }
}

/// What can be said of a cache depends on how it was used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A look-up outside may store.
    pub(super) lands: bool,
    /// The same of what was stored before.
    pub(super) keeps: bool,
    /// A session that is used is renewed.
    pub(super) renews: bool,
    /// Who has taken a session out of the cache always gets it.
    pub(super) is_taken_once: bool,
    /// Each event is told of.
    pub(super) tells_all: bool,
}

pub(super) fn judge_notes(notes: &Notes, rules: Rules, stored: u64) -> Result<(), String> {
    let Rules { lands, keeps, renews, is_taken_once, tells_all } = rules;
    if stored != notes.told.len() as u64 && tells_all {
        return Err("not one event for each session that was stored".to_owned());
    }
    let late = notes.told.iter().find(|told| notes.shut_down.is_some_and(|end| told.at > end));
    if let Some(late) = late {
        return Err(format!("told after the shutdown had returned: {late:?}"));
    }
    if let Some(one) = notes.told.iter().find(|told| is_by_use(told.cause, told.by) && !renews) {
        return Err(format!("renewed, and nobody has said so: {one:?}"));
    }
    // What nobody has deleted outside may come back.
    if keeps && !tells_all {
        return Ok(());
    }
    judge_takes(notes, is_taken_once)?;
    judge_gone(notes, keeps)?;
    // Where a name comes back, a history does not know which of its entries is meant.
    if keeps {
        return Ok(());
    }
    // Where sessions are renewed none expires here.
    if !renews {
        judge_expired(notes)?;
    }
    let ends = ends(notes)?;
    // Nor does it know when those left that nobody was told of.
    if !tells_all {
        return Ok(());
    }
    let is_renewal = |told: &&Told| is_by_use(told.cause, told.by);
    // What has come too late goes also by a resumption: it has landed.
    let mut lost = ends.values().copied().filter(is_renewal);
    if let Some(lost) = lost.find(|end| !end.is_from_outside) {
        return Err(format!("renewed, and nothing has taken its place: {lost:?}"));
    }
    let renewed = first_renewals(notes);
    let unanswered = unanswered(notes);
    let is_known = |name: Option<u64>| name.is_none_or(|name| !unanswered.contains(&name));
    for id in 0..MOST_IDS {
        let of = notes.operations.iter().filter(|(of, _)| *of == id).map(|(_, op)| *op);
        let of = of.filter(|op| is_known(named(op.action)));
        // A handle from before means one that is there no more.
        let is_of_old = |op: &Operation| match op.action {
            Action::RemoveExact(name, false) => {
                renewed.get(&name).is_some_and(|called| *called < op.returned)
            }
            _ => false,
        };
        let of = of.filter(|op| !is_of_old(op));
        let told = ends.values().filter(|told| told.id == id && is_known(Some(told.name)));
        let told: Vec<_> = told.map(|told| event(told, notes, lands)).collect();
        check(&of.collect::<Vec<_>>(), &told).map_err(|why| format!("id {id}: {why}"))?;
    }
    Ok(())
}

/// When the first operation that renewed a session began.
fn first_renewals(notes: &Notes) -> HashMap<u64, u64> {
    let mut first = HashMap::new();
    for told in notes.told.iter().filter(|told| is_by_use(told.cause, told.by)) {
        let called = told.by.map_or(0, |by| by.called);
        first
            .entry(told.name)
            .and_modify(|first: &mut u64| *first = called.min(*first))
            .or_insert(called);
    }
    first
}

/// What a look-up outside has brought and stored, and was not answered with: it had expired by
/// then. When it was stored nobody can say, who found it or took it inside before that least of
/// all.
fn unanswered(notes: &Notes) -> HashSet<u64> {
    let answered = notes.operations.iter().map(|(_, op)| match op.action {
        Action::MayInsert(name) => Some(name),
        _ => None,
    });
    let answered: HashSet<u64> = answered.flatten().collect();
    let from_outside = notes.told.iter().filter(|told| told.is_from_outside);
    from_outside.map(|told| told.name).filter(|name| !answered.contains(name)).collect()
}

/// The event of each session that was its end: it has others if it was renewed before.
fn ends(notes: &Notes) -> Result<HashMap<u64, &Told>, String> {
    let mut ends: HashMap<u64, &Told> = HashMap::new();
    for told in &notes.told {
        let mut end = match ends.entry(told.name) {
            Entry::Occupied(end) => end,
            Entry::Vacant(none) => {
                none.insert(told);
                continue;
            }
        };
        let is_by_use = |told: &Told| is_by_use(told.cause, told.by);
        match (is_by_use(end.get()), is_by_use(told)) {
            (false, false) => return Err(format!("told of twice: {told:?} {:?}", end.get())),
            (false, true) => {}
            (true, false) => _ = end.insert(told),
            // A resumption may also remove what has come too late.
            (true, true) => _ = end.insert(if told.at > end.get().at { told } else { end.get() }),
        }
    }
    Ok(ends)
}

fn event(told: &Told, notes: &Notes, lands: bool) -> Event {
    let may_be_late = told.may_lapse || is_by_use(told.cause, told.by);
    let how = match (told.cause, told.by) {
        (RemovalCause::Replaced, _) if may_be_late => How::ReplacedOrVanished,
        (RemovalCause::Replaced, _) => How::Replaced,
        // A taker gives up what another one may have, too.
        (RemovalCause::Taken, _) if notes.taken_inside.contains(&told.name) => How::Taken,
        (RemovalCause::Removed, Some(by)) if by.kind == Kind::RemoveExact => How::Removed,
        // What has landed meanwhile goes with it.
        (RemovalCause::Removed | RemovalCause::Faulty, _) if !lands => How::Removed,
        (RemovalCause::Expired, _) => How::Expired,
        _ => How::Vanished,
    };
    let since = told.by.map_or(0, |by| by.called);
    let at_once = told.by.is_some();
    Event { value: told.name, since, at: told.at, clock: told.clock, how, at_once }
}

fn judge_takes(notes: &Notes, is_taken_once: bool) -> Result<(), String> {
    let mut lost = notes.told.iter().filter(|told| told.cause == RemovalCause::Taken);
    if let Some(lost) = lost.find(|told| is_taken_once && !somebody_has(told, notes)) {
        return Err(format!("taken, and nobody has it: {lost:?}"));
    }
    let mut taken = HashMap::new();
    for seen in notes.seen.iter().filter(|seen| seen.is_taken) {
        if let Some(other) = taken.insert(seen.name, seen) {
            return Err(format!("taken twice: {other:?} {seen:?}"));
        }
        let until = notes.told_new.get(&seen.name);
        if until.is_some_and(|until| seen.returned < *until) {
            return Err(format!("taken while the new callback is told of it: {seen:?}"));
        }
    }
    Ok(())
}

/// Of takers of one id that are out together the first one that has something gets it, the others
/// give up what they have: it might be the same.
fn somebody_has(told: &Told, notes: &Notes) -> bool {
    let Some(by) = told.by else { return true };
    let ends = notes.spans.iter().flatten().find(|(_, called, _)| *called == by.called);
    let end = ends.map_or(NEVER, |(_, _, returned)| *returned);
    let together = |seen: &&Seen| seen.returned > by.called && seen.called < end;
    let mut takers = notes.seen.iter().filter(|seen| seen.is_taken && seen.id == told.id);
    takers.any(|seen| together(&seen))
}

/// An operation goes by the time at which it began: what had expired by then left for that.
fn judge_expired(notes: &Notes) -> Result<(), String> {
    let stored = notes.operations.iter().map(|(_, op)| match op.action {
        Action::Insert(name) => Some((name, op.clock.1.saturating_add(op.timeout))),
        _ => None,
    });
    let ends: HashMap<u64, u64> = stored.flatten().collect();
    let goes_first = |cause| {
        use RemovalCause::{Evicted, Removed, Replaced, Taken};
        matches!(cause, Evicted | Removed | Replaced | Taken)
    };
    for told in notes.told.iter().filter(|told| goes_first(told.cause)) {
        let had_expired =
            ends.get(&told.name).zip(told.by).is_some_and(|(end, by)| by.tick >= *end);
        if had_expired {
            return Err(format!("it had expired: {told:?}"));
        }
    }
    Ok(())
}

/// No resurrection.
fn judge_gone(notes: &Notes, keeps: bool) -> Result<(), String> {
    let was_there = |gone: &Gone, seen: &Seen| {
        notes.born.get(&seen.name).is_some_and(|born| *born < gone.called)
    };
    let is_meant = |gone: &Gone, seen: &Seen| match gone.name {
        // Outside it may be written down only now, where another one has its id inside.
        Some(name) if keeps => name == seen.name && was_there(gone, seen),
        Some(name) => name == seen.name,
        None => was_there(gone, seen),
    };
    for gone in &notes.gone {
        let late = notes.seen.iter().find(|seen| {
            let of_id = gone.id.is_none_or(|id| id == seen.id);
            of_id && seen.called > gone.returned && is_meant(gone, seen)
        });
        if let Some(late) = late {
            return Err(format!("gone, and back: {gone:?} {late:?}"));
        }
    }
    Ok(())
}
