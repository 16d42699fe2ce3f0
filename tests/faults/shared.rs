//! Class 21: one session, asked for by many at once.

use crate::tried::{amount, tried};
use halfshake::session::{Namespace, NotStored, SessionCache, SessionId};
use halfshake::{Refusal, RemovalCause};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

const ID: [u8; 32] = [7; 32];

/// So many at once resume or take the one session, again and again; one of them fails it.
fn together(threads: u64, rounds: u64) {
    let name = Namespace::new(b"www").unwrap();
    let told: Arc<[AtomicU64; 9]> = Arc::default();
    let counts = told.clone();
    let cache = SessionCache::<u64>::builder()
        .capacity(10)
        .remove_callback(move |gone| {
            let at = RemovalCause::ALL.iter().position(|cause| *cause == gone.cause()).unwrap();
            counts[at].fetch_add(1, SeqCst);
        })
        .build()
        .unwrap();
    let session = cache.make(&name, SessionId::new(&ID).unwrap(), 0x0303, b"payload");
    let barrier = Barrier::new(usize::try_from(threads).unwrap());
    let (taken, failed, resumed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    // Counted: a thread that panics would keep the others waiting.
    let late = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (cache, name, session, barrier) = (&cache, &name, &session, &barrier);
            let (taken, failed, resumed, late) = (&taken, &failed, &resumed, &late);
            scope.spawn(move || {
                for round in 0..rounds {
                    if barrier.wait().is_leader() {
                        // That may be, while who looks it up is off his processor, pinned.
                        let no_room = Err(NotStored::Refused(Refusal::NoRoom));
                        let mut added = cache.add(session);
                        while added == no_room {
                            std::thread::yield_now();
                            added = cache.add(session);
                        }
                        added.unwrap();
                    }
                    barrier.wait();
                    let single_use = round % 2 == 0;
                    if single_use {
                        let won = cache.take(&thread, name, &ID).is_some();
                        taken.fetch_add(won.into(), SeqCst);
                    } else if thread == round % threads {
                        let was_there = cache.connection_failed(name, &ID);
                        failed.fetch_add(was_there.into(), SeqCst);
                        let is_back = cache.resume(&thread, name, &ID).is_some();
                        late.fetch_add(is_back.into(), SeqCst);
                    } else {
                        let found = cache.resume(&thread, name, &ID).is_some();
                        resumed.fetch_add(found.into(), SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(late.load(SeqCst), 0, "found after it had ended");
    let (single, multi) = (rounds.div_ceil(2), rounds / 2);
    assert_eq!((taken.load(SeqCst), failed.load(SeqCst)), (single, multi), "of {rounds} rounds");
    let of = |cause: RemovalCause| {
        let at = RemovalCause::ALL.iter().position(|other| *other == cause).unwrap();
        told[at].load(SeqCst)
    };
    assert_eq!((of(RemovalCause::Taken), of(RemovalCause::Faulty)), (single, multi));
    assert_eq!(told.iter().map(|n| n.load(SeqCst)).sum::<u64>(), rounds);
    cache.validate();
    tried(
        "21",
        &format!("one session, {threads} clients at once, one of them closes badly"),
        &format!("{rounds} rounds, {} resumptions", resumed.load(SeqCst)),
        "single use: exactly one gets it; else it ends once, and then for all",
    );
}

#[test]
fn of_many_who_want_one_session_one_takes_it_and_one_ends_it() {
    together(8, amount(3_000, 100_000));
    together(amount(50, 1_000), amount(5, 200));
}
