//! Class 6: listeners that block. (Get callbacks that block: `contract_reentrancy.rs`,
//! `contract_stalls.rs`.)

use crate::tried::{amount, tried};
use crate::world::{builder, lock, until};
use halfshake::RemovalCause;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BLOCKED: u64 = 100;
/// Until so many threads have begun, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_hundred_listeners_that_block_delay_nobody_else() {
    let operations = amount(20_000, 5_000_000);
    let (settings, clock) = builder(10_000);
    let (inside, is_inside) = channel();
    let inside = Mutex::new(inside);
    let gate = Arc::new(Mutex::new(()));
    let (held, waits) = (lock(&gate), gate.clone());
    let cache = settings
        .removal_listener(move |gone| {
            if *gone.key() < BLOCKED && gone.cause() == RemovalCause::Removed {
                lock(&inside).send(()).unwrap();
                drop(lock(&waits));
            }
        })
        .build()
        .unwrap();
    (0..BLOCKED).for_each(|key| cache.insert(key, key).unwrap());
    std::thread::scope(|scope| {
        for key in 0..BLOCKED {
            let cache = &cache;
            scope.spawn(move || assert!(cache.remove(&key)));
        }
        for _ in 0..BLOCKED {
            is_inside.recv_timeout(PATIENCE).expect("a listener waits for another one");
        }
        // A hundred threads are in their listeners, until all of this is done.
        for n in 0..operations {
            let key = BLOCKED + n % 1_000;
            cache.insert(key, n).unwrap();
            assert_eq!(cache.get(&key).map(|found| *found), Some(n));
            match n % 4 {
                0 => assert!(cache.take(&key).is_some()),
                1 => assert!(cache.remove(&key)),
                _ => {}
            }
            // What a blocked listener was told of is not there, and can be there again.
            assert!(!cache.contains(&(n % BLOCKED)));
        }
        clock.advance(Duration::from_secs(1));
        cache.insert_with_timeout(9_999, 1, Duration::from_secs(1)).unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.run_maintenance(usize::MAX).expired, 1);
        cache.clear();
        assert_eq!(cache.iter().count(), 0);
        drop(held);
    });
    until("all is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().retired_entries == 0
    });
    cache.validate();
    tried(
        "6",
        "listeners that block, all at once",
        &format!("{BLOCKED} blocked, {operations} inserts and as many look-ups beside them"),
        "all that others do is done while every one is blocked; nothing is refused",
    );
}
