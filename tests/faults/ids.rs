//! Class 4: ids of every length.

use crate::tried::{amount, tried};
use halfshake::session::{Namespace, Rejection, SessionCache, SessionId};
use std::collections::HashSet;

const MOST: usize = 32;

fn id(len: usize, round: u64) -> Vec<u8> {
    let mut id = vec![0; len];
    // Zeros at the end: what is padded somewhere would be taken for another one.
    id.iter_mut().zip(round.to_le_bytes()).for_each(|(byte, from)| *byte = from);
    id
}

#[test]
fn ids_of_every_length_mean_themselves_or_nothing() {
    let rounds = amount(1, 2_000);
    let cache = SessionCache::<u64>::builder().capacity(10_000).build().unwrap();
    let name = Namespace::new(b"www").unwrap();
    let lengths: Vec<usize> = (0..=300).chain([1_000, 60_000, 1 << 20]).collect();
    let mut impossible = 0;
    for round in 0..rounds {
        cache.flush_all();
        let mut stored = HashSet::new();
        for len in 1..=MOST {
            let id = id(len, round);
            let session = cache.make(&name, SessionId::new(&id).unwrap(), 0x0303, &id);
            cache.add(&session).unwrap();
            stored.insert(id);
        }
        // `[7]` and `[7, 0]` are two ids.
        assert_eq!((cache.len(), stored.len()), (MOST as u64, MOST));
        for len in &lengths {
            let id = id(*len, round);
            let resumed = cache.resume(&1, &name, &id).map(|found| found.payload().to_vec());
            let is_possible = (1..=MOST).contains(len);
            assert_eq!(resumed, is_possible.then_some(id.clone()), "{len} bytes");
            assert_eq!(cache.take(&1, &name, &id).is_some(), is_possible, "{len} bytes");
            assert!(!cache.remove(&name, &id), "{len} bytes: it was taken");
            impossible += u64::from(!is_possible);
        }
        assert!(cache.is_empty());
    }
    let rejected = cache.stats().rejected_for(Rejection::IdLength);
    assert!(rejected >= 2 * impossible, "{rejected} counted of {impossible} twice");
    assert_eq!(cache.stats().engine.misses_unknown, 0, "one reached the table");
    cache.validate();
    tried(
        "4",
        "ids of 0 to 300, 1,000, 60,000 and 2^20 bytes",
        &format!("{} operations", rounds * 3 * lengths.len() as u64),
        "1 to 32 bytes mean themselves, of that length; others reach nothing",
    );
}
