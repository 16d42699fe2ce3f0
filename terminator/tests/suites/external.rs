//! Sessions in files: real clients come back after a restart, and whatever happens to the files is
//! a full handshake at most.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::harness::disk::{Disk, KEY, OTHER_KEY};
use crate::harness::openssl::{TLS_1_2, TLS_1_3, begin_session, resume};
use crate::harness::{CertFiles, Server, client};
use rustix::process::Signal;
use rustls::HandshakeKind;
use std::io::{Read as _, Write as _};

use crate::BACKEND;

/// Begins a session, which is written to a file of openssl's; and the file of ours.
fn begin(disk: &Disk, server: &Server, version: &[&str], name: &str) -> (PathBuf, PathBuf) {
    let before = disk.files();
    let session = disk.path(name);
    begin_session(server.address, version, &session);
    let mut new = disk.files();
    new.retain(|file| !before.contains(file));
    (session, new.pop().expect("the session has a file"))
}

#[test]
fn openssl_clients_resume_after_a_restart() {
    let disk = Disk::new();
    let first = disk.serve(&[]);
    let (tls12, _) = begin(&disk, &first, &TLS_1_2, "tls12");
    let (tls13, _) = begin(&disk, &first, &TLS_1_3, "tls13");
    assert_eq!(first.stat("/external/changes/written"), 3, "TLS 1.3 has two tickets");
    assert_eq!(first.stat("/external/files"), 3);
    first.stop();

    let second = disk.serve(&[]);
    assert!(second.announcement.contains("sessions on disk: 3 in "), "{}", second.announcement);
    assert!(resume(second.address, &TLS_1_2, &tls12), "TLS 1.2");
    assert!(resume(second.address, &TLS_1_2, &tls12), "TLS 1.2, again");
    assert!(resume(second.address, &TLS_1_3, &tls13), "TLS 1.3");
    for (path, expected) in [
        ("/external/lookups/asked", 2),
        ("/external/lookups/found", 2),
        ("/external/lookups/used", 2),
        ("/cache/hits", 1),
    ] {
        assert_eq!(second.stat(path), expected, "{path} of {:#}", second.stats());
    }
    let metrics = second.metrics();
    for line in [
        r#"tls_session_external_lookups_total{result="asked"} 2"#,
        r#"tls_session_external_lookups_total{result="used"} 2"#,
        r#"tls_session_external_rejections_total{result="forged"} 0"#,
        r#"tls_session_file_changes_total{result="deleted"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in:\n{metrics}");
    }
    second.stop();
}

#[test]
fn a_rustls_client_resumes_after_the_server_was_killed() {
    let (disk, files) = (Disk::new(), CertFiles::new("localhost"));
    let arguments = files.arguments();
    let arguments = arguments.each_ref().map(String::as_str);
    let config = client::config(&files);
    let visit = |server: &Server| {
        let mut stream = client::connect(server.address, &config).expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a clean close");
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        assert_eq!(page.contains("resumed: yes"), resumed, "{page}");
        resumed
    };
    let first = disk.serve(&arguments);
    assert!(!visit(&first));
    assert!(visit(&first));
    first.signal(Signal::KILL);
    first.wait();
    let second = disk.serve(&arguments);
    assert!(visit(&second));
    second.stop();
}

#[test]
fn a_tls13_session_is_good_for_one_resumption_over_restarts_too() {
    let disk = Disk::new();
    let first = disk.serve(&[]);
    let (used, _) = begin(&disk, &first, &TLS_1_3, "used");
    let (unused, _) = begin(&disk, &first, &TLS_1_3, "unused");
    assert!(resume(first.address, &TLS_1_3, &used), "from memory");
    first.signal(Signal::KILL);
    first.wait();
    let second = disk.serve(&[]);
    assert!(!resume(second.address, &TLS_1_3, &used), "used before the restart");
    assert!(resume(second.address, &TLS_1_3, &unused), "from its file");
    assert!(!resume(second.address, &TLS_1_3, &unused), "a second time");
    second.signal(Signal::KILL);
    second.wait();
    let third = disk.serve(&[]);
    assert!(!resume(third.address, &TLS_1_3, &unused), "after another restart");
    third.stop();
}

/// Does something to the file of one session, and perhaps of another one.
type Harm = fn(&Path, &Path);

const HARMS: [(&str, &str, Harm); 7] = [
    ("corrupted", "/external/unopened/forged", |file, _| {
        let mut bytes = fs::read(file).expect("it is there");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(file, bytes).expect("it is written");
    }),
    ("truncated", "/external/unopened/forged", |file, _| {
        let bytes = fs::read(file).expect("it is there");
        fs::write(file, &bytes[..bytes.len() / 2]).expect("it is written");
    }),
    ("emptied", "/external/unopened/form", |file, _| {
        fs::write(file, b"").expect("it is written");
    }),
    ("garbage", "/external/unopened/form", |file, _| {
        fs::write(file, [0xa5; 100_000]).expect("it is written");
    }),
    ("swapped", "/external/unopened/forged", |file, other| {
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).expect("it is there");
        fs::rename(other, file).expect("it is there");
        fs::rename(aside, other).expect("it is there");
    }),
    ("a link", "/external/lookups/failed", |file, other| {
        fs::remove_file(file).expect("it is there");
        symlink(other, file).expect("a link");
    }),
    ("deleted", "/external/lookups/unknown", |file, _| {
        fs::remove_file(file).expect("it is there");
    }),
];

#[test]
fn files_that_are_harmed_while_the_server_runs_cost_a_full_handshake_and_nothing_else() {
    let disk = Disk::new();
    // With --external-shared each look-up is one of the disk.
    let server = disk.serve(&["--external-shared"]);
    for version in [&TLS_1_2[..], &TLS_1_3] {
        for (what, counter, harm) in HARMS {
            let (first, first_file) = begin(&disk, &server, version, "first");
            let (_, second_file) = begin(&disk, &server, version, "second");
            // The client comes with either of its TLS 1.3 tickets: harm all there are.
            let counted = server.stat(counter);
            for file in disk.files().into_iter().filter(|file| *file != second_file) {
                let other = if file == first_file { &second_file } else { &first_file };
                if other.exists() && file.exists() {
                    harm(&file, other);
                }
            }
            assert!(!resume(server.address, version, &first), "{what}, {version:?}");
            assert_eq!(server.stat(counter), counted + 1, "{what}: {:#}", server.stats());
            for file in disk.files() {
                fs::remove_file(file).expect("it is there");
            }
        }
        let (whole, _) = begin(&disk, &server, version, "whole");
        assert!(resume(server.address, version, &whole), "what is whole is resumed");
    }
    for failure in ["tls", "io", "timeout"] {
        assert_eq!(server.stat(&format!("/handshakes/failed/{failure}")), 0, "{failure}");
    }
    server.stop();
}

#[test]
fn files_of_another_key_are_misses_until_the_key_is_back() {
    let disk = Disk::new();
    let first = disk.serve(&[]);
    let (tls12, _) = begin(&disk, &first, &TLS_1_2, "tls12");
    first.stop();

    disk.set_keys(OTHER_KEY);
    let second = disk.serve(&[]);
    assert!(!resume(second.address, &TLS_1_2, &tls12), "no key opens it");
    assert_eq!(second.stat("/external/unopened/unknown_key"), 1);
    disk.set_keys("# no key at all\n");
    second.signal(Signal::HUP);
    second.wait_for_stat("/external/seal_key_reloads/failed", |failed| failed == 1);
    disk.set_keys(&format!("# rotated\n{OTHER_KEY}\n{KEY}\n"));
    second.signal(Signal::HUP);
    second.wait_for_stat("/external/seal_key_reloads/done", |done| done == 1);
    assert!(resume(second.address, &TLS_1_2, &tls12), "the old key opens it again");
    let log = second.stop();
    assert!(log.contains("the old seal keys stay in use"), "{log}");
    assert!(!log.contains(&KEY[..16]) && !log.contains(&OTHER_KEY[..16]), "{log}");
}

#[test]
fn of_two_processes_that_share_a_directory_one_resumes_a_tls13_session() {
    let disk = Disk::new();
    let servers = [disk.serve(&["--external-shared"]), disk.serve(&["--external-shared"])];
    for round in 0..5 {
        let (session, _) = begin(&disk, &servers[round % 2], &TLS_1_3, "session");
        let wins: usize = std::thread::scope(|scope| {
            let session = &session;
            let come = |address| scope.spawn(move || resume(address, &TLS_1_3, session));
            let clients = servers.each_ref().map(|server| come(server.address));
            clients.into_iter().map(|c| usize::from(c.join().expect("no panic"))).sum()
        });
        assert_eq!(wins, 1, "round {round}");
    }
    let (session, _) = begin(&disk, &servers[0], &TLS_1_2, "session");
    assert!(servers.iter().all(|server| resume(server.address, &TLS_1_2, &session)), "TLS 1.2");
    for server in servers {
        server.stop();
    }
}

#[test]
fn a_directory_that_goes_away_fails_no_handshake() {
    let disk = Disk::new();
    let server = disk.serve(&[]);
    let (before, _) = begin(&disk, &server, &TLS_1_2, "before");
    fs::remove_dir_all(disk.path("sessions")).expect("it is there");
    let after = disk.path("after");
    begin_session(server.address, &TLS_1_3, &after);
    assert!(resume(server.address, &TLS_1_2, &before), "from memory");
    assert!(resume(server.address, &TLS_1_3, &after), "from memory");
    assert!(!resume(server.address, &TLS_1_3, &after), "once");
    // Two tickets for each of two full handshakes, and those of the resumption.
    let tickets = 2 * 2 + BACKEND.tickets_of_resumption();
    assert_eq!(server.stat("/external/changes/write_failed"), tickets, "{:#}", server.stats());
    let log = server.stop();
    assert_eq!(log.matches("sessions go without it").count(), 1, "{log}");
}

/// The program may not write a byte to any file, as if the disk were full.
fn full_disk(command: &mut Command) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap '' XFSZ; ulimit -f 0; exec "$@""#, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    *command = shell;
}

#[test]
fn a_full_disk_fails_no_handshake_and_leaves_no_half_files() {
    let disk = Disk::new();
    let server = disk.serve_command(&[], full_disk);
    for version in [&TLS_1_2[..], &TLS_1_3] {
        let session = disk.path("session");
        begin_session(server.address, version, &session);
        assert!(resume(server.address, version, &session), "{version:?}: from memory");
    }
    // TLS 1.2 has one session for both, TLS 1.3 two and those of the resumption.
    let sessions = 1 + 2 + BACKEND.tickets_of_resumption();
    assert_eq!(server.stat("/external/changes/write_failed"), sessions, "{:#}", server.stats());
    assert_eq!(server.stat("/external/files"), 0);
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
    server.stop();

    let shared = disk.serve_command(&["--external-shared"], full_disk);
    let session = disk.path("session");
    begin_session(shared.address, &TLS_1_2, &session);
    assert!(!resume(shared.address, &TLS_1_2, &session), "neither in memory nor on disk");
    shared.stop();
}

#[test]
fn a_tls13_session_whose_file_cannot_be_deleted_is_good_for_one_resumption() {
    let disk = Disk::new();
    let server = disk.serve(&[]);
    let (session, _) = begin(&disk, &server, &TLS_1_3, "session");
    // What is no file can't be deleted; then all files are back.
    let (files, aside) = (disk.files(), disk.path("aside"));
    fs::create_dir(&aside).expect("a folder");
    let away = |file: &PathBuf| aside.join(file.file_name().expect("a name"));
    for file in &files {
        fs::rename(file, away(file)).expect("it is there");
        fs::create_dir(file).expect("a folder");
    }
    assert!(resume(server.address, &TLS_1_3, &session), "from memory");
    assert_eq!(server.stat("/external/changes/delete_failed"), 1);
    for file in &files {
        fs::remove_dir(file).expect("it is there");
        fs::rename(away(file), file).expect("it is there");
    }
    assert!(!resume(server.address, &TLS_1_3, &session), "not from its file");
    server.stop();
}

#[test]
fn there_are_no_more_files_than_asked_for_and_the_memory_goes_on() {
    let disk = Disk::new();
    let server = disk.serve(&["--external-entries", "2"]);
    let (tls12, _) = begin(&disk, &server, &TLS_1_2, "tls12");
    let (tls13, _) = begin(&disk, &server, &TLS_1_3, "tls13");
    assert_eq!((disk.files().len(), server.stat("/external/changes/not_written_full")), (2, 1));
    assert!(resume(server.address, &TLS_1_2, &tls12));
    assert!(resume(server.address, &TLS_1_3, &tls13));
    server.stop();
}

#[test]
fn what_was_evicted_from_memory_is_resumed_from_its_file() {
    let disk = Disk::new();
    let server = disk.serve(&["--cache-entries", "1"]);
    let (tls12, _) = begin(&disk, &server, &TLS_1_2, "tls12");
    let (tls13, _) = begin(&disk, &server, &TLS_1_3, "tls13");
    begin(&disk, &server, &TLS_1_2, "another");
    assert!(server.stat("/cache/removed/evicted") >= 3);
    assert!(resume(server.address, &TLS_1_2, &tls12), "TLS 1.2");
    assert!(resume(server.address, &TLS_1_3, &tls13), "TLS 1.3");
    assert!(!resume(server.address, &TLS_1_3, &tls13), "TLS 1.3, once");
    server.stop();
}

#[test]
fn what_has_expired_while_the_server_was_away_is_deleted_at_its_start() {
    let disk = Disk::new();
    let first = disk.serve(&[]);
    let (_, expired) = begin(&disk, &first, &TLS_1_2, "expired");
    let (kept, _) = begin(&disk, &first, &TLS_1_2, "kept");
    first.stop();
    // A file's time is that of its end.
    let file = File::options().write(true).open(&expired).expect("it is there");
    assert!(file.metadata().and_then(|file| file.modified()).expect("a time") > SystemTime::now());
    file.set_modified(SystemTime::now()).expect("it is ours");
    let second = disk.serve(&[]);
    assert!(!expired.exists());
    assert_eq!(second.stat("/external/files"), 1);
    assert!(resume(second.address, &TLS_1_2, &kept));
    second.stop();
}

#[test]
fn what_expires_in_memory_leaves_no_file_behind() {
    let disk = Disk::new();
    let server = disk.serve(&["--cache-timeout", "1"]);
    let session = disk.path("session");
    begin_session(server.address, &TLS_1_2, &session);
    server.wait_for_stat("/external/changes/deleted", |deleted| deleted == 1);
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
    assert!(!resume(server.address, &TLS_1_2, &session), "it has expired");
    server.stop();
}
