use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::{TempDir, tempdir};

use super::{Deleted, Directory, Written};
use crate::external::name::Name;
use crate::setup_error::SetupError;

const YEAR_2100: Duration = Duration::from_secs(4_102_444_800);

fn folder() -> TempDir {
    tempdir().expect("a temporary folder")
}

fn open(path: &Path, most: u64, shared: bool) -> Directory {
    Directory::open(path, most, shared).expect("a directory")
}

fn name(of: u64) -> Name {
    Name::of(b"namespace", &of.to_be_bytes())
}

fn write(directory: &Directory, of: u64, not_after: Duration) -> io::Result<Written> {
    directory.write(&directory.announce(name(of)), not_after, &of.to_be_bytes())
}

fn kept(directory: &Directory, of: u64) {
    let written = write(directory, of, YEAR_2100);
    assert_eq!(written.expect("it is written"), Written::Now);
}

fn take(directory: &Directory, of: u64) -> io::Result<Option<Vec<u8>>> {
    Ok(directory.take(&name(of))?.map(|taken| taken.bytes().to_vec()))
}

/// All that is there, in one order.
fn listed(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).into_string().expect("a text")).collect();
    names.sort();
    names
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

#[test]
fn of_concurrent_takers_in_several_processes_one_gets_a_file() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let two = [open(&path, 1000, true), open(&path, 1000, true)];
    for round in 0..200 {
        kept(&two[0], round);
        let begin = Barrier::new(4);
        let take = |directory: &Directory| {
            begin.wait();
            take(directory, round).expect("a disk that works")
        };
        let got: Vec<_> = std::thread::scope(|scope| {
            let take = &take;
            let of = |taker: u32| &two[usize::from(taker % 2 == 1)];
            let takers: Vec<_> = (0..4).map(|taker| scope.spawn(move || take(of(taker)))).collect();
            takers.into_iter().map(|taker| taker.join().expect("no panic")).collect()
        });
        let got: Vec<_> = got.into_iter().flatten().collect();
        assert_eq!(got, [round.to_be_bytes().to_vec()], "round {round}");
    }
    assert_eq!(listed(&path), Vec::<String>::new());
}

#[test]
fn a_file_is_read_until_it_is_deleted_and_taken_once() {
    let folder = folder();
    let directory = open(&folder.path().join("sessions"), 10, false);
    kept(&directory, 1);
    for _ in 0..2 {
        assert!(directory.read(&name(1)).expect("it is read").is_some());
    }
    assert_eq!(directory.delete(&name(1)).expect("it is deleted"), Deleted::Now);
    assert_eq!(directory.delete(&name(1)).expect("it is gone"), Deleted::NothingThere);
    assert_eq!(directory.read(&name(1)).expect("a miss"), None);
    kept(&directory, 2);
    assert!(take(&directory, 2).expect("it is taken").is_some());
    assert_eq!(take(&directory, 2).expect("a miss"), None);
    assert_eq!(directory.files(), 0);
}

#[test]
fn there_are_never_more_files_than_the_limit() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 2, false);
    kept(&directory, 1);
    kept(&directory, 2);
    let third = || write(&directory, 3, YEAR_2100).expect("no failure");
    assert_eq!(third(), Written::NotThereAreEnough);
    // By another hand: the next sweep sees it.
    fs::remove_file(path.join(name(1).as_str())).expect("it was there");
    assert_eq!(third(), Written::NotThereAreEnough);
    directory.sweep(now()).expect("a folder");
    assert_eq!((directory.files(), third()), (1, Written::Now));
}

#[test]
fn a_sweep_deletes_what_has_expired_and_what_the_dead_have_left() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    let soon = now() + Duration::from_secs(1000);
    kept(&directory, 1);
    write(&directory, 2, soon).expect("it is written");
    // The lock of former versions is another file, too.
    for left in ["new-dead-1", "taken-dead-2", "lock"] {
        fs::write(path.join(left), b"left").expect("it is written");
    }
    assert_eq!(directory.sweep(now()).expect("a folder"), 0);
    assert_eq!((directory.files(), listed(&path).len()), (2, 5));
    assert_eq!(directory.sweep(soon).expect("a folder"), 1, "at the very time");
    assert_eq!(directory.files(), 1);
    assert_eq!(listed(&path), [name(1).as_str(), "lock"]);
}

#[test]
fn one_process_has_the_directory_unless_all_of_them_share_it() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let in_use = |shared| {
        let error = Directory::open(&path, 1, shared).expect_err("it is in use");
        assert!(matches!(error, SetupError::ExternalDirInUse { .. }), "{error}");
    };
    let alone = open(&path, 1, false);
    in_use(false);
    in_use(true);
    drop(alone);
    let shared = (open(&path, 1, true), open(&path, 1, true));
    in_use(false);
    drop(shared);
    open(&path, 1, false);
}

#[test]
fn everything_is_for_its_owner_alone() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(name(1).as_str())), 0o600);
    drop(directory);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).expect("it is ours");
    let error = Directory::open(&path, 1, false).expect_err("others can enter");
    assert!(matches!(error, SetupError::ExternalDirOpen { .. }), "{error}");
}

#[test]
fn what_is_no_file_is_neither_followed_nor_waited_for() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    let outside = folder.path().join("outside");
    fs::write(&outside, b"not ours").expect("it is written");
    symlink(&outside, path.join(name(1).as_str())).expect("a link");
    assert!(directory.read(&name(1)).is_err(), "a link");
    assert!(take(&directory, 1).is_err(), "a link");
    assert_eq!(fs::read(&outside).expect("it is still there"), b"not ours");
    fs::create_dir(path.join(name(2).as_str())).expect("a folder");
    assert!(directory.read(&name(2)).is_err(), "a folder");
    let pipe = path.join(name(3).as_str());
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe");
    assert_eq!(directory.read(&name(3)).expect("nobody writes"), Some(Vec::new()));
}

#[test]
fn what_could_not_be_deleted_is_dead_until_it_is_deleted() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    let (place, aside) = (path.join(name(1).as_str()), folder.path().join("aside"));
    fs::rename(&place, &aside).expect("it is there");
    fs::create_dir(&place).expect("what is no file can't be deleted");
    assert!(directory.delete(&name(1)).is_err());
    // It is back, as after a fault of the disk.
    fs::remove_dir(&place).expect("it is there");
    fs::rename(&aside, &place).expect("it is there");
    assert_eq!(directory.read(&name(1)).expect("a miss"), None);
    assert_eq!(take(&directory, 1).expect("a miss"), None);
    directory.sweep(now()).expect("a folder");
    assert!(!place.exists(), "the sweep has deleted it");
    kept(&directory, 1);
    assert!(directory.read(&name(1)).expect("it is read").is_some(), "another one");
}

#[test]
fn a_directory_that_has_gone_is_a_failure_to_write_and_a_miss() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    fs::remove_dir_all(&path).expect("it was there");
    assert!(write(&directory, 2, YEAR_2100).is_err());
    assert_eq!(directory.read(&name(1)).expect("a miss"), None);
    assert_eq!(take(&directory, 1).expect("a miss"), None);
    assert_eq!(directory.delete(&name(1)).expect("it is gone"), Deleted::NothingThere);
    assert!(directory.sweep(now()).is_err());
    assert_eq!(directory.files(), 1, "as of the last sweep");
}

#[test]
fn nobody_gets_in_by_deleting_all_files() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    for file in listed(&path) {
        fs::remove_file(path.join(file)).expect("it is there");
    }
    let error = Directory::open(&path, 10, false).expect_err("it is in use");
    assert!(matches!(error, SetupError::ExternalDirInUse { .. }), "{error}");
    kept(&directory, 2);
}

#[test]
fn a_directory_that_was_made_anew_is_another_one() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let old = open(&path, 10, false);
    kept(&old, 1);
    fs::remove_dir_all(&path).expect("it is there");
    let new = open(&path, 10, false);
    kept(&new, 1);
    assert!(write(&old, 2, YEAR_2100).is_err(), "the old one has gone");
    assert_eq!(take(&old, 1).expect("a miss"), None);
    assert!(old.sweep(now()).is_err());
    assert!(take(&new, 1).expect("it is taken").is_some());
}

#[test]
fn a_directory_that_was_moved_is_used_where_it_lies() {
    let folder = folder();
    let (path, moved) = (folder.path().join("sessions"), folder.path().join("moved"));
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    fs::rename(&path, &moved).expect("it is there");
    open(&path, 10, false);
    kept(&directory, 2);
    assert_eq!(listed(&moved).len(), 2);
    assert_eq!(listed(&path), Vec::<String>::new());
    let error = Directory::open(&moved, 10, false).expect_err("it is in use");
    assert!(matches!(error, SetupError::ExternalDirInUse { .. }), "{error}");
}

#[test]
fn a_directory_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give a directory away: `owner.rs` tests the rule.
        return;
    }
    let folder = folder();
    let path = folder.path().join("sessions");
    open(&path, 10, false);
    std::os::unix::fs::chown(&path, Some(1), None).expect("root may");
    let error = Directory::open(&path, 10, false).expect_err("another user's");
    assert!(matches!(error, SetupError::ExternalDirOwner { .. }), "{error}");
}

#[test]
fn a_replaced_file_is_counted_once_and_never_refused() {
    let folder = folder();
    let directory = open(&folder.path().join("sessions"), 2, false);
    kept(&directory, 1);
    kept(&directory, 2);
    for _ in 0..3 {
        kept(&directory, 1);
        assert_eq!(directory.files(), 2);
    }
    assert_eq!(write(&directory, 3, YEAR_2100).expect("no failure"), Written::NotThereAreEnough);
    assert!(take(&directory, 1).expect("it is taken").is_some());
    assert_eq!(directory.files(), 1);
    kept(&directory, 3);
}

/// Threads write, replace, take and delete a few names, each in an order of its own.
fn at_work(directory: &Directory, threads: u64, rounds: u64) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for _ in 0..rounds {
                    let of = random.u64(0..8);
                    match random.u8(0..4) {
                        0 => drop(take(directory, of).expect("a disk that works")),
                        1 => drop(directory.delete(&name(of)).expect("a disk that works")),
                        _ => drop(write(directory, of, YEAR_2100).expect("a disk that works")),
                    }
                }
            });
        }
    });
}

#[test]
fn files_are_counted_exactly_while_they_are_replaced_and_taken() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 1000, false);
    at_work(&directory, 4, 500);
    assert_eq!(directory.files(), listed(&path).len() as u64);
}

#[test]
fn files_are_counted_exactly_whatever_happens_during_a_sweep() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 1000, false);
    // So many that a list takes a while.
    (100..400).for_each(|of| kept(&directory, of));
    for round in 0..20 {
        std::thread::scope(|scope| {
            let work = scope.spawn(|| at_work(&directory, 2, 50));
            while !work.is_finished() {
                directory.sweep(now()).expect("a folder");
            }
        });
        assert_eq!(directory.files(), listed(&path).len() as u64, "round {round}");
    }
}

#[test]
fn a_sweep_deletes_nothing_before_its_time() {
    let folder = folder();
    let directory = open(&folder.path().join("sessions"), 10, false);
    let end = Duration::new(YEAR_2100.as_secs(), 500_000_000);
    write(&directory, 1, end).expect("it is written");
    assert_eq!(directory.sweep(YEAR_2100).expect("a folder"), 0, "half a second before");
    assert_eq!(directory.sweep(end - Duration::from_nanos(1)).expect("a folder"), 0);
    assert_eq!(directory.sweep(end).expect("a folder"), 1);
}

#[test]
fn what_is_deleted_before_it_is_written_does_not_come() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    let deleted = directory.announce(name(1));
    assert_eq!(directory.delete(&name(1)).expect("no failure"), Deleted::NothingThere);
    let replaced = directory.announce(name(2));
    directory.forestall(&name(2));
    for coming in [&deleted, &replaced] {
        let written = directory.write(coming, YEAR_2100, b"late").expect("no failure");
        assert_eq!(written, Written::NotItWasForestalled);
    }
    kept(&directory, 1);
    assert_eq!((listed(&path).len(), directory.files()), (1, 1), "a new one comes");
}

#[test]
fn what_is_deleted_while_it_is_written_is_not_there_afterwards() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    for round in 0..500 {
        let coming = directory.announce(name(round));
        let begin = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                directory.write(&coming, YEAR_2100, b"1").expect("a disk that works");
            });
            begin.wait();
            directory.delete(&name(round)).expect("a disk that works");
        });
        assert_eq!(listed(&path), Vec::<String>::new(), "round {round}");
    }
    assert_eq!(directory.files(), 0);
}

#[test]
fn what_was_taken_and_not_used_is_put_back_as_it_was() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    let taken = directory.take(&name(1)).expect("it is taken").expect("it is there");
    assert_eq!(take(&directory, 1).expect("a miss"), None, "by one");
    taken.put_back().expect("no failure");
    let file = fs::metadata(path.join(name(1).as_str())).expect("it is back");
    assert_eq!(file.modified().expect("a time"), UNIX_EPOCH + YEAR_2100);
    assert_eq!((listed(&path).len(), directory.files()), (1, 1));
    assert_eq!(take(&directory, 1).expect("it is taken"), Some(1_u64.to_be_bytes().to_vec()));
}

#[test]
fn what_was_taken_is_not_put_back_if_it_was_deleted_or_another_one_has_come() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    (1..=2).for_each(|of| kept(&directory, of));
    let taken = [1, 2].map(|of| directory.take(&name(of)).expect("taken").expect("there"));
    directory.delete(&name(1)).expect("no failure");
    let newer = directory.write(&directory.announce(name(2)), YEAR_2100, b"newer");
    newer.expect("it is written");
    taken.into_iter().for_each(|taken| taken.put_back().expect("no failure"));
    assert_eq!((listed(&path), directory.files()), (vec![name(2).as_str().to_owned()], 1));
    assert_eq!(take(&directory, 2).expect("it is taken"), Some(b"newer".to_vec()));
}

#[test]
fn only_the_file_that_was_read_is_discarded() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    kept(&directory, 1);
    let another = directory.discard(&name(1), b"damaged, and replaced since");
    assert_eq!(another.expect("no failure"), Deleted::NothingThere);
    let read = directory.read(&name(1)).expect("it is read").expect("it is there");
    assert_eq!(directory.files(), 1);
    assert_eq!(directory.discard(&name(1), &read).expect("no failure"), Deleted::Now);
    assert_eq!((listed(&path), directory.files()), (Vec::new(), 0));
}

#[test]
fn a_sweep_spares_what_has_come_in_the_place_of_what_had_expired() {
    let folder = folder();
    let directory = open(&folder.path().join("sessions"), 1000, false);
    let (expired, now) = (Duration::from_secs(1), now());
    for round in 0..50 {
        let some = round * 10..round * 10 + 10;
        for of in some.clone() {
            write(&directory, of, expired).expect("it is written");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| directory.sweep(now).expect("a folder"));
            some.clone().for_each(|of| kept(&directory, of));
        });
        let is_there = |of| directory.read(&name(of)).expect("a disk that works").is_some();
        assert!(some.clone().all(is_there), "round {round}");
        for of in some {
            directory.delete(&name(of)).expect("it is deleted");
        }
    }
}

#[test]
fn a_sweep_leaves_alone_what_is_no_file() {
    let folder = folder();
    let path = folder.path().join("sessions");
    let directory = open(&path, 10, false);
    let inside = path.join(name(1).as_str());
    fs::create_dir(&inside).expect("a folder");
    assert_eq!(directory.sweep(YEAR_2100).expect("a folder"), 0);
    assert!(inside.exists());
}
