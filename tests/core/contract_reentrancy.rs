//! Every callback may call every operation of the same cache: none hangs, and none breaks it.

use crate::sessions;
use crate::sessions::{Cache, Call, Rig, id, namespace, rig, rig_with};
use crate::tried::{amount, tried};
use halfshake::RemovalCause;
use halfshake::session::{Answer, Modes, Side, Verdict};
use std::cell::Cell;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Far beyond what any case takes: a watchdog, not a measurement.
const WATCHDOG: Duration = Duration::from_secs(120);

thread_local! {
    /// The operation is run by the outermost callback alone.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

type Operation = fn(&Cache);
type Act = fn(&Rig);

/// Each acts on the id of the callback (1) and, where it can, on another one (2).
const OPERATIONS: [(&str, Operation); 22] = [
    ("new_session", |c| _ = c.new_session(&1, Side::Server, &session(c, 2))),
    ("new_session of the same id", |c| _ = c.new_session(&1, Side::Server, &session(c, 1))),
    ("add", |c| _ = c.add(&session(c, 2))),
    ("add of the same id", |c| _ = c.add(&session(c, 1))),
    ("resume", |c| drop(c.resume(&1, &namespace(), &[2; 32]))),
    ("resume of the same id", |c| drop(c.resume(&1, &namespace(), &[1; 32]))),
    ("take", |c| drop(c.take(&1, &namespace(), &[2; 32]))),
    ("take of the same id", |c| drop(c.take(&1, &namespace(), &[1; 32]))),
    ("find", |c| drop(c.find(&namespace(), &[1; 32]))),
    ("remove", |c| _ = c.remove(&namespace(), &[3; 32])),
    ("remove of the same id", |c| _ = c.remove(&namespace(), &[1; 32])),
    ("connection_failed", |c| _ = c.connection_failed(&namespace(), &[1; 32])),
    ("flush_sessions", |c| _ = c.flush_sessions(Duration::MAX)),
    ("flush_namespace", |c| _ = c.flush_namespace(&namespace())),
    ("flush_all", |c| _ = c.flush_all()),
    ("set_capacity", |c| _ = c.set_capacity(2)),
    ("set_modes", |c| _ = c.set_modes(Modes::OFF)),
    ("set callbacks", |c| {
        c.set_new_callback(|_, _| Verdict::Keep);
        c.set_get_callback(|_, _| Answer::unknown());
        c.set_remove_callback(|_| ());
    }),
    ("clear callbacks", |c| {
        c.clear_new_callback();
        c.clear_get_callback();
        c.clear_remove_callback();
    }),
    ("run_maintenance", |c| _ = c.run_maintenance(usize::MAX)),
    ("stats", |c| _ = c.stats()),
    ("shutdown", |c| c.shutdown()),
];

fn session(cache: &Cache, first: u8) -> halfshake::session::Session {
    cache.make(&namespace(), id(first), sessions::TLS12, &[first; 100])
}

/// Runs an operation inside a callback, unless the callback was called by it.
fn once(operation: Operation, cache: &Cache, called: &mpsc::Sender<()>) {
    if INSIDE.replace(true) {
        return;
    }
    operation(cache);
    INSIDE.set(false);
    called.send(()).expect("the test listens");
}

/// Sets up a cache, lets `act` call the callback that `set` has set, and checks what is left.
fn case(what: &str, set: impl FnOnce(&Rig, mpsc::Sender<()>) + Send + 'static, act: Act) {
    let (called, was_called) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let rig = rig_with(|builder| builder.capacity(3));
        rig.cache.add(&rig.session(3)).expect("room");
        set(&rig, called);
        act(&rig);
        rig.cache.clear_remove_callback();
        rig.cache.shutdown();
        let stats = rig.cache.stats().engine;
        assert_eq!(stats.inserts, stats.removed_total(), "one event for each");
        assert_eq!(stats.pinned_deliveries, 0, "a callback ran pinned");
        drop(rig);
        done.send(()).expect("the test waits");
    });
    let ended = is_done.recv_timeout(WATCHDOG);
    assert!(ended != Err(mpsc::RecvTimeoutError::Timeout), "{what} hangs");
    thread.join().unwrap_or_else(|panic| {
        eprintln!("in {what}");
        std::panic::resume_unwind(panic)
    });
    assert!(was_called.try_iter().count() > 0, "{what} was not called");
}

/// Says how many cases there were of a callback.
fn all_were_tried(callback: &str, each: usize, ways: &str) {
    tried(
        "7",
        &format!("the {callback} callback calls its cache"),
        &format!("all {} cases: {} operations, {ways}", OPERATIONS.len() * each, OPERATIONS.len()),
        "none hangs; no callback runs pinned, or under a lock; each session is told of once",
    );
}

#[test]
fn new_callback_may_call_every_operation() {
    for verdict in [Verdict::Keep, Verdict::Refuse] {
        for (name, operation) in OPERATIONS {
            let set = move |rig: &Rig, called: mpsc::Sender<()>| {
                rig.cache.set_new_callback(move |_, new| {
                    once(operation, new.cache(), &called);
                    verdict
                });
            };
            case(&format!("{name} in the new callback"), set, |rig| _ = rig.begin(1));
        }
    }
    all_were_tried("new", 2, "kept and refused");
}

#[test]
fn get_callback_may_call_every_operation() {
    for (name, operation) in OPERATIONS {
        for act in [(|rig: &Rig| _ = rig.resume(1)) as Act, |rig| {
            drop(rig.cache.take(&1, &namespace(), &[1; 32]))
        }] {
            let set = move |rig: &Rig, called: mpsc::Sender<()>| {
                let answer = Answer::handed_over(rig.session(1));
                rig.cache.set_get_callback(move |_, asked| {
                    once(operation, asked.cache(), &called);
                    answer.clone()
                });
            };
            case(&format!("{name} in the get callback"), set, act);
        }
    }
    all_were_tried("get", 2, "asked by resume and take");
}

#[test]
fn remove_callback_may_call_every_operation_for_every_cause() {
    let acts: [(&str, Act); 8] = [
        ("remove", |rig| _ = rig.cache.remove(&namespace(), &[3; 32])),
        ("take", |rig| drop(rig.cache.take(&1, &namespace(), &[3; 32]))),
        ("replace", |rig| _ = rig.cache.add(&rig.session(3))),
        ("evict", |rig| (4..7).for_each(|first| _ = rig.cache.add(&rig.session(first)))),
        ("flush", |rig| _ = rig.cache.flush_all()),
        ("resize", |rig| {
            _ = rig.cache.add(&rig.session(4));
            _ = rig.cache.set_capacity(1);
        }),
        ("expire", |rig| {
            rig.advance(100);
            _ = rig.cache.run_maintenance(usize::MAX);
        }),
        ("shutdown", |rig| rig.cache.shutdown()),
    ];
    for (name, operation) in OPERATIONS {
        for (how, act) in acts {
            let set = move |rig: &Rig, called: mpsc::Sender<()>| {
                rig.cache.set_remove_callback(move |gone| once(operation, gone.cache(), &called));
            };
            case(&format!("{name} in the remove callback of {how}"), set, act);
        }
    }
    all_were_tried("remove", acts.len(), &format!("{} ways to leave", acts.len()));
}

#[test]
fn callbacks_nest_as_deep_as_there_are_sessions() {
    let deep = u8::try_from(amount(100, 250)).unwrap();
    let rig = rig_with(|builder| builder.capacity(500));
    (0..deep).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
    let world = rig.world.clone();
    rig.cache.set_remove_callback(move |gone| {
        world.note(Call::Remove(gone.id()[0], gone.cause()));
        gone.cache().remove(&namespace(), &[gone.id()[0] + 1; 32]);
    });
    rig.cache.remove(&namespace(), &[0; 32]);
    assert_eq!(rig.world.calls().len(), usize::from(deep));
    assert!(rig.cache.is_empty());
    tried(
        "7",
        "remove callbacks that remove the next session, each inside of the one before",
        &format!("{deep} deep"),
        "each session is told of once",
    );
}

#[test]
fn handle_may_be_dropped_inside_a_callback() {
    let rig = rig_with(|builder| builder);
    let world = rig.world.clone();
    let handle = Arc::new(std::sync::Mutex::new(Some(rig.cache.clone())));
    let dropped = handle.clone();
    rig.cache.set_get_callback(move |_, _| {
        drop(dropped.lock().unwrap().take());
        Answer::unknown()
    });
    rig.begin(1);
    assert_eq!(rig.resume(2), None);
    assert!(handle.lock().unwrap().is_none());
    world.calls();
    drop(rig);
    assert_eq!(world.calls(), [Call::Remove(1, RemovalCause::Shutdown)]);
}

/// Counts its drops.
struct Counted(Arc<std::sync::Mutex<u64>>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.lock().expect("nobody panics under it") += 1;
    }
}

/// Sets one of the three callbacks, in turn; what is set counts its drop.
fn replace(rig: &Rig, n: u64, drops: &Arc<Mutex<u64>>) {
    let counted = Counted(drops.clone());
    match n % 3 {
        0 => drop(rig.cache.set_new_callback(move |_, _| {
            let _used = &counted;
            Verdict::Keep
        })),
        1 => drop(rig.cache.set_get_callback(move |_, _| {
            let _used = &counted;
            Answer::unknown()
        })),
        _ => drop(rig.cache.set_remove_callback(move |_| {
            let _used = &counted;
        })),
    }
}

/// How often each was called, or the one that stood there then.
fn calls(rig: &Rig) -> [u64; 3] {
    let stats = rig.cache.stats();
    [stats.new_calls, stats.asked, stats.engine.removed_by(RemovalCause::Removed)]
}

#[test]
fn each_callback_that_was_replaced_under_load_is_dropped_once() {
    const THREADS: u8 = 8;
    let (least, mut swaps) = (amount(6_000, 1_000_000), 0);
    // Each look-up is to call the callback.
    let rig = rig_with(|builder| builder.remember_unknown(0, Duration::ZERO));
    let drops = Arc::new(Mutex::new(0));
    let done = Arc::new(());
    let running = Arc::downgrade(&done);
    std::thread::scope(|scope| {
        for worker in 0..THREADS {
            let (rig, running) = (&rig, running.clone());
            scope.spawn(move || {
                while running.strong_count() > 0 {
                    // Now and then there may be no room.
                    rig.begin(worker);
                    rig.cache.remove(&namespace(), &[worker; 32]);
                    assert_eq!(rig.resume(THREADS + worker), None);
                }
            });
        }
        while swaps < least || calls(&rig).iter().any(|of_one| *of_one <= 300) {
            replace(&rig, swaps, &drops);
            swaps += 1;
        }
        drop(done);
    });
    // A failure must not poison the count: what is set is dropped after it.
    let dropped = || *drops.lock().unwrap();
    assert_eq!(dropped(), swaps - 3, "all but those that are set");
    rig.cache.clear_new_callback();
    rig.cache.clear_get_callback();
    rig.cache.clear_remove_callback();
    assert_eq!(dropped(), swaps);
    tried(
        "8",
        "callbacks are replaced while threads are in them",
        &format!("{swaps} times, {} calls by {THREADS} threads", calls(&rig).iter().sum::<u64>()),
        "each is dropped once; all three are called",
    );
}

#[test]
fn callbacks_that_block_delay_nobody_else() {
    const BLOCKED: u64 = 100;
    let operations = amount(1_000, 1_000_000);
    let rig = rig_with(|builder| builder);
    let (inside, is_inside) = mpsc::channel();
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let waits = gate.clone();
    rig.cache.set_get_callback(move |_, _| {
        inside.send(()).expect("the test listens");
        drop(waits.lock().expect("nobody panics under it"));
        Answer::unknown()
    });
    std::thread::scope(|scope| {
        for of in 0..BLOCKED {
            let cache = &rig.cache;
            let id = [u8::try_from(of).unwrap(); 31];
            scope.spawn(move || assert!(cache.resume(&of, &namespace(), &id).is_none()));
        }
        for _ in 0..BLOCKED {
            is_inside.recv_timeout(WATCHDOG).expect("a get callback waits for another one");
        }
        assert_eq!(rig.cache.stats().in_flight, BLOCKED);
        for first in (1..=50).cycle().take(usize::try_from(operations).unwrap()) {
            rig.begin(first);
            assert_eq!(rig.resume(first), Some(false));
            assert!(rig.cache.take(&1, &namespace(), &[first; 32]).is_some());
            let told = [Call::New(1, first), Call::Remove(first, RemovalCause::Taken)];
            assert_eq!(rig.world.calls(), told);
        }
        rig.begin(2);
        rig.advance(100);
        assert_eq!(rig.cache.run_maintenance(usize::MAX).expired, 1);
        assert_eq!(rig.cache.flush_all(), 0);
        assert_eq!(rig.cache.stats().in_flight, BLOCKED, "all this went on beside them");
        drop(held);
    });
    assert_eq!(rig.cache.stats().in_flight, 0);
    tried(
        "6",
        "get callbacks that block, all at once",
        &format!("{BLOCKED} blocked, {operations} sessions stored, resumed and taken beside them"),
        "all that others do is done while every one is blocked, and calls its callbacks",
    );
}

#[test]
fn nobody_inside_of_a_callback_joins_another_look_up() {
    let rig = rig();
    let ((asks, asked), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
    let goes = Mutex::new(Some(goes));
    rig.cache.set_get_callback(move |connection, asked| {
        if asked.id()[0] == 1 {
            assert!(asked.cache().resume(connection, &namespace(), &[2; 32]).is_none());
            return Answer::unknown();
        }
        let goes = goes.lock().unwrap().take();
        if let Some(goes) = goes {
            asks.send(()).unwrap();
            goes.recv_timeout(WATCHDOG).unwrap_err();
        }
        Answer::unknown()
    });
    std::thread::scope(|scope| {
        scope.spawn(|| rig.resume(2));
        asked.recv_timeout(WATCHDOG).unwrap();
        assert_eq!(rig.resume(1), None);
        let stats = rig.cache.stats();
        assert_eq!((stats.joined, stats.asked), (0, 3), "it asks by itself, and waits for nobody");
        drop(go);
    });
}
