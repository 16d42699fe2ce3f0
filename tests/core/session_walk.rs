//! Walks over the sessions of a cache, and what the remove callback is told of a session.

use crate::sessions;
use crate::sessions::{id, namespace, rig};
use std::sync::{Arc, Mutex};

#[test]
fn a_walk_shows_every_live_session_and_leaves_the_thread_free() {
    let rig = rig();
    for of in 1..=3 {
        rig.cache.add(&rig.session(of)).unwrap();
    }
    let expired = rig.cache.make(&namespace(), id(4), sessions::TLS12, b"");
    rig.advance(99);
    rig.cache.add(&expired).unwrap();
    for of in 1..=3 {
        rig.cache.add(&rig.session(of)).unwrap();
    }
    rig.advance(1);
    let mut shown = Vec::new();
    for session in rig.cache.sessions() {
        assert_eq!(session.namespace(), &namespace());
        // In a debug build the engine checks that no callback runs while it is pinned.
        assert!(rig.cache.remove(&namespace(), session.id().as_bytes()));
        shown.push(session.id().as_bytes().to_vec());
    }
    shown.sort();
    let expected = [1, 2, 3].map(|of| id(of).as_bytes().to_vec());
    assert_eq!(shown, expected, "all but the expired one");
    assert_eq!(rig.cache.stats().engine.pinned_deliveries, 0, "nothing was pinned");
}

#[test]
fn a_session_that_left_tells_its_version() {
    let rig = rig();
    let versions = Arc::new(Mutex::new(Vec::new()));
    let seen = versions.clone();
    rig.cache.set_remove_callback(move |gone| seen.lock().unwrap().push(gone.version()));
    for version in [0x0303, 0x0304] {
        rig.cache.add(&rig.cache.make(&namespace(), id(1), version, b"")).unwrap();
    }
    assert!(rig.cache.remove(&namespace(), id(1).as_bytes()));
    assert_eq!(*versions.lock().unwrap(), [0x0303, 0x0304]);
}
