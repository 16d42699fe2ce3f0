//! The operations: each one is performed, and what it answers is held against the model.

use super::Cache;
use super::found::Found;
use super::model::{Arrival, Doing, Frame, Is, Key, MOST_PAYLOAD, looks_inside, stores_answers};
use super::script::{Does, Op, Reply};
use super::world::{CONNECTION, Injected, World, key};
use halfshake::Refusal;
use halfshake::session::{Hello, Modes, Newly, NotStored, Rejection, Session, Side};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Runs an operation, `None` if a callback panicked in it; then `check`s it, with what is known of
/// it by then.
pub(crate) fn framed<R>(
    world: &World,
    cache: &Cache,
    doing: Doing,
    run: impl FnOnce() -> R,
    check: impl FnOnce(Option<R>),
) -> Frame {
    let is_dropping = doing == Doing::Drop;
    world.model().begin(doing);
    let done = catch_unwind(AssertUnwindSafe(run));
    let done = done.map_err(|payload| {
        if !payload.is::<Injected>() {
            resume_unwind(payload);
        }
    });
    let inserts = if world.model().is_putting() { cache.stats().engine.inserts } else { 0 };
    let panicked = done.is_err();
    {
        let mut model = world.model();
        let is_nested = model.frames.len() > 1;
        let may_be_refused = is_nested || model.held > 0 || model.closed() != Is::No;
        model.settle(inserts, may_be_refused);
        let thrown = model.frame().thrown > 0;
        assert!(panicked == thrown || is_dropping && !panicked, "a panic was lost, or made up");
    }
    check(done.ok());
    world.model().end()
}

/// How a look-up is made: the session cache's own function, or a hello's.
pub(crate) type Ask<'a> = &'a dyn Fn() -> Option<Found>;

/// One look-up, judged. The frame is the caller's to look at.
pub(crate) fn look_up(
    world: &World,
    cache: &Cache,
    (key, takes): (&Key, bool),
    may_spend: bool,
    ask: Ask<'_>,
    waits: &dyn Fn() -> bool,
) -> Frame {
    let (inside, asks) = world.model().expects(key, takes, may_spend);
    let claims = world.model().claims(key);
    let doing = if takes { Doing::Take(key.clone()) } else { Doing::Resume(key.clone()) };
    framed(world, cache, doing, ask, |found| {
        let mut model = world.model();
        let count = model.frame().asks.len();
        match asks {
            Is::No => assert_eq!(count, 0, "the get callback was asked"),
            Is::Maybe => assert!(count <= 1, "the get callback was asked twice"),
            Is::Yes => assert_eq!(count, 1, "the get callback was not asked"),
        }
        let is_anothers = takes && model.asked_in_vain();
        let given = |arrival: &Arrival| arrival.key == *key && arrival.session.is_some();
        let own = u64::from(takes && model.frame().arrivals.iter().any(given));
        let lost = model.claims(key) > claims + own;
        let taken = found.as_ref().and_then(Option::as_ref).is_some_and(|f| !f.is_external);
        let took = taken || lost && inside.iter().any(Option::is_some);
        if takes && took {
            model.void(key);
        }
        if waits() {
            assert!(inside.contains(&None), "what is inside was not found");
            return;
        }
        if takes && (took || count > 0) {
            model.mark(Is::Yes, |other| other == key);
        }
        let got = found.as_ref().is_some_and(Option::is_some);
        if takes && got {
            assert!(!is_anothers, "taken twice");
            model.has_taken(key);
        }
        if takes && got && model.frames.len() == 1 && model.frame().in_callbacks == 0 {
            assert!(model.live(key).is_none(), "taken, and there");
        }
        if let Some(found) = found {
            judge(&mut model, key, &inside, found, lost && takes);
        }
    })
}

/// Whether a look-up may have found this, after an answer that is noted in its frame.
fn judge(
    model: &mut super::model::Model,
    key: &Key,
    inside: &[Option<Session>],
    found: Option<Found>,
    lost: bool,
) {
    let here = model.frame().arrivals.iter().find(|arrival| arrival.key == *key).cloned();
    let given = here.as_ref().and_then(|arrival| arrival.session.clone());
    let landing = model.is_landing(key).and_then(|arrival| arrival.session.clone());
    match found {
        Some(Found { session, is_external: true }) => {
            let right = given.or(landing);
            assert!(right.as_ref() == Some(&session), "not what the get callback gave");
        }
        Some(Found { session, is_external: false }) => {
            assert!(here.is_none(), "asked, and found inside");
            let right = inside.iter().flatten().any(|right| *right == session);
            assert!(right || landing.as_ref() == Some(&session), "not what was stored");
        }
        None => {
            let is_used = given.is_none() || lost || here.is_some_and(|here| !here.sure);
            assert!(
                is_used || model.came_too_late(given.as_ref()),
                "what the get callback gave was not used"
            );
            assert!(inside.contains(&None) || lost, "what is inside was not found");
        }
    }
}

/// Performs an operation that a callback may perform, too.
pub(crate) fn perform(world: &Arc<World>, cache: &Cache, op: &Op) {
    match op {
        Op::LookUp { who, takes, reply } => look(world, cache, (&key(who), *takes), reply),
        Op::Hello { name, budget, proposals } => {
            let hello = cache.hello_with_budget(&CONNECTION, &world.names[*name], *budget);
            for (who, takes, reply) in proposals {
                propose(world, cache, &hello, (&(*name, who.id.clone()), *takes), reply);
            }
        }
        Op::Add(who, shape) => {
            if let Some(session) = world.session(cache, &key(who), *shape) {
                add(world, cache, &session);
            }
        }
        Op::New { who, shape, client, refuses, does } => {
            if let Some(session) = world.session(cache, &key(who), *shape) {
                new_session(world, cache, &session, *client, (*refuses, does));
            }
        }
        Op::Remove(who) => remove(world, cache, &key(who), false),
        Op::Fail(who) => remove(world, cache, &key(who), true),
        Op::FlushSessions(ahead) => flush_sessions(world, cache, *ahead),
        Op::FlushName(name) => {
            let flush = || cache.flush_namespace(&world.names[*name]);
            flush_where(world, cache, |key, _| key.0 == *name, |key| key.0 == *name, flush);
        }
        Op::FlushAll => flush_where(world, cache, |_, _| true, |_| true, || cache.flush_all()),
        Op::SetCapacity(sessions) => set_capacity(world, cache, *sessions),
        Op::Maintain(budget) => maintain(world, cache, *budget),
        Op::Shutdown => {
            framed(
                world,
                cache,
                Doing::Shutdown,
                || cache.shutdown(),
                |_| {
                    let mut model = world.model();
                    model.close();
                    assert!(
                        model.frames.len() > 1 || model.entries().count() == 0,
                        "shut down, not empty"
                    );
                },
            );
        }
        _ => set(world, cache, op),
    }
}

/// Settings and clocks: no callback is called.
fn set(world: &Arc<World>, cache: &Cache, op: &Op) {
    match op {
        Op::SetModes(modes) => {
            let old = cache.set_modes(*modes);
            let mut model = world.model();
            assert_eq!((old, cache.modes()), (model.modes, *modes));
            model.modes = *modes;
            if !stores_answers(*modes) || !looks_inside(*modes) {
                model.mark(Is::Yes, |_| true);
            }
        }
        Op::SetTimeout(ms) => {
            let old = cache.set_timeout(Duration::from_millis((*ms).into()));
            let mut model = world.model();
            assert_eq!(old.as_millis(), u128::from(model.timeout_ms));
            model.timeout_ms = (*ms).into();
        }
        Op::Advance(mono, wall) => {
            world.mono.advance(Duration::from_millis((*mono).into()));
            world.wall.advance(Duration::from_millis((*wall).into()));
            look_at_clocks(world, cache);
        }
        Op::StepBack(ms) => {
            use halfshake::Clock;
            let back = Duration::from_millis((*ms).into());
            for clock in [&world.mono, &world.wall] {
                clock.set(clock.now().saturating_sub(back));
            }
            look_at_clocks(world, cache);
        }
        Op::SetGetter(getter) => world.set_get(cache, *getter),
        Op::OnRemoval(does) => world.on_removal(does),
        Op::SwitchNew(is_set) => world.set_new(cache, *is_set),
        // Of a client that begins and goes away; the rest is for those who keep something.
        Op::Begin { who, takes, reply } => look(world, cache, (&key(who), *takes), reply),
        _ => (),
    }
}

/// Time never steps back for the cache.
fn look_at_clocks(world: &World, cache: &Cache) {
    use halfshake::Clock;
    let ms = |time: Duration| u64::try_from(time.as_millis()).expect("within our lives");
    let mut model = world.model();
    model.now = model.now.max(ms(world.mono.now()));
    model.wall = model.wall.max(ms(world.wall.now()));
    assert_eq!(ms(cache.wall_now()), model.wall);
    let _ticks = cache.stats();
}

fn look(world: &World, cache: &Cache, (key, takes): (&Key, bool), reply: &Reply) {
    let name = &world.names[key.0];
    let ask = || match takes {
        true => cache.take(&CONNECTION, name, &key.1),
        false => cache.resume(&CONNECTION, name, &key.1),
    };
    world.replying(reply, || {
        look_up(world, cache, (key, takes), true, &|| ask().map(Found::of), &|| false);
    });
}

fn propose(
    world: &World,
    cache: &Cache,
    hello: &Hello<'_, u32>,
    (key, takes): (&Key, bool),
    reply: &Reply,
) {
    let left = hello.left();
    let ask = || match takes {
        true => hello.take(&key.1),
        false => hello.resume(&key.1),
    };
    let frame = world.replying(reply, || {
        look_up(world, cache, (key, takes), left > 0, &|| ask().map(Found::of), &|| false)
    });
    let spent = left.checked_sub(hello.left()).expect("a budget only shrinks");
    assert!(spent <= 1 && frame.asks.len() <= spent as usize, "beyond the budget");
}

/// What storing a session comes to.
fn expects_put(world: &World, session: &Session) -> Result<(), NotStored> {
    let model = world.model();
    if session.id().as_bytes().len() > model.setup.id_max {
        return Err(NotStored::Rejected(Rejection::IdLength));
    }
    if session.payload().len() > MOST_PAYLOAD {
        return Err(NotStored::Rejected(Rejection::TooLarge));
    }
    if session.times().not_after() <= Duration::from_millis(model.wall) {
        return Err(NotStored::Expired);
    }
    if model.closed() == Is::Yes { Err(NotStored::Refused(Refusal::Closed)) } else { Ok(()) }
}

/// Whether an operation may say this of a session of which that was expected.
fn is_right(world: &World, said: Result<(), NotStored>, expected: Result<(), NotStored>) -> bool {
    let model = world.model();
    let may_be_refused = model.frames.len() > 1 || model.held > 0;
    match said {
        _ if said == expected => true,
        Err(NotStored::Refused(Refusal::Closed)) => model.closed() != Is::No,
        Err(NotStored::Refused(Refusal::NoRoom | Refusal::Full)) => may_be_refused,
        _ => false,
    }
}

/// Notes what is about to be stored.
fn before_put(world: &World, key: &Key, session: &Session, expected: Result<(), NotStored>) {
    let mut model = world.model();
    match expected {
        Ok(()) => {
            let must = model.closed() == Is::No;
            model.put(key, session, must);
        }
        Err(NotStored::Rejected(Rejection::TooLarge)) => model.rejected += 1,
        Err(_) => (),
    }
}

/// Notes that it was stored, or was not because of what it is: its id is known again.
fn after_put(world: &World, key: &Key, expected: Result<(), NotStored>) {
    if !matches!(expected, Err(NotStored::Rejected(_) | NotStored::Off)) {
        let mut model = world.model();
        model.mark(Is::Yes, |other| other == key);
        model.forget(key);
    }
}

fn add(world: &World, cache: &Cache, session: &Session) {
    let key = super::model::key_of(session).expect("one of ours");
    let modes = world.model().modes;
    let off = modes.without(Modes::BOTH) == modes;
    let expected = if off { Err(NotStored::Off) } else { expects_put(world, session) };
    let run = || {
        before_put(world, &key, session, expected);
        cache.add(session)
    };
    framed(world, cache, Doing::Put(key.clone()), run, |said| {
        after_put(world, &key, expected);
        if let Some(said) = said {
            assert!(is_right(world, said, expected), "{said:?}, not {expected:?}");
        }
        let mut model = world.model();
        if expected == Err(NotStored::Expired) && model.frame().in_events == 0 {
            let gone =
                model.live(&key).is_none() || model.closed() != Is::No || model.frames.len() > 1;
            assert!(gone, "an old session outlived its end");
        }
    });
}

fn new_session(
    world: &World,
    cache: &Cache,
    session: &Session,
    client: bool,
    (refuses, does): (bool, &Does),
) {
    let key = super::model::key_of(session).expect("one of ours");
    let modes = world.model().modes;
    let has_new = world.model().has_new;
    let (side, mode) =
        if client { (Side::Client, Modes::CLIENT) } else { (Side::Server, Modes::SERVER) };
    let expected = match () {
        () if !modes.contains(mode) => Err(NotStored::Off),
        () if modes.contains(Modes::NO_INTERNAL_STORE) => Err(NotStored::NoInternalStore),
        () => expects_put(world, session),
    };
    let is_told = has_new && !matches!(expected, Err(NotStored::Off | NotStored::Rejected(_)));
    let was_put = !matches!(
        expected,
        Err(NotStored::Off | NotStored::NoInternalStore | NotStored::Rejected(_))
    );
    let tells = has_new && expected != Err(NotStored::Off);
    let run = || {
        world.model().frame().half_way = true;
        if tells {
            world.model().tell(&key, true);
        }
        before_put(world, &key, session, expected);
        world
            .on_new((refuses, does), was_put, || {
                let run = AssertUnwindSafe(|| cache.new_session(&CONNECTION, side, session));
                catch_unwind(run)
            })
            .unwrap_or_else(|panic| resume_unwind(panic))
    };
    framed(world, cache, Doing::New(key.clone()), run, |said| {
        let calls = world.model().frame().new_calls;
        if tells {
            world.model().tell(&key, false);
        }
        // A removal event that panics comes before it.
        assert!(calls == u32::from(is_told) || said.is_none() && calls == 0, "calls: {calls}");
        let is_refused = calls > 0 && (refuses || does.panics);
        if calls > 0 {
            world.model().mark(Is::Yes, |other| *other == key);
        }
        if calls > 0 && !is_refused || calls == 0 && was_put {
            after_put(world, &key, expected);
        }
        match said {
            Some(Newly::Refused) => assert!(is_refused, "refused by nobody"),
            Some(Newly::Stored) => assert!(!is_refused && is_right(world, Ok(()), expected)),
            Some(Newly::NotStored(why)) => {
                assert!(!is_refused && is_right(world, Err(why), expected), "{why:?}");
            }
            Some(other) => panic!("{other:?} is new"),
            None => (),
        }
        let mut model = world.model();
        if is_refused && model.frame().in_events == 0 && model.frames.len() == 1 {
            assert!(model.live(&key) != Some(session), "refused, and still there");
        }
    });
}

fn remove(world: &World, cache: &Cache, key: &Key, fails: bool) {
    let expected = world.model().visible(key);
    let name = &world.names[key.0];
    let (doing, run): (_, &dyn Fn() -> bool) = if fails {
        (Doing::Fail(key.clone()), &|| cache.connection_failed(name, &key.1))
    } else {
        (Doing::Remove(key.clone()), &|| cache.remove(name, &key.1))
    };
    framed(world, cache, doing, run, |removed| {
        let mut model = world.model();
        model.mark(Is::Yes, |other| other == key);
        let quiet = model.frame().in_events == 0;
        if let (Some(removed), [before], true) = (removed, &expected[..], quiet) {
            assert_eq!(removed, before.is_some(), "removed");
        }
        assert!(
            !quiet || model.frames.len() > 1 || model.live(key).is_none(),
            "removed, and there"
        );
    });
}

fn flush_sessions(world: &World, cache: &Cache, ahead: u8) {
    let now = world.model().now;
    let wall = world.model().wall;
    // 255: as long ago as can be told.
    let (until, time) = match ahead {
        255 => (now, 0),
        ahead => (now + u64::from(ahead), wall + u64::from(ahead)),
    };
    let flush = || cache.flush_sessions(Duration::from_millis(time));
    flush_where(world, cache, |_, deadline| deadline <= until, |_| true, flush);
}

fn flush_where(
    world: &World,
    cache: &Cache,
    due: impl Fn(&Key, u64) -> bool,
    marks: impl Fn(&Key) -> bool,
    flush: impl Fn() -> u64,
) {
    let count = |counts: &dyn Fn(bool) -> bool| {
        let model = world.model();
        let due = |(key, deadline, live): &(&Key, u64, Option<&Session>)| {
            due(key, *deadline) && counts(live.is_some())
        };
        model.entries().filter(due).count() as u64
    };
    // What has expired of these goes, too, and is counted.
    let before = count(&|is_live| is_live)..=count(&|_| true);
    framed(world, cache, Doing::Flush, &flush, |flushed| {
        let mut model = world.model();
        model.mark(Is::Yes, marks);
        let quiet = model.frame().in_events == 0 && model.frames.len() == 1;
        drop(model);
        assert!(!quiet || flushed.is_none_or(|flushed| before.contains(&flushed)), "flushed");
        assert!(!quiet || count(&|_| true) == 0, "flushed, and there");
    });
}

fn set_capacity(world: &World, cache: &Cache, sessions: u64) {
    let good = (1..=super::MOST_SESSIONS).contains(&sessions);
    if good {
        world.model().capacity = sessions;
    }
    framed(
        world,
        cache,
        Doing::Resize,
        || cache.set_capacity(sessions).is_ok(),
        |done| {
            assert!(done.is_none_or(|done| done == good), "capacity {sessions}");
        },
    );
}

fn maintain(world: &World, cache: &Cache, budget: u8) {
    let budget = if budget == u8::MAX { usize::MAX } else { budget.into() };
    framed(
        world,
        cache,
        Doing::Maintain,
        || cache.run_maintenance(budget),
        |done| {
            let mut model = world.model();
            let all = budget == usize::MAX && !model.modes.contains(Modes::NO_AUTO_CLEAR);
            if all && done.is_some() && model.frame().in_events == 0 && model.frames.len() == 1 {
                assert!(model.entries().all(|(_, _, live)| live.is_some()), "expired, and there");
            }
        },
    );
}
