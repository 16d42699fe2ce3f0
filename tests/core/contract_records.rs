//! Sessions outside the process: one encoding, and nothing else is one.

use halfshake::session::{Answer, Malformed, Namespace, Session, SessionId, Times};
use proptest::prelude::*;
use std::time::Duration;

fn sample() -> Session {
    let ms = Duration::from_millis;
    let times = Times::new(ms(1), ms(0x0102_0304_0506_0708), ms(u64::MAX));
    let id = SessionId::new(b"id").expect("short");
    Session::new(&Namespace::new(b"name").expect("short"), id, 0x0303, times, b"secret")
}

#[test]
fn serialised_form_is_byte_for_byte_as_documented() {
    let mut expected = Vec::new();
    expected.extend_from_slice(b"HS\x01\x02\x04\x00\x03\x03");
    expected.extend_from_slice(&1u64.to_be_bytes());
    expected.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    expected.extend_from_slice(&[0xff; 8]);
    expected.extend_from_slice(&[0, 0, 0, 6]);
    expected.extend_from_slice(b"name");
    expected.resize(68, 0);
    expected.extend_from_slice(b"id");
    expected.resize(132, 0);
    expected.extend_from_slice(b"secret");
    assert_eq!(*sample().to_bytes(), expected);
    assert_eq!(Session::from_bytes(&expected), Ok(sample()));
}

#[test]
fn every_cut_and_every_extension_is_malformed() {
    let bytes = sample().to_bytes();
    for len in 0..bytes.len() {
        assert!(Session::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    let length = Malformed::Length { want: bytes.len(), have: bytes.len() + 1 };
    assert_eq!(Session::from_bytes(&longer), Err(length));
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let damaged = |at: usize, byte: u8| {
        let mut bytes = sample().to_bytes().to_vec();
        bytes[at] = byte;
        Session::from_bytes(&bytes).unwrap_err()
    };
    assert_eq!(damaged(0, 0), Malformed::Magic);
    assert_eq!(damaged(2, 2), Malformed::Form(2));
    assert_eq!(damaged(3, 0), Malformed::Padding);
    assert_eq!(damaged(3, 65), Malformed::Name);
    assert_eq!(damaged(4, 0), Malformed::Padding);
    assert_eq!(damaged(4, 33), Malformed::Name);
    assert_eq!(damaged(5, 1), Malformed::Padding);
    assert_eq!(damaged(8, 0xff), Malformed::Times);
    assert_eq!(damaged(35, 7), Malformed::Length { want: 139, have: 138 });
    assert_eq!(damaged(72, 1), Malformed::Padding);
    assert_eq!(damaged(131, 1), Malformed::Padding);
}

#[test]
fn times_are_always_in_order() {
    let s = Duration::from_secs;
    let times = Times::new(s(10), s(5), s(3));
    assert_eq!((times.created(), times.not_after(), times.auth_not_after()), (s(3), s(3), s(3)));
    let times = Times::new(s(10), s(5), s(30));
    assert_eq!((times.created(), times.not_after()), (s(10), s(10)));
    let times = Times::new(s(1), Duration::MAX, s(7));
    assert_eq!(times.not_after(), s(7));
}

#[test]
fn debug_output_shows_no_secret() {
    let answers = [
        Answer::borrowed(&sample()),
        Answer::handed_over(sample()),
        Answer::serialised(sample().to_bytes().to_vec()),
    ];
    let shown = format!("{:?} {:?} {answers:?}", sample(), sample().id());
    assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
    assert!(!shown.contains("105, 100"), "{shown}");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        id in prop::collection::vec(any::<u8>(), 1..=64),
        name in prop::collection::vec(any::<u8>(), 1..=32),
        version: u16,
        times: [u64; 3],
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let [a, b, c] = times.map(Duration::from_millis);
        let (id, name) = (SessionId::new(&id).unwrap(), Namespace::new(&name).unwrap());
        let session = Session::new(&name, id, version, Times::new(a, b, c), &payload);
        prop_assert_eq!(Session::from_bytes(&session.to_bytes()), Ok(session));
    }

    #[test]
    fn what_is_accepted_has_one_encoding(at in 0usize..138, byte: u8) {
        let mut bytes = sample().to_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(session) = Session::from_bytes(&bytes) {
            prop_assert_eq!(&*session.to_bytes(), &bytes);
        }
    }
}
