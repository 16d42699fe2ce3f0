//! What cannot begin says so in one line and ends with status 2.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{CertFiles, Server, run, text};
use tempfile::tempdir;

use crate::BACKEND;

/// The one line of a run that could not begin.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
    assert!(errors.starts_with("halfshake: "), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}: nothing on standard output");
    errors
}

#[test]
fn bad_arguments_say_how_to_write_them() {
    for (arguments, advice) in [
        (&["serve", "--listen", "8443"][..], "ADDRESS:PORT"),
        (&["serve", "--upstream", "localhost"], "HOST:PORT"),
        (&["serve", "--cert", "cert.pem"], "--key <FILE>"),
        (&["serve", "--cache-entries", "0"], "--cache-entries"),
        (&["serve", "--cache-timeout", "90000"], "86400"),
        (&["serve", "--tls-min", "1.3", "--tls-max", "1.2"], "swap them"),
        (&["serve", "--colour"], "--colour"),
        (&["serve", "--tls-backend", "boringssl"], "rustls, openssl"),
        (&["serve", "--external-dir", "sessions"], "--seal-key <FILE>"),
        (&["serve", "--seal-key", "keys"], "--external-dir <DIR>"),
        (&["serve", "--external-shared"], "--external-dir <DIR>"),
        (&["serve", "--external-entries", "5"], "--external-dir <DIR>"),
        (&["load"], "--connect <ADDR>"),
        (&["load", "--connect", "h:1", "--resume-percent", "101"], "100"),
        (&["load", "--connect", "127.0.0.1:1", "--tls", "1.1"], "1.2, 1.3"),
        (&["load", "--connect", "127.0.0.1:1", "--server-name", "a b"], "DNS name"),
        (&["load", "--connect", "no such host:443"], "HOST:PORT"),
        (&["demo", "--seconds", "0"], "1 to 600"),
        (&["demolish"], "demo"),
        (&[], "serve, load or demo"),
    ] {
        let line = refusal(arguments);
        assert!(line.contains(advice), "{arguments:?}: {line}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("an address").to_string();
    let line = refusal(&["serve", "--listen", &address]);
    assert!(line.contains(&address) && line.contains("in use"), "{line}");
    let line = refusal(&["serve", "--listen", "127.0.0.1:0", "--admin", &address]);
    assert!(line.contains("--admin") && line.contains("in use"), "{line}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_with_the_reason() {
    let files = CertFiles::new("localhost");
    let other = CertFiles::new("localhost");
    let folder = tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.pem");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    let torn = folder.path().join("torn.pem");
    let whole = std::fs::read_to_string(files.cert()).expect("a certificate");
    std::fs::write(&torn, &whole[..whole.len() / 2]).expect("a file");
    let garbage = folder.path().join("garbage.pem");
    let section = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&garbage, section).expect("a file");

    for (cert, key, advice) in [
        (missing.clone(), files.key(), "cannot read"),
        (files.cert(), missing, "--key"),
        (empty.clone(), files.key(), "no certificate in"),
        (files.cert(), empty, "no private key in"),
        (torn, files.key(), "not valid PEM"),
        (garbage, files.key(), "X.509 v3"),
        (files.cert(), other.key(), "does not belong"),
    ] {
        let line = refusal(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-backend",
            BACKEND.name(),
            "--cert",
            text(&cert),
            "--key",
            text(&key),
        ]);
        assert!(line.contains(advice), "{line}");
    }
}

#[test]
fn authorities_that_cannot_be_used_are_named_with_the_reason() {
    let folder = tempdir().expect("a temporary folder");
    let garbage = folder.path().join("garbage.pem");
    let section = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&garbage, section).expect("a file");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    for (file, advice) in [
        (folder.path().join("missing.pem"), "cannot read"),
        (empty, "give a PEM file with the certificates of those who sign"),
        (garbage, "cannot use"),
    ] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--tls-backend", BACKEND.name()];
        let line = refusal(&[&serve[..], &["--client-ca", text(&file)]].concat());
        assert!(line.contains("--client-ca") && line.contains(advice), "{line}");
    }
}

#[cfg(not(feature = "openssl"))]
#[test]
fn a_program_without_openssl_says_how_to_get_one_with_it() {
    let line = refusal(&["serve", "--listen", "127.0.0.1:0", "--tls-backend", "openssl"]);
    assert!(line.contains("--features openssl"), "{line}");
}

#[test]
fn a_directory_of_sessions_that_cannot_be_used_is_named_with_the_reason() {
    let folder = tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let key = "5a".repeat(32);
    let secret = |name: &str, text: &str, mode: u32| {
        std::fs::write(path(name), text).expect("a file");
        std::fs::set_permissions(path(name), Permissions::from_mode(mode)).expect("it is ours");
        path(name)
    };
    let good = secret("good", &key, 0o600);
    std::fs::create_dir(path("entered")).expect("a folder");
    std::fs::set_permissions(path("entered"), Permissions::from_mode(0o755)).expect("it is ours");

    for (directory, keys, advice) in [
        (path("new"), path("missing"), "umask 077; openssl rand -hex 32"),
        (path("new"), secret("seen", &key, 0o640), "chmod 600"),
        (path("new"), secret("none", "# keys:\n", 0o600), "line 1 of"),
        (path("new"), secret("short", &format!("{key}\n{}", &key[2..]), 0o600), "line 2 of"),
        (path("new"), secret("twice", &format!("{key}\n{key}"), 0o600), "twice"),
        (path("no/such"), good.clone(), "cannot use"),
        (good.clone(), good.clone(), "cannot use"),
        (path("entered"), good.clone(), "chmod 700"),
    ] {
        let disk = ["serve", "--listen", "127.0.0.1:0", "--external-dir", text(&directory)];
        let line = refusal(&[&disk[..], &["--seal-key", text(&keys)]].concat());
        assert!(line.contains(advice), "{line}");
        assert!(!line.contains(&key[..16]), "no key is shown: {line}");
    }

    let disk =
        ["--external-dir", text(&path("held")), "--seal-key", text(&good)].map(str::to_owned);
    let disk = disk.each_ref().map(String::as_str);
    let holder = Server::start(&disk);
    for shared in [&[][..], &["--external-shared"]] {
        let line = refusal(&[&["serve", "--listen", "127.0.0.1:0"], &disk[..], shared].concat());
        assert!(line.contains("another process uses"), "{line}");
    }
    holder.stop();
}

#[test]
fn help_and_version_succeed_on_standard_output() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["serve", "--help"],
        &["load", "--help"],
        &["demo", "--help"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}
