//! What logs and metrics are shown: names that tell things apart, and no key, value or id.

use crate::sessions::{namespace, rig};
use halfshake::session::{Answer, Rejection, SessionCache, Verdict};
use halfshake::{BytesCache, Cache, Clock, Maintenance, Refusal, RemovalCause, SystemClock};
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

/// Bytes that are in nothing else that is printed.
const SECRET: u8 = 187;

fn is_named(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn every_refusal_has_a_name_of_its_own() {
    let refusals = [
        Refusal::NoRoom,
        Refusal::Full,
        Refusal::TooLarge { weight: 2, limit: 1 },
        Refusal::KeyTooLong { length: 2, limit: 1 },
        Refusal::Closed,
    ];
    let names: HashSet<_> = refusals.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(names.len(), refusals.len());
    assert!(names.iter().all(|name| is_named(name)), "{names:?}");
}

#[test]
fn every_cause_is_shown_by_its_name() {
    let names: HashSet<_> = RemovalCause::ALL.iter().map(RemovalCause::to_string).collect();
    assert_eq!(names.len(), RemovalCause::ALL.len());
    assert!(names.iter().all(|name| is_named(name)), "{names:?}");
    assert!(RemovalCause::ALL.iter().all(|cause| cause.to_string() == cause.name()));
}

#[test]
fn every_rejection_has_a_name_of_its_own() {
    let names: HashSet<_> = Rejection::ALL.iter().map(|rejection| rejection.name()).collect();
    assert_eq!(names.len(), Rejection::ALL.len());
    assert!(names.iter().all(|name| is_named(name)), "{names:?}");
}

/// It says what it is, and not what it holds: many times the same byte. (Once, that byte may be the
/// number of a set.)
#[track_caller]
fn shows(thing: &impl Debug, word: &str) {
    let shown = format!("{thing:?} {thing:#?}");
    assert!(shown.contains(word), "{shown} does not say {word}");
    let bytes: String = shown.chars().filter(|c| !c.is_whitespace()).collect();
    for held in [format!("{SECRET},{SECRET}"), format!("{SECRET:02x}{SECRET:02x}")] {
        assert!(!bytes.contains(&held), "{shown}");
    }
}

#[test]
fn session_caches_and_what_they_find_are_shown_without_ids_and_payloads() {
    let rig = rig();
    rig.begin(SECRET);
    let name = namespace();
    let found = rig.cache.find(&name, &[SECRET; 32]).unwrap();
    shows(&found, "Resumed { external: false");
    shows(&found.handle().unwrap(), "SessionHandle");
    drop(found);
    shows(&rig.cache.hello(&1, &name), "Hello { left: 4");
    shows(&rig.cache, "SessionCache { sessions: 1, capacity: 100");
    shows(&SessionCache::<u64>::builder().capacity(10), "SessionBuilder");
    shows(&rig.session(SECRET), "Session");
    let answers = [
        (Answer::unknown(), "Answer(unknown)"),
        (Answer::failed(), "Answer(failed)"),
        (Answer::handed_over(rig.session(SECRET)), "Answer(a session)"),
        (Answer::serialised(vec![SECRET; 100]), "Answer(a serialised session)"),
    ];
    for (answer, word) in &answers {
        shows(answer, word);
    }
}

#[test]
fn what_callbacks_are_told_is_shown_without_ids_and_payloads() {
    let rig = rig();
    let told = Arc::new(Mutex::new(Vec::new()));
    let say = |word| {
        let told = told.clone();
        move |thing: &dyn Debug| {
            shows(&thing, word);
            told.lock().unwrap().push(word);
        }
    };
    let (new, asked, removed) = (say("New"), say("Asked"), say("Removed"));
    rig.cache.set_new_callback(move |_, thing| {
        new(thing);
        Verdict::Keep
    });
    rig.cache.set_get_callback(move |_, thing| {
        asked(thing);
        Answer::unknown()
    });
    rig.cache.set_remove_callback(move |thing| removed(thing));
    rig.begin(SECRET);
    assert!(rig.cache.remove(&namespace(), &[SECRET; 32]));
    assert_eq!(rig.resume(SECRET), None);
    assert_eq!(*told.lock().unwrap(), ["New", "Removed", "Asked"]);
}

#[test]
fn caches_and_what_they_refuse_are_shown_without_keys_and_values() {
    let builder = || Cache::<u8, u8>::builder().capacity(10).maintenance(Maintenance::Embedder);
    shows(&builder(), "Builder { capacity: 10");
    let cache = builder().build().unwrap();
    cache.insert(SECRET, SECRET).unwrap();
    let mut reader = cache.reader();
    assert_eq!(reader.cache().len(), 1);
    shows(&reader, "Reader");
    shows(&reader.pinned(), "Pinned");
    drop(reader);
    cache.shutdown();
    let refused = cache.insert(SECRET, SECRET).unwrap_err();
    shows(&refused, "Refused { refusal: Closed");
    assert_eq!((refused.key, refused.value), (SECRET, SECRET));
    cache.validate();

    let bytes = BytesCache::builder().capacity(10).build().unwrap();
    bytes.insert(&[SECRET], &[SECRET]).unwrap();
    shows(&bytes.take(&[SECRET][..]).unwrap(), "Taken");
    bytes.validate();
}

#[test]
fn system_clock_begins_when_it_is_made() {
    let (one, other) = (SystemClock::default(), SystemClock::new());
    let (before, after) = (one.now(), one.now());
    assert!(before <= after && before < std::time::Duration::from_secs(3600));
    assert!(format!("{other:?}").starts_with("SystemClock"));
}
