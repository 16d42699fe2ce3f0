//! Each compat switch against the measured fact that it reproduces, beside the strict cache. The
//! letters say where a fact is from: [E] measured, [R] read in the source.
//!
//! Measured: OpenSSL 1.1.1, 3.0.19, 3.6.3 and LibreSSL 4.3.1. Read: BoringSSL.

use crate::sessions;
use crate::sessions::{BEGIN, Call, Rig, TLS12, id, namespace, rig, rig_with};
use halfshake::RemovalCause::{Evicted, Expired, RefusedByNew, Removed, Replaced};
use halfshake::session::{Answer, Compat, Modes, Namespace, Newly, NotStored, Rejection};
use halfshake::session::{Side, Stage};
use std::time::Duration;

const TLS11: u16 = 0x0302;

fn with(switch: Compat) -> Rig {
    rig_with(|builder| builder.compat(switch))
}

#[test]
fn strict_is_the_default_and_has_no_switch() {
    assert_eq!(Compat::default(), Compat::strict());
    assert!(Compat::ALL.iter().all(|(switch, _)| !Compat::strict().contains(*switch)));
    assert_eq!(format!("{:?}", Compat::strict()), "strict");
}

#[test]
fn switches_are_bits_of_their_own_with_names() {
    let mut all = Compat::strict();
    for (switch, name) in Compat::ALL {
        assert!(!all.contains(*switch), "{name} has the bit of another one");
        all = all | *switch;
        assert_eq!(format!("{switch:?}"), *name);
    }
    for (switch, _) in Compat::ALL {
        assert!(all.contains(*switch) && !all.without(*switch).contains(*switch));
        assert_eq!(all.with(*switch), all, "it is on already");
    }
}

#[test]
fn refused_new_session_stays() {
    // 1.3 [E: number stays 1].
    let rig = with(Compat::REFUSED_STAYS);
    *rig.world.refuses.lock().unwrap() = true;
    assert_eq!(rig.begin(1), Newly::Refused);
    assert_eq!((rig.cache.len(), rig.resume(1)), (1, Some(false)));
    assert_eq!(rig.world.calls(), [Call::New(1, 1)]);
}

#[test]
fn refused_new_session_that_stays_may_be_outside_all_the_same() {
    for compat in [Compat::REFUSED_STAYS, Compat::openssl_3(), Compat::boringssl()] {
        let rig = with(compat);
        rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
        assert_eq!(rig.resume(1), None, "unknown, which is remembered");
        // It writes the session down, and keeps no reference.
        *rig.world.refuses.lock().unwrap() = true;
        assert_eq!(rig.begin(1), Newly::Refused);
        rig.world.keeps_outside(1, Answer::borrowed(&rig.session(1)));
        assert_eq!(rig.resume(1), Some(true), "{compat:?}");
    }
}

#[test]
fn new_session_whose_callback_panics_goes_also_where_refused_ones_stay() {
    let rig = with(Compat::REFUSED_STAYS);
    rig.cache.set_new_callback(|_, _| panic!("injected"));
    let begin = std::panic::AssertUnwindSafe(|| rig.begin(1));
    assert!(std::panic::catch_unwind(begin).is_err());
    assert_eq!(rig.world.calls(), [Call::Remove(1, RefusedByNew)]);
}

#[test]
fn session_from_the_future_is_accepted() {
    // 1.4: OpenSSL resumes a session dated +500 s [E]; BoringSSL rejects it [R].
    for (compat, used) in [
        (Compat::ACCEPTS_THE_FUTURE, true),
        (Compat::openssl_1_1_1(), true),
        (Compat::openssl_3(), true),
        (Compat::libressl(), true),
        (Compat::boringssl(), false),
        (Compat::strict(), false),
    ] {
        let rig = with(compat);
        rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, 500, 600)));
        let name = namespace();
        assert_eq!(rig.cache.resume(&2, &name, &[1; 32]).is_some(), used, "{compat:?}");
        let rejected = rig.cache.stats().rejected_for(Rejection::FromTheFuture);
        assert_eq!(rejected, u64::from(!used), "{compat:?}");
    }
}

#[test]
fn session_is_still_good_at_the_second_of_its_deadline() {
    // 1.4: age == timeout is valid in 1.1.1, 3.0 and LibreSSL [E]; BoringSSL expires it [R].
    for (compat, good) in [
        (Compat::DEADLINE_INCLUSIVE, true),
        (Compat::openssl_1_1_1(), true),
        (Compat::openssl_3(), true),
        (Compat::libressl(), true),
        (Compat::boringssl(), false),
        (Compat::strict(), false),
    ] {
        let rig = with(compat);
        rig.begin(1);
        let name = namespace();
        rig.advance(100);
        assert_eq!(rig.cache.resume(&2, &name, &[1; 32]).is_some(), good, "{compat:?}");
        rig.world.keeps_outside(2, Answer::handed_over(rig.session_from_to(2, 0, 100)));
        assert_eq!(rig.cache.resume(&2, &name, &[2; 32]).is_some(), good, "{compat:?}, outside");
        rig.advance(1);
        assert!(rig.cache.resume(&2, &name, &[1; 32]).is_none(), "{compat:?}");
    }
}

#[test]
fn flush_keeps_what_ends_at_that_very_second() {
    // 1.7 [E: t=time+timeout keeps].
    let rig = with(Compat::DEADLINE_INCLUSIVE);
    rig.begin(1);
    let end = rig.session(1).times().not_after();
    assert_eq!(rig.cache.flush_sessions(end), 0);
    assert_eq!(rig.cache.flush_sessions(end + Duration::from_secs(1)), 1);
}

#[test]
fn one_id_under_two_versions_is_two_sessions() {
    // 1.1 [E]: the same id under TLS 1.1 and TLS 1.2: OpenSSL stores 2 entries.
    let rig = with(Compat::KEY_INCLUDES_VERSION);
    for version in [TLS11, TLS12] {
        let session = rig.cache.make(&namespace(), id(1), version, &version.to_be_bytes());
        rig.cache.add(&session).unwrap();
    }
    assert_eq!(rig.cache.len(), 2);
    for version in [TLS11, TLS12] {
        let found = rig.cache.resume(&2, &namespace().proposing(version), &[1; 32]).unwrap();
        assert_eq!((found.version(), found.payload()), (version, &version.to_be_bytes()[..]));
        assert_eq!(found.to_session().namespace(), &namespace());
    }
    assert_eq!(rig.world.calls(), [], "neither replaced the other");
}

#[test]
fn client_that_proposes_another_version_misses() {
    // 1.1: a ClientHello that negotiates another version is a plain miss.
    let rig = with(Compat::KEY_INCLUDES_VERSION);
    rig.begin(1);
    let (silent, other) = (Namespace::new(b"www").unwrap(), namespace().proposing(TLS11));
    assert!(rig.cache.resume(&2, &other, &[1; 32]).is_none());
    assert!(rig.cache.take(&2, &other, &[1; 32]).is_none());
    assert!(!rig.cache.remove(&other, &[1; 32]));
    assert!(rig.cache.resume(&2, &silent, &[1; 32]).is_none(), "it did not say");
    rig.world.keeps_outside(2, Answer::handed_over(rig.session(2)));
    assert!(rig.cache.resume(&2, &other, &[2; 32]).is_none(), "a session of another version");
    assert_eq!(rig.cache.stats().rejected_for(Rejection::Namespace), 1);
}

#[test]
fn every_operation_knows_the_version() {
    let rig = with(Compat::KEY_INCLUDES_VERSION);
    let name = namespace();
    rig.begin(1);
    let handle = rig.cache.find(&name, &[1; 32]).unwrap().handle().unwrap();
    assert!(rig.cache.remove_exact(&handle));
    rig.begin(2);
    assert!(rig.cache.take(&2, &name, &[2; 32]).is_some());
    rig.begin(3);
    assert!(rig.cache.remove(&name, &[3; 32]));
    rig.begin(4);
    assert_eq!(rig.cache.flush_namespace(&namespace()), 1, "of every version");
    *rig.world.refuses.lock().unwrap() = true;
    assert_eq!(rig.begin(5), Newly::Refused);
    assert_eq!(rig.cache.len(), 0);
}

#[test]
fn version_that_is_proposed_means_nothing_to_the_strict_cache() {
    let rig = rig();
    rig.begin(1);
    assert!(rig.cache.resume(&2, &namespace().proposing(TLS11), &[1; 32]).is_some());
    assert_eq!(namespace(), namespace().proposing(TLS11));
}

#[test]
fn replacement_is_silent() {
    // 1.5 [E removecb=0]; strict: exactly one `Replaced`.
    let rig = with(Compat::REPLACEMENT_SILENT);
    rig.begin(1);
    rig.begin(1);
    assert_eq!(rig.world.calls(), [Call::New(1, 1), Call::New(1, 1)]);
    let engine = rig.cache.stats().engine;
    assert_eq!((engine.removed_by(Replaced), engine.entries), (1, 1), "and counted");
}

#[test]
fn expired_session_inside_hides_a_fresh_one_outside() {
    // 1.4: removed, remove_cb 1, get_cb not asked, timeouts and nothing else.
    let rig = with(Compat::EXPIRED_HIDES_EXTERNAL);
    rig.begin(1);
    rig.advance(100);
    rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
    assert_eq!(rig.resume(1), None);
    assert_eq!(rig.world.calls(), [Call::New(1, 1), Call::Remove(1, Expired)]);
    let ssl = rig.cache.stats().ssl();
    assert_eq!((ssl.timeouts, ssl.misses, ssl.cb_hits, ssl.hits), (1, 0, 0, 0));
    assert_eq!(rig.resume(1), Some(true), "the next one asks");
}

#[test]
fn capacity_of_0_is_all_that_was_allocated() {
    // 1.2: 0 = unlimited [E 300 held].
    let zero = |compat| {
        rig_with(|builder| builder.compat(compat).capacity(0).max_capacity(300)).cache.capacity()
    };
    assert_eq!(zero(Compat::CAPACITY_0_IS_THE_MOST), 300);
    assert_eq!(zero(Compat::openssl_3()), 300);
    let rig = rig_with(|b| b.compat(Compat::CAPACITY_0_IS_THE_MOST).capacity(2).max_capacity(300));
    assert_eq!(rig.cache.capacity(), 2);
    rig.cache.set_capacity(0).unwrap();
    assert_eq!(rig.cache.capacity(), 300);
    assert!(sessions::rig().cache.set_capacity(0).is_err(), "strict: a mistake");
}

#[test]
fn capacity_of_n_holds_one_less() {
    // 1.5 [E: 1→1, 2→1, 3→2, 5→4, 10→9].
    for (size, holds) in [(1, 1), (2, 1), (3, 2), (5, 4), (10, 9)] {
        for (compat, holds) in [
            (Compat::CAPACITY_HOLDS_ONE_LESS, holds),
            (Compat::openssl_3(), holds),
            (Compat::openssl_1_1_1(), size),
            (Compat::strict(), size),
        ] {
            let rig = rig_with(|builder| builder.compat(compat).capacity(size));
            (1..=20).for_each(|first| _ = rig.begin(first));
            assert_eq!(rig.cache.len(), holds, "{compat:?} of {size}");
            assert_eq!(rig.cache.stats().ssl().cache_full, 20 - holds, "{compat:?} of {size}");
        }
    }
}

#[test]
fn events_of_four_handshakes_in_a_cache_of_two() {
    // 1.3 [E]: N R N R N R N on 3.x, N N R N R N on 1.1.1.
    for (compat, string) in [
        (Compat::openssl_3(), "NRNRNRN"),
        (Compat::openssl_1_1_1(), "NNRNRN"),
        (Compat::strict(), "NNRNRN"),
    ] {
        let rig = rig_with(|builder| builder.compat(compat).capacity(2));
        (1..=4).for_each(|first| _ = rig.begin(first));
        let letters = rig.world.calls().into_iter().map(|call| match call {
            Call::New(..) => 'N',
            Call::Remove(_, cause) => {
                assert_eq!(cause, Evicted);
                'R'
            }
            Call::Get(..) => 'G',
        });
        assert_eq!(letters.collect::<String>(), string, "{compat:?}");
    }
}

#[test]
fn timeout_of_0_is_the_default() {
    // 1.2: t=0 means 7200 for new sessions, and that is the default in code [E].
    let rig = with(Compat::TIMEOUT_0_IS_THE_DEFAULT);
    let rig_max = rig_with(|b| {
        b.compat(Compat::TIMEOUT_0_IS_THE_DEFAULT)
            .timeout(Duration::ZERO)
            .max_lifetime(Duration::from_secs(1_000_000))
    });
    assert_eq!(rig_max.session(1).times().not_after(), BEGIN + Duration::from_secs(7200));
    assert_eq!(rig.cache.set_timeout(Duration::ZERO), Duration::from_secs(100));
    assert_eq!(rig.cache.timeout(), Duration::ZERO, "the getter gives what was set");
    assert_eq!(rig.begin(1), Newly::Stored);
    let strict = sessions::rig();
    strict.cache.set_timeout(Duration::ZERO);
    assert_eq!(strict.begin(1), Newly::NotStored(NotStored::Expired));
}

#[test]
fn internal_cache_is_looked_at_while_caching_is_off() {
    // 1.4: with mode OFF the internal look-up still runs, and counts a miss [E misses=1].
    let rig = with(Compat::LOOKS_INSIDE_WHILE_OFF);
    rig.begin(1);
    assert_eq!(rig.cache.set_modes(Modes::OFF), Modes::SERVER);
    assert_eq!(rig.cache.modes(), Modes::OFF);
    assert_eq!(rig.resume(1), Some(false));
    assert_eq!(rig.resume(2), None);
    assert_eq!(rig.cache.stats().ssl().misses, 1);
    rig.cache.set_modes(Modes::NO_INTERNAL_LOOKUP);
    assert_eq!(rig.resume(1), None, "NO_INTERNAL_LOOKUP forbids it all the same");
}

#[test]
fn failed_connection_keeps_its_session() {
    // 1.6: BoringSSL removes on none of alert and unclean shutdown [R].
    for compat in [Compat::FAILED_CONNECTION_KEEPS, Compat::boringssl()] {
        let rig = with(compat);
        rig.begin(1);
        assert!(!rig.cache.connection_failed(&namespace(), &[1; 32]));
        assert!(rig.holds(1));
    }
}

/// What of `calls` calls flushed the one session that had expired.
fn flushed_at(rig: &Rig, calls: u32, call: impl Fn(&Rig)) -> Vec<u32> {
    rig.cache.add(&rig.session(1)).expect("room");
    rig.advance(200);
    rig.world.calls();
    let expired = |_: &u32| {
        call(rig);
        let gone = rig.world.calls().contains(&Call::Remove(1, Expired));
        if gone {
            rig.cache.add(&rig.session(1)).expect("room");
            rig.advance(200);
        }
        gone
    };
    (1..=calls).filter(expired).collect()
}

#[test]
fn every_256th_good_accept_flushes() {
    // 1.3 [E]: connection #256 flushes.
    for compat in [
        Compat::FLUSHES_BY_ACCEPTS,
        Compat::openssl_1_1_1(),
        Compat::openssl_3(),
        Compat::libressl(),
    ] {
        let rig = with(compat);
        let note = |rig: &Rig| {
            rig.cache.run_maintenance(usize::MAX);
            rig.cache.note(Side::Server, Stage::Started);
            rig.cache.note(Side::Server, Stage::Finished);
        };
        assert_eq!(flushed_at(&rig, 512, note), [256, 512], "{compat:?}");
    }
}

#[test]
fn no_auto_clear_keeps_good_accepts_from_flushing() {
    // 1.9: NO_AUTO_CLEAR: no periodic flush.
    let rig = with(Compat::FLUSHES_BY_ACCEPTS);
    rig.cache.set_modes(Modes::SERVER | Modes::NO_AUTO_CLEAR);
    let note = |rig: &Rig| rig.cache.note(Side::Server, Stage::Finished);
    assert_eq!(flushed_at(&rig, 600, note), [0; 0]);
}

#[test]
fn every_255th_new_session_flushes() {
    // 1.3: BoringSSL counts inserts, flushes at 255, before new_cb [R].
    for compat in [Compat::FLUSHES_BY_NEW_SESSIONS, Compat::boringssl()] {
        let rig = with(compat);
        let begin = |rig: &Rig| _ = rig.begin(2);
        assert_eq!(flushed_at(&rig, 300, begin), [255], "{compat:?}");
    }
}

#[test]
fn exact_removal_removes_whatever_has_the_id() {
    // 1.6: OpenSSL [E: remove(a) while b is cached removes b, returns 1];
    // LibreSSL [E: ret 0, cb 0, b stays]; BoringSSL the same [R].
    for (compat, removes) in [
        (Compat::EXACT_REMOVES_BY_ID, true),
        (Compat::openssl_1_1_1(), true),
        (Compat::openssl_3(), true),
        (Compat::libressl(), false),
        (Compat::boringssl(), false),
        (Compat::strict(), false),
    ] {
        let rig = with(compat);
        let name = namespace();
        rig.begin(1);
        let handle = rig.cache.find(&name, &[1; 32]).unwrap().handle().unwrap();
        rig.begin(1);
        rig.world.calls();
        assert_eq!(rig.cache.remove_exact(&handle), removes, "{compat:?}");
        assert_eq!(rig.cache.find(&name, &[1; 32]).is_none(), removes, "{compat:?}");
        let calls = if removes { vec![Call::Remove(1, Removed)] } else { vec![] };
        assert_eq!(rig.world.calls(), calls, "{compat:?}");
    }
}

#[test]
fn sessions_of_another_namespace_stay_apart_under_every_switch() {
    let all = Compat::ALL.iter().fold(Compat::strict(), |all, (switch, _)| all | *switch);
    for compat in [all, Compat::openssl_1_1_1(), Compat::libressl(), Compat::boringssl()] {
        let rig = with(compat);
        rig.begin(1);
        let other = Namespace::new(b"other").unwrap().proposing(TLS12);
        rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
        assert!(rig.cache.resume(&2, &other, &[1; 32]).is_none(), "{compat:?}");
    }
}
