//! What the test suites of OpenSSL, BoringSSL and rustls ask of a session cache, asked of this one.

use crate::sessions::{BEGIN, Call, Connection, Rig, TLS12, id, namespace, rig_with};
use halfshake::RemovalCause::{Faulty, Removed};
use halfshake::session::{Answer, Compat, Modes, SessionBuilder};
use std::time::Duration;

/// The profiles under which a suite's expectations hold.
fn each(
    of: &[Compat],
    set_up: fn(SessionBuilder<Connection>) -> SessionBuilder<Connection>,
    case: impl Fn(&Rig, Compat),
) {
    for compat in of {
        case(&rig_with(|builder| set_up(builder.compat(*compat))), *compat);
    }
}

const OPENSSL: [Compat; 2] = [Compat::openssl_1_1_1(), Compat::openssl_3()];
const EVERY: [Compat; 5] = [
    Compat::strict(),
    Compat::openssl_1_1_1(),
    Compat::openssl_3(),
    Compat::libressl(),
    Compat::boringssl(),
];

#[test]
fn openssl_full_handshake_calls_new_once_and_remove_never() {
    each(
        &EVERY,
        |builder| builder,
        |rig, compat| {
            rig.begin(1);
            assert_eq!(rig.world.calls(), [Call::New(1, 1)], "{compat:?}");
        },
    );
}

#[test]
fn openssl_resumption_calls_neither_new_nor_remove() {
    each(
        &EVERY,
        |builder| builder,
        |rig, compat| {
            rig.begin(1);
            rig.world.calls();
            assert_eq!(rig.resume(1), Some(false), "{compat:?}");
            assert_eq!(rig.world.calls(), [], "{compat:?}");
        },
    );
}

#[test]
fn openssl_removed_session_can_be_added_and_removed_again() {
    each(
        &EVERY,
        |builder| builder,
        |rig, compat| {
            rig.begin(1);
            assert!(rig.cache.remove(&namespace(), &[1; 32]), "{compat:?}");
            assert_eq!(rig.cache.add(&rig.session(1)), Ok(()), "{compat:?}");
            assert!(rig.cache.remove(&namespace(), &[1; 32]), "{compat:?}");
        },
    );
}

#[test]
fn openssl_second_removal_says_no_and_calls_remove_anyway() {
    each(
        &OPENSSL,
        |builder| builder,
        |rig, compat| {
            rig.begin(1);
            rig.cache.remove(&namespace(), &[1; 32]);
            rig.world.calls();
            assert!(!rig.cache.remove(&namespace(), &[1; 32]), "{compat:?}");
            assert_eq!(rig.world.calls(), [Call::Remove(1, Removed)], "{compat:?}");
        },
    );
}

#[test]
fn openssl_protocol_failure_removes_the_session() {
    let all_but_boringssl = &EVERY[..4];
    each(
        all_but_boringssl,
        |builder| builder,
        |rig, compat| {
            rig.begin(1);
            rig.world.calls();
            rig.cache.connection_failed(&namespace(), &[1; 32]);
            assert_eq!(rig.world.calls(), [Call::Remove(1, Faulty)], "{compat:?}");
            assert_eq!(rig.cache.add(&rig.session(1)), Ok(()), "{compat:?}");
        },
    );
}

#[test]
fn openssl_external_cache_alone_answers_a_resumption() {
    let set_up = |builder: SessionBuilder<Connection>| {
        builder.modes(Modes::SERVER | Modes::NO_INTERNAL_STORE)
    };
    each(&EVERY, set_up, |rig, compat| {
        rig.begin(1);
        let kept = rig.session(1);
        rig.world.keeps_outside(1, Answer::borrowed(&kept));
        rig.world.calls();
        assert_eq!(rig.resume(1), Some(true), "{compat:?}");
        let asked = Call::Get(2, 1, halfshake::session::Purpose::Resume);
        assert_eq!(rig.world.calls(), [asked], "{compat:?}");
        assert_eq!(rig.cache.len(), 0, "{compat:?}");
    });
}

#[test]
fn openssl_cache_of_size_1_holds_the_one_that_was_added_last() {
    each(
        &EVERY,
        |builder| builder.capacity(1),
        |rig, compat| {
            let (first, second) = (rig.session_from_to(1, 0, 50), rig.session_from_to(2, 0, 90));
            for session in [&first, &second, &first] {
                rig.cache.add(session).unwrap();
            }
            assert!(rig.holds(1) && !rig.holds(2), "{compat:?}");
        },
    );
}

#[test]
fn openssl_overflowing_cache_still_resumes_what_is_outside() {
    each(
        &EVERY,
        |builder| builder.capacity(1),
        |rig, compat| {
            rig.begin(1);
            let evicted = rig.session(1);
            rig.begin(2);
            rig.world.keeps_outside(1, Answer::borrowed(&evicted));
            assert_eq!(rig.resume(1), Some(true), "{compat:?}");
            assert_eq!(rig.cache.len(), 1, "{compat:?}");
        },
    );
}

#[test]
fn openssl_many_resumptions_never_fill_a_cache_beyond_its_size() {
    each(
        &EVERY,
        |builder| builder.capacity(5),
        |rig, compat| {
            for round in 0..30u8 {
                rig.begin(round);
                assert_eq!(rig.resume(round), Some(false), "{compat:?}");
                assert_eq!(rig.resume(round), Some(false), "{compat:?}");
            }
            assert!(rig.cache.len() <= 5, "{compat:?}");
        },
    );
}

#[test]
fn openssl_flushes_go_by_the_end_of_each_session_in_any_order_of_adding() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [2, 1, 3]] {
        each(
            &EVERY,
            |builder| builder,
            |rig, compat| {
                for first in order {
                    let end = i64::from(first) * 10;
                    rig.cache.add(&rig.session_from_to(first, 0, end)).unwrap();
                }
                let at = |seconds| rig.cache.flush_sessions(BEGIN + Duration::from_secs(seconds));
                assert_eq!((at(9), at(11), at(21), at(31)), (0, 1, 1, 1), "{compat:?} {order:?}");
            },
        );
    }
}

#[test]
fn boringssl_internal_cache_of_five_keeps_the_last_five() {
    let five = [Compat::strict(), Compat::boringssl(), Compat::libressl()];
    each(
        &five,
        |builder| builder.capacity(5),
        |rig, compat| {
            (0..10).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
            assert!((0..10).all(|first| rig.holds(first) == (first >= 5)), "{compat:?}");
        },
    );
}

#[test]
fn boringssl_other_session_of_an_id_takes_its_place_and_the_old_one_is_not_removed() {
    let exact = [Compat::strict(), Compat::boringssl(), Compat::libressl()];
    each(
        &exact,
        |builder| builder.capacity(5),
        |rig, compat| {
            (5..10).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
            let old = rig.cache.find(&namespace(), &[7; 32]).unwrap().handle().unwrap();
            let other = rig.cache.make(&namespace(), id(7), TLS12, b"other");
            rig.cache.add(&other).unwrap();
            assert!(rig.cache.remove(&namespace(), &[6; 32]), "{compat:?}");
            assert!(!rig.cache.remove(&namespace(), &[0; 32]), "{compat:?}");
            assert!(!rig.cache.remove_exact(&old), "{compat:?}");
            let found = rig.cache.find(&namespace(), &[7; 32]).unwrap();
            assert_eq!(found.payload(), b"other", "{compat:?}");
        },
    );
}

#[test]
fn boringssl_session_is_usable_until_its_timeout_and_not_at_it() {
    each(
        &[Compat::strict(), Compat::boringssl()],
        |builder| builder,
        |rig, compat| {
            rig.begin(1);
            rig.advance(99);
            assert_eq!(rig.resume(1), Some(false), "{compat:?}");
            rig.advance(1);
            assert_eq!(rig.resume(1), None, "{compat:?}");
        },
    );
}

#[test]
fn boringssl_client_cache_needs_the_bit_of_the_client() {
    for (modes, stored) in
        [(Modes::OFF, false), (Modes::CLIENT, true), (Modes::SERVER, false), (Modes::BOTH, true)]
    {
        each(
            &EVERY,
            |builder| builder,
            |rig, compat| {
                rig.cache.set_modes(modes);
                rig.cache.new_session(&1, halfshake::session::Side::Client, &rig.session(1));
                assert_eq!(rig.holds(1), stored, "{compat:?} {modes:?}");
            },
        );
    }
}

#[test]
fn rustls_store_gets_twice_the_same_takes_once_and_overwrites() {
    each(
        &EVERY,
        |builder| builder,
        |rig, compat| {
            rig.cache.add(&rig.session(1)).unwrap();
            assert_eq!((rig.resume(1), rig.resume(1)), (Some(false), Some(false)), "{compat:?}");
            rig.cache.add(&rig.cache.make(&namespace(), id(1), TLS12, b"newer")).unwrap();
            let taken = rig.cache.take(&1, &namespace(), &[1; 32]).unwrap();
            assert_eq!(taken.payload(), b"newer", "{compat:?}");
            assert!(rig.cache.take(&1, &namespace(), &[1; 32]).is_none(), "{compat:?}");
        },
    );
}

#[test]
fn rustls_store_of_two_keeps_the_last_two_of_five() {
    let exact = [Compat::strict(), Compat::openssl_1_1_1(), Compat::boringssl()];
    each(
        &exact,
        |builder| builder.capacity(2),
        |rig, compat| {
            (1..=5).for_each(|first| rig.cache.add(&rig.session(first)).unwrap());
            assert!((1..=5).all(|first| rig.holds(first) == (first >= 4)), "{compat:?}");
        },
    );
}
