//! What leaves the process is sealed for its id and namespace.

use halfshake::session::{KeyRing, Namespace, SealError, SealKey, Session, SessionId, Times};
use std::time::Duration;

fn name(bytes: &[u8]) -> Namespace {
    Namespace::new(bytes).expect("short")
}

fn session() -> Session {
    let times = Times::new(Duration::ZERO, Duration::MAX, Duration::MAX);
    let id = SessionId::new(b"bc").expect("short");
    Session::new(&name(b"a"), id, 0x0303, times, b"a secret that is long enough to be found")
}

#[test]
fn key_tells_its_number() {
    assert_eq!(SealKey::new(7, &[1; 32]).number(), 7);
    assert_eq!(SealKey::new(u32::MAX, &[1; 32]).number(), u32::MAX);
}

fn ring() -> KeyRing {
    KeyRing::new(SealKey::new(1, &[7; 32]), 2)
}

#[test]
fn sealed_session_opens_to_the_same_one() {
    let sealed = ring().seal(&session()).unwrap();
    assert_eq!(ring().open(&name(b"a"), b"bc", &sealed), Ok(session()));
}

#[test]
fn sealed_form_shows_nothing_of_the_session_and_never_twice_the_same() {
    let (one, two) = (ring().seal(&session()).unwrap(), ring().seal(&session()).unwrap());
    assert_eq!(one.len(), session().to_bytes().len() + 8 + 12 + 16);
    assert!(one.windows(8).all(|window| window != b"a secret"));
    assert_ne!(one, two);
}

#[test]
fn sealed_session_does_not_open_under_another_id_or_namespace() {
    let sealed = ring().seal(&session()).unwrap();
    for (other, id) in [(&b"a"[..], &b"bd"[..]), (b"b", b"bc"), (b"ab", b"c"), (b"a", b"")] {
        assert_eq!(ring().open(&name(other), id, &sealed), Err(SealError::Forged));
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let sealed = ring().seal(&session()).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut forged = sealed.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(ring().open(&name(b"a"), b"bc", &forged).is_err(), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert!(ring().open(&name(b"a"), b"bc", &sealed[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn rotated_ring_seals_with_the_new_key_and_opens_with_those_it_kept() {
    let ring = ring();
    let old = ring.seal(&session()).unwrap();
    ring.rotate(SealKey::new(2, &[8; 32])).unwrap();
    assert_eq!(ring.rotate(SealKey::new(1, &[9; 32])), Err(SealError::SameNumber(1)));
    assert_eq!(ring.numbers(), [2, 1]);
    assert_eq!(ring.open(&name(b"a"), b"bc", &old), Ok(session()));
    ring.rotate(SealKey::random(3).unwrap()).unwrap();
    assert_eq!(ring.open(&name(b"a"), b"bc", &old), Err(SealError::UnknownKey(1)));
    let new = ring.seal(&session()).unwrap();
    assert_eq!(ring.open(&name(b"a"), b"bc", &new), Ok(session()));
}

#[test]
fn servers_that_share_a_store_rotate_one_after_the_other() {
    let servers = [ring(), ring()];
    for server in &servers {
        server.accept(SealKey::new(2, &[8; 32])).unwrap();
        assert_eq!(server.numbers(), [1, 2]);
    }
    for server in &servers {
        server.promote(2).unwrap();
        assert_eq!(server.numbers(), [2, 1]);
        for sealer in &servers {
            let sealed = sealer.seal(&session()).unwrap();
            for opener in &servers {
                assert_eq!(opener.open(&name(b"a"), b"bc", &sealed), Ok(session()));
            }
        }
    }
    let [server, _] = servers;
    assert_eq!(server.promote(7), Err(SealError::UnknownKey(7)));
    assert_eq!(server.accept(SealKey::new(1, &[9; 32])), Err(SealError::SameNumber(1)));
    let of_one = KeyRing::new(SealKey::new(1, &[7; 32]), 1);
    assert_eq!(of_one.accept(SealKey::new(2, &[8; 32])), Err(SealError::OneKey));
}

#[test]
fn key_of_the_same_number_and_another_secret_opens_nothing() {
    let sealed = ring().seal(&session()).unwrap();
    let other = KeyRing::new(SealKey::new(1, &[6; 32]), 2);
    assert_eq!(other.open(&name(b"a"), b"bc", &sealed), Err(SealError::Forged));
}

#[test]
fn key_that_is_read_again_goes_on_counting() {
    let before = ring();
    (0..3).for_each(|_| drop(before.seal(&session()).unwrap()));
    assert_eq!((before.sealed(1), before.sealed(2)), (Some(3), None));
    let again = KeyRing::new(SealKey::new(1, &[7; 32]).counting_on(&before), 2);
    again.rotate(SealKey::new(2, &[8; 32]).counting_on(&before)).unwrap();
    assert_eq!((again.sealed(1), again.sealed(2)), (Some(3), Some(0)));
    again.promote(1).unwrap();
    let sealed = again.seal(&session()).unwrap();
    assert_eq!(before.open(&name(b"a"), b"bc", &sealed), Ok(session()));
    // Who still seals with the old ring is counted, too.
    before.seal(&session()).unwrap();
    assert_eq!((again.sealed(1), before.sealed(1)), (Some(5), Some(5)));
}

#[test]
fn keys_are_never_printed() {
    let shown = format!("{:?} {:?}", ring(), SealKey::new(9, &[77; 32]));
    assert!(!shown.contains("77") && !shown.contains("7, 7"), "{shown}");
}
