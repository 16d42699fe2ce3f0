//! `--client-ca`: who has to show a certificate, and what its session is good for.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::tempdir;

use crate::harness::authority::{Authority, Client};
use crate::harness::disk::Disk;
use crate::harness::openssl::{LAST_REQUEST, TLS_1_2, TLS_1_3, s_client};
use crate::harness::{CertFiles, Server, text};

const VERSIONS: [&[&str]; 2] = [&TLS_1_2, &TLS_1_3];
/// No client shows one.
const NOBODY: [&str; 0] = [];
const CHAIN_BYTES: usize = 8 * 1024;

/// What the page said to a client.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    resumed: bool,
    /// The fingerprint of its certificate.
    client: String,
}

/// One connection; `None` if there was no page.
fn visit(server: &Server, arguments: &[&[&str]]) -> Option<Seen> {
    let output =
        s_client(server.address, &[&["-ign_eof"][..], &arguments.concat()].concat(), LAST_REQUEST);
    let said = |what: &str| output.lines().find_map(|line| line.strip_prefix(what));
    let resumed = said("resumed: ")? == "yes";
    assert_eq!(resumed, said("Reused, ").is_some(), "client and page agree: {output}");
    Some(Seen { resumed, client: said("client certificate: ").expect("a line").to_owned() })
}

/// Connects with `client`'s certificate, and keeps the session in a file.
fn begin(server: &Server, version: &[&str], client: &[&str], file: &Path) -> Seen {
    let seen = visit(server, &[version, client, &["-sess_out", text(file)]]).expect("a page");
    assert!(!seen.resumed, "{version:?}: the first connection is a full handshake");
    seen
}

/// Offers the session in a file.
fn offer(server: &Server, version: &[&str], client: &[&str], file: &Path) -> Option<Seen> {
    visit(server, &[version, client, &["-sess_in", text(file)]])
}

fn requires(authority: &Authority) -> Vec<String> {
    vec!["--client-ca".into(), text(&authority.file()).into()]
}

fn start(arguments: &[String]) -> Server {
    Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn tls_failures(server: &Server) -> u64 {
    server.stat("/handshakes/failed/tls")
}

#[test]
fn who_shows_no_certificate_of_the_authority_gets_no_page() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (known, unknown) = (ours.client("known", 0), theirs.client("unknown", 0));
    let server = start(&requires(&ours));
    for version in VERSIONS {
        let failures = tls_failures(&server);
        assert_eq!(visit(&server, &[version, &NOBODY]), None, "{version:?}: none");
        assert_eq!(visit(&server, &[version, &unknown.arguments()]), None, "{version:?}: theirs");
        server.wait_for_stat("/handshakes/failed/tls", |now| now == failures + 2);
        let seen = visit(&server, &[version, &known.arguments()]).expect("a page");
        assert_eq!(seen.client.len(), 64, "{version:?}: a fingerprint: {seen:?}");
    }
    server.stop();
}

#[test]
fn clients_are_not_asked_unless_it_is_wanted() {
    let server = Server::start(&[]);
    let authority = Authority::new("ours");
    let client = authority.client("known", 0);
    for version in VERSIONS {
        let seen = visit(&server, &[version, &client.arguments()]).expect("a page");
        assert_eq!(seen.client, "none", "{version:?}");
    }
    server.stop();
}

#[test]
fn a_client_with_a_chain_of_8_kib_is_known_when_it_resumes_and_after_a_restart() {
    let authority = Authority::new("ours");
    let client = authority.client("large", CHAIN_BYTES);
    let (disk, files) = (Disk::new(), CertFiles::new("localhost"));
    let arguments = [&files.arguments()[..], &requires(&authority)].concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let first = disk.serve(&arguments);
    let sessions: Vec<(&[&str], PathBuf, PathBuf, Seen)> = VERSIONS
        .into_iter()
        .map(|version| {
            let path = |what: &str| disk.path(&format!("{what}-{}", version[0]));
            let (now, later) = (path("now"), path("later"));
            let seen = begin(&first, version, &client.arguments(), &now);
            assert_eq!(begin(&first, version, &client.arguments(), &later), seen);
            (version, now, later, seen)
        })
        .collect();
    let known = |seen: &Seen| Some(Seen { resumed: true, client: seen.client.clone() });
    for (version, now, _, seen) in &sessions {
        // It is not asked again: the session knows.
        assert_eq!(offer(&first, version, &NOBODY, now), known(seen), "{version:?}");
    }
    let sessions_bytes = first.stat("/cache/bytes") / first.stat("/cache/entries");
    assert!(sessions_bytes >= CHAIN_BYTES as u64, "the chain is in the session: {sessions_bytes}");
    first.stop();

    let second = disk.serve(&arguments);
    for (version, _, later, seen) in &sessions {
        assert_eq!(offer(&second, version, &NOBODY, later), known(seen), "{version:?}");
    }
    second.stop();
}

#[test]
fn sessions_of_one_policy_are_not_resumed_under_another() {
    let authority = Authority::new("ours");
    let client = authority.client("known", 0);
    let (disk, files) = (Disk::new(), CertFiles::new("localhost"));
    let shared = [&files.arguments()[..], &["--external-shared".into()]].concat();
    let strict = [&shared[..], &requires(&authority)].concat();
    let [open, strict] = [shared, strict]
        .map(|arguments| disk.serve(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    for version in VERSIONS {
        let [without, with] = ["without", "with"].map(|name| disk.path(name));
        begin(&open, version, &NOBODY, &without);
        begin(&strict, version, &client.arguments(), &with);

        let failures = tls_failures(&strict);
        assert_eq!(offer(&strict, version, &NOBODY, &without), None, "{version:?}: refused");
        strict.wait_for_stat("/handshakes/failed/tls", |now| now == failures + 1);
        let seen = offer(&strict, version, &client.arguments(), &without).expect("a page");
        assert!(!seen.resumed, "{version:?}: a full handshake, with the certificate");
        let seen = offer(&open, version, &NOBODY, &with).expect("a page");
        assert_eq!(seen, Seen { resumed: false, client: "none".into() }, "{version:?}");

        // Each is still good where it was made.
        assert!(offer(&open, version, &NOBODY, &without).expect("a page").resumed);
        assert!(offer(&strict, version, &NOBODY, &with).expect("a page").resumed);
    }
    open.stop();
    strict.stop();
}

#[test]
fn a_reload_with_other_authorities_ends_the_sessions_of_the_old_ones() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (client, newer) = (old.client("client", 0), new.client("client", 0));
    let (folder, files) = (tempdir().expect("a temporary folder"), CertFiles::new("localhost"));
    let authorities = folder.path().join("authorities.pem");
    let trust = |these: &[&Authority]| {
        let read = |one: &&Authority| std::fs::read_to_string(one.file()).expect("it is there");
        std::fs::write(&authorities, these.iter().map(read).collect::<String>()).expect("a file");
    };
    trust(&[&old]);
    let arguments = ["--client-ca".into(), text(&authorities).into()];
    let server = start(&[&files.arguments()[..], &arguments].concat());
    let reload = |times: u64| {
        server.signal(Signal::HUP);
        server.wait_for_stat("/reloads/done", |done| done == times);
    };
    let session =
        |version: &[&str], what: &str| folder.path().join(format!("{what}{}", version[0]));
    for version in VERSIONS {
        begin(&server, version, &client.arguments(), &session(version, "first"));
        begin(&server, version, &client.arguments(), &session(version, "second"));
    }
    files.renew("localhost");
    reload(1);
    let resumed = |version, client: &Client, what| {
        offer(&server, version, &client.arguments(), &session(version, what))
            .map(|seen| seen.resumed)
    };
    for version in VERSIONS {
        assert_eq!(resumed(version, &client, "first"), Some(true), "{version:?}: the same");
    }
    trust(&[&new]);
    reload(2);
    for version in VERSIONS {
        assert_eq!(resumed(version, &client, "second"), None, "{version:?}: refused now");
        assert_eq!(resumed(version, &newer, "second"), Some(false), "{version:?}: another");
    }
    server.stop();
}

#[test]
fn a_certificate_that_has_expired_since_is_refused_at_a_resumption() {
    let authority = Authority::new("ours");
    let server = start(&requires(&authority));
    let folder = tempdir().expect("a temporary folder");
    let file = |name: &str, version: &[&str]| folder.path().join(format!("{name}{}", version[0]));
    let lasting = authority.client("lasting", 0);
    for version in VERSIONS {
        begin(&server, version, &lasting.arguments(), &file("lasting", version));
    }
    // Longer and longer, until there is time for a session before it ends.
    let end = [2, 4, 8, 16, 32].into_iter().find(|seconds| {
        let end = server.stat("/cache/clock_s") + seconds;
        let brief = authority.client_until("brief", end);
        let begins = |version: &&[&str]| {
            let keep = file("brief", version);
            let seen = visit(&server, &[version, &brief.arguments(), &["-sess_out", text(&keep)]]);
            seen.is_some()
        };
        let begun = VERSIONS.iter().all(begins);
        server.wait_for_stat("/cache/clock_s", |now| now > end + 1);
        begun
    });
    assert!(end.is_some(), "no session was begun in half a minute");
    let resumed =
        server.stat("/handshakes/tls12/resumed") + server.stat("/handshakes/tls13/resumed");
    let failures = tls_failures(&server);
    for version in VERSIONS {
        assert_eq!(offer(&server, version, &NOBODY, &file("brief", version)), None, "{version:?}");
        let seen = offer(&server, version, &NOBODY, &file("lasting", version)).expect("a page");
        assert!(seen.resumed, "{version:?}: this one lasts");
    }
    server.wait_for_stat("/handshakes/failed/tls", |now| now == failures + 2);
    let now = server.stat("/handshakes/tls12/resumed") + server.stat("/handshakes/tls13/resumed");
    assert_eq!(now, resumed + 2);
    server.stop();
}
