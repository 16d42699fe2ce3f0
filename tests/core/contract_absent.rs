//! What the remove callback is told of ids that have no session, under the compat switch for that.

use crate::sessions::{Call, Rig, id, namespace, rig_with};
use halfshake::RemovalCause::{Expired, Faulty, Removed};
use halfshake::session::{Compat, Modes, Times};
use std::time::Duration;

fn with(switch: Compat) -> Rig {
    rig_with(|builder| builder.compat(switch))
}

#[test]
fn remove_callback_is_called_for_what_is_absent() {
    // 1.6 [E removecb=1, ret 0]; strict: only real transitions.
    let rig = with(Compat::REMOVE_TELLS_OF_ABSENT);
    assert!(!rig.cache.remove(&namespace(), &[1; 32]));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
    assert!(!rig.cache.connection_failed(&namespace(), &[2; 32]));
    assert_eq!(rig.world.calls(), [Call::Remove(2, Faulty)]);
    rig.begin(3);
    let handle = rig.cache.find(&namespace(), &[3; 32]).unwrap().handle().unwrap();
    assert!(rig.cache.remove_exact(&handle) && !rig.cache.remove_exact(&handle));
    let calls = [Call::New(1, 3), Call::Remove(3, Removed), Call::Remove(3, Removed)];
    assert_eq!(rig.world.calls(), calls);
    assert_eq!(rig.cache.stats().engine.removed_total(), 1, "the engine has removed one");
}

#[test]
fn what_had_expired_was_here_and_is_told_of_as_that_alone() {
    let rig = with(Compat::REMOVE_TELLS_OF_ABSENT);
    (1..=3).for_each(|n| _ = rig.begin(n));
    let handle = rig.cache.find(&namespace(), &[3; 32]).unwrap().handle().unwrap();
    rig.clock.advance(rig.cache.timeout());
    rig.world.calls();
    assert!(!rig.cache.remove(&namespace(), &[1; 32]));
    assert!(!rig.cache.connection_failed(&namespace(), &[2; 32]));
    assert!(!rig.cache.remove_exact(&handle));
    let calls = [1, 2, 3].map(|n| Call::Remove(n, Expired));
    assert_eq!(rig.world.calls(), calls);
    assert!(!rig.cache.remove_exact(&handle));
    assert_eq!(rig.world.calls(), [Call::Remove(3, Removed)], "it is absent now");
}

#[test]
fn unclean_close_without_internal_cache_reaches_the_remove_callback() {
    // 1.6, unclean close in NO_INTERNAL mode: OpenSSL 1 [E], LibreSSL 0 [E].
    for (compat, calls) in [
        (Compat::openssl_1_1_1(), 1),
        (Compat::openssl_3(), 1),
        (Compat::libressl(), 0),
        (Compat::boringssl(), 0),
        (Compat::strict(), 0),
    ] {
        let modes = Modes::SERVER | Modes::NO_INTERNAL;
        let rig = rig_with(|builder| builder.compat(compat).modes(modes));
        rig.begin(1);
        rig.world.calls();
        rig.cache.connection_failed(&namespace(), &[1; 32]);
        assert_eq!(rig.world.calls().len(), calls, "{compat:?}");
    }
}

#[test]
fn what_is_absent_is_told_of_with_no_session_to_show() {
    let rig = with(Compat::REMOVE_TELLS_OF_ABSENT);
    rig.cache.set_remove_callback(|gone| {
        assert_eq!((gone.id(), gone.namespace()), (&[1; 32][..], &b"www"[..]));
        assert!(gone.payload().is_empty());
        assert_eq!(gone.times(), Times::new(Duration::ZERO, Duration::ZERO, Duration::ZERO));
        assert_eq!(gone.to_session().id(), &id(1));
    });
    assert!(!rig.cache.remove(&namespace(), &[1; 32]));
}

#[test]
fn remove_callback_that_removes_what_is_absent_does_not_recur_without_end() {
    // 1.6: unbounded recursion there [E]. Not reproduced.
    let rig = with(Compat::REMOVE_TELLS_OF_ABSENT);
    let world = rig.world.clone();
    rig.cache.set_remove_callback(move |gone| {
        world.note(Call::Remove(gone.id()[0], gone.cause()));
        gone.cache().remove(&namespace(), gone.id());
    });
    rig.cache.remove(&namespace(), &[1; 32]);
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
    rig.begin(2);
    rig.cache.remove(&namespace(), &[2; 32]);
    let calls = [Call::New(1, 2), Call::Remove(2, Removed), Call::Remove(2, Removed)];
    assert_eq!(rig.world.calls(), calls, "once for the session, once for its absence");
}

#[test]
fn exact_removal_of_what_was_replaced_tells_of_nothing_absent() {
    let rig = with(Compat::REMOVE_TELLS_OF_ABSENT);
    rig.begin(1);
    let handle = rig.cache.find(&namespace(), &[1; 32]).unwrap().handle().unwrap();
    rig.begin(1);
    rig.world.calls();
    assert!(!rig.cache.remove_exact(&handle), "another one has its id");
    assert_eq!(rig.world.calls(), [], "its id is not gone");
    assert!(rig.cache.remove(&namespace(), &[1; 32]));
    rig.world.calls();
    assert!(!rig.cache.remove_exact(&handle));
    assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)]);
}
