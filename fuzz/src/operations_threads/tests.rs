//! Each rule, broken once.

use super::super::history::{Action, NEVER, Operation};
use super::judge::{Rules, judge_notes};
use super::threads::During;
use super::world::{Gone, Notes, Seen, Told};
use super::{Kind, Script};
use halfshake::RemovalCause;

const NAME: u64 = 7;
const NONE: Rules =
    Rules { lands: false, keeps: false, renews: false, is_taken_once: false, tells_all: true };
const KEEPS: Rules = Rules { keeps: true, ..NONE };
const RENEWS: Rules = Rules { renews: true, ..NONE };

/// One session, which is put, told of at 30 and gone.
fn one(cause: RemovalCause) -> Notes {
    let action = Action::Insert(NAME);
    let (called, returned) = (NAME, 10);
    let operation = Operation { called, returned, clock: (0, 0), timeout: NEVER, action };
    let by = Some(During::begun(Kind::Take, 20, 5));
    let (may_lapse, is_from_outside) = (false, false);
    let told = Told { id: 0, name: NAME, cause, by, at: 30, clock: 0, may_lapse, is_from_outside };
    let mut notes = Notes::default();
    notes.operations.push((0, operation));
    notes.told.push(told);
    notes.born.insert(NAME, returned);
    notes
}

fn taken(called: u64) -> Seen {
    Seen { id: 0, name: NAME, called, returned: called + 20, is_taken: true }
}

fn why(notes: &Notes) -> String {
    judge_notes(notes, NONE, 1).expect_err("a rule is broken")
}

#[test]
fn a_session_that_left_with_one_event_is_fine() {
    let notes = one(RemovalCause::Evicted);
    assert_eq!(judge_notes(&notes, NONE, 1), Ok(()));
    assert_eq!(judge_notes(&notes, Rules { lands: true, ..KEEPS }, 1), Ok(()));
}

#[test]
fn a_lost_event_is_seen() {
    let notes = one(RemovalCause::Evicted);
    assert!(judge_notes(&notes, NONE, 2).is_err());
}

#[test]
fn where_not_all_is_told_of_an_event_may_be_missing_and_nothing_comes_back() {
    let deaf = Rules { tells_all: false, ..NONE };
    let mut notes = one(RemovalCause::Removed);
    assert_eq!(judge_notes(&notes, deaf, 2), Ok(()));
    notes.gone.push(Gone { id: Some(0), name: None, called: 20, returned: 35 });
    notes.seen.push(Seen { is_taken: false, ..taken(36) });
    let refused = judge_notes(&notes, deaf, 2).expect_err("it is back");
    assert!(refused.contains("gone, and back"), "{refused}");
    assert_eq!(judge_notes(&notes, Rules { keeps: true, ..deaf }, 2), Ok(()));
}

#[test]
fn each_operation_has_a_byte_that_means_it() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of(kind.byte()), kind);
    }
}

#[test]
fn the_dictionary_means_what_its_names_say() {
    const WORDS: [(&str, Kind); 15] = [
        ("add", Kind::Add),
        ("refused", Kind::NewRefused),
        ("find", Kind::Find),
        ("resume", Kind::Resume),
        ("take", Kind::Take),
        ("hello", Kind::Hello),
        ("remove", Kind::Remove),
        ("flush", Kind::FlushAll),
        ("capacity", Kind::SetCapacity),
        ("timeout", Kind::SetTimeout),
        ("modes", Kind::Modes),
        ("deaf", Kind::Deafen),
        ("time", Kind::Advance),
        ("maintain", Kind::Maintain),
        ("wait", Kind::Wait),
    ];
    let kind = |name: &str| WORDS.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind);
    let byte = |digits| u8::from_str_radix(digits, 16).expect("two digits");
    let dictionary = include_str!("../../dictionaries/operations_threads");
    let mut entries = 0;
    for entry in dictionary.lines().filter(|line| !line.starts_with('#')) {
        let (name, bytes) = entry.split_once('=').expect("a name and bytes");
        let bytes = bytes.trim_matches('"').split("\\x").skip(1).map(byte);
        let input: Vec<_> = [0, 0, 0].into_iter().chain(bytes).collect();
        let threads = Script::long(&input).threads;
        let turns =
            (0..input.len()).filter_map(|n| threads[n % threads.len()].get(n / threads.len()));
        let meant: Vec<_> = turns.map(|op| Some(op.kind)).collect();
        assert_eq!(meant, name.split('_').map(kind).collect::<Vec<_>>(), "{entry}");
        entries += 1;
    }
    assert_eq!(entries, 18);
}

#[test]
fn a_second_event_is_seen() {
    let mut notes = one(RemovalCause::Evicted);
    notes.told.push(Told { at: 31, ..notes.told[0] });
    // Also where others may be lacking.
    for rules in [NONE, Rules { tells_all: false, ..NONE }] {
        let refused = judge_notes(&notes, rules, 2).expect_err("told twice");
        assert!(refused.contains("twice"), "{refused}");
    }
}

#[test]
fn a_session_that_was_renewed_has_one_end_all_the_same() {
    let mut notes = one(RemovalCause::Evicted);
    let by = Some(During::begun(Kind::Resume, 15, 5));
    notes.told.push(Told { cause: RemovalCause::Replaced, by, at: 16, ..notes.told[0] });
    assert_eq!(judge_notes(&notes, RENEWS, 2), Ok(()));
    assert!(judge_notes(&notes, NONE, 2).is_err(), "nobody renews");
    // Found after its end, or ended once more.
    let mut found = notes.operations[0].1;
    (found.action, found.called, found.returned) = (Action::Get(Some(NAME)), 32, 33);
    notes.operations.push((0, found));
    let refused = judge_notes(&notes, RENEWS, 2).expect_err("it had left");
    assert!(refused.contains("no order explains"), "{refused}");
    notes.operations.pop();
    notes.told.push(Told { at: 31, ..notes.told[0] });
    let refused = judge_notes(&notes, RENEWS, 3).expect_err("two ends");
    assert!(refused.contains("twice"), "{refused}");
}

#[test]
fn a_renewal_that_loses_its_session_is_seen() {
    let mut notes = one(RemovalCause::Replaced);
    notes.told[0].by = Some(During::begun(Kind::ResumeAsync, 20, 5));
    let refused = judge_notes(&notes, RENEWS, 1).expect_err("nothing is there");
    assert!(refused.contains("taken its place"), "{refused}");
    // What had landed too late for a removal goes that way.
    notes.told[0].is_from_outside = true;
    assert_eq!(judge_notes(&notes, Rules { lands: true, ..RENEWS }, 1), Ok(()));
}

#[test]
fn an_exact_removal_that_misses_is_seen_unless_its_session_was_renewed() {
    let mut notes = one(RemovalCause::Evicted);
    let action = Action::RemoveExact(NAME, false);
    let missed = Operation { called: 12, returned: 13, action, ..notes.operations[0].1 };
    notes.operations.push((0, missed));
    notes.told[0].by = Some(During::begun(Kind::Add, 20, 5));
    let refused = judge_notes(&notes, RENEWS, 1).expect_err("it was there");
    assert!(refused.contains("no order explains"), "{refused}");
    let by = Some(During::begun(Kind::Resume, 11, 5));
    notes.told.push(Told { cause: RemovalCause::Replaced, by, at: 12, ..notes.told[0] });
    assert_eq!(judge_notes(&notes, RENEWS, 2), Ok(()));
    // It was there until then.
    notes.told[1].by = Some(During::begun(Kind::Resume, 14, 5));
    notes.told[1].at = 15;
    assert!(judge_notes(&notes, RENEWS, 2).is_err(), "renewed only later");
}

#[test]
fn a_second_taker_is_seen() {
    let mut notes = one(RemovalCause::Taken);
    notes.seen.extend([taken(20), taken(21)]);
    assert!(why(&notes).contains("taken twice"));
}

#[test]
fn a_session_that_was_taken_and_given_to_nobody_is_seen() {
    let mut notes = one(RemovalCause::Taken);
    assert_eq!(judge_notes(&notes, NONE, 1), Ok(()), "another one may have it from outside");
    let once = Rules { is_taken_once: true, ..NONE };
    let refused = judge_notes(&notes, once, 1).expect_err("nobody has it");
    assert!(refused.contains("nobody has it"), "{refused}");
    let action = Action::Take(Some(NAME));
    notes
        .operations
        .push((0, Operation { called: 20, returned: 40, action, ..notes.operations[0].1 }));
    notes.taken_inside.push(NAME);
    notes.seen.push(taken(20));
    assert_eq!(judge_notes(&notes, once, 1), Ok(()));
}

#[test]
fn a_take_that_nobody_was_told_of_as_such_is_seen() {
    let mut notes = one(RemovalCause::Evicted);
    let action = Action::Take(Some(NAME));
    notes
        .operations
        .push((0, Operation { called: 20, returned: 40, action, ..notes.operations[0].1 }));
    notes.taken_inside.push(NAME);
    assert!(why(&notes).contains("no order explains"));
}

#[test]
fn a_taker_who_does_not_wait_for_the_new_callback_is_seen() {
    let mut notes = one(RemovalCause::Taken);
    notes.seen.push(taken(20));
    notes.told_new.insert(NAME, 50);
    assert!(why(&notes).contains("while the new callback is told"));
}

#[test]
fn a_session_that_comes_back_is_seen() {
    for name in [None, Some(NAME)] {
        let mut notes = one(RemovalCause::Removed);
        notes.gone.push(Gone { id: Some(0), name, called: 20, returned: 35 });
        notes.seen.push(Seen { is_taken: false, ..taken(36) });
        assert!(why(&notes).contains("gone, and back"));
        // Who looked before it was gone may have found it.
        notes.seen[0].called = 34;
        assert!(judge_notes(&notes, KEEPS, 1).is_ok());
    }
}

#[test]
fn what_had_expired_and_was_told_of_as_replaced_is_seen() {
    let mut notes = one(RemovalCause::Replaced);
    notes.operations[0].1.timeout = 5;
    assert!(why(&notes).contains("it had expired"));
}

#[test]
fn what_had_expired_for_the_look_up_that_brought_it_may_have_been_taken_before() {
    let mut notes = one(RemovalCause::Taken);
    notes.told[0].is_from_outside = true;
    notes.operations[0].1.action = Action::Get(None);
    let takes = Operation { called: 20, returned: 40, ..notes.operations[0].1 };
    notes.operations.push((0, Operation { action: Action::Take(Some(NAME)), ..takes }));
    notes.taken_inside.push(NAME);
    notes.seen.push(taken(20));
    assert_eq!(judge_notes(&notes, Rules { lands: true, ..NONE }, 1), Ok(()));
    notes.told[0].is_from_outside = false;
    assert!(why(&notes).contains("never stored"));
    notes.told[0].is_from_outside = true;
    notes.seen.push(taken(21));
    assert!(why(&notes).contains("taken twice"));
}

#[test]
fn an_event_after_the_shutdown_is_seen() {
    let mut notes = one(RemovalCause::Evicted);
    notes.shut_down = Some(29);
    assert!(why(&notes).contains("after the shutdown"));
}

#[test]
fn an_early_expiry_is_seen() {
    let mut notes = one(RemovalCause::Expired);
    notes.operations[0].1.timeout = 5;
    notes.told[0].clock = 4;
    assert!(why(&notes).contains("before its deadline"));
}
