//! `halfshake serve --cache`: the same server over this project's cache and over rustls's own.

mod harness;

use harness::load::{load, number};
use harness::openssl::{TLS_1_3, begin_session, resume};
use harness::{CertFiles, Server, run};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::tempdir;

const BACKEND: harness::Backend = harness::Backend::Rustls;

#[test]
fn clients_resume_from_either_cache_and_ours_counts_it() {
    for cache in ["halfshake", "rustls"] {
        let server = Server::start(&["--cache", cache]);
        for tls in ["1.2", "1.3"] {
            let arguments = ["--connections", "40", "--concurrency", "2", "--tls", tls];
            let (status, report) =
                load(server.address, &[&arguments[..], &["--resume-percent", "50"]].concat());
            assert_eq!(status, Some(0), "{report:#}");
            assert_eq!(number(&report, "resumed"), 20, "{cache}, TLS {tls}: {report:#}");
            assert_eq!(number(&report, "full"), 20, "{cache}, TLS {tls}: {report:#}");
        }
        server.wait_for_stat("/handshakes/tls13/resumed", |resumed| resumed == 20);
        match cache {
            "halfshake" => assert_eq!(server.stat("/cache/hits"), 40),
            _ => {
                assert_eq!(server.stats()["cache"], Value::Null, "it tells nothing of itself");
                assert!(!server.metrics().contains("tls_session_cache"), "nor in metrics");
            }
        }
        server.stop();
    }
}

#[test]
fn a_reload_keeps_the_sessions_of_ours_and_forgets_those_of_rustls() {
    for (cache, kept) in [("halfshake", true), ("rustls", false)] {
        let files = CertFiles::new("localhost");
        let arguments = files.arguments();
        let arguments = [&["--cache", cache], &arguments.each_ref().map(String::as_str)[..]];
        let server = Server::start(&arguments.concat());
        let folder = tempdir().expect("a temporary folder");
        let sessions = ["before.pem", "after.pem"].map(|name| folder.path().join(name));
        begin_session(server.address, &TLS_1_3, &sessions[0]);
        server.signal(Signal::HUP);
        server.wait_for_stat("/reloads/done", |done| done == 1);
        assert_eq!(resume(server.address, &TLS_1_3, &sessions[0]), kept, "{cache}");
        begin_session(server.address, &TLS_1_3, &sessions[1]);
        assert!(resume(server.address, &TLS_1_3, &sessions[1]), "{cache}: one made since");
        server.stop();
    }
}

#[test]
fn what_the_cache_of_rustls_cannot_keep_is_refused_with_it() {
    for options in [
        &["--client-ca", "clients.pem"][..],
        &["--tls-backend", "openssl"],
        &["--external-dir", "sessions", "--seal-key", "keys"],
    ] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--cache", "rustls"];
        // What is refused before anything is made of it leaves nothing behind.
        let folder = tempdir().expect("a temporary folder");
        let output = harness::halfshake(&[&serve[..], options].concat())
            .current_dir(folder.path())
            .output()
            .expect("the program starts");
        let line = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains("--cache rustls") && line.contains(options[0]), "{line}");
        let left = std::fs::read_dir(folder.path()).expect("it is readable").count();
        assert_eq!(left, 0, "{options:?}");
    }
    assert!(String::from_utf8_lossy(&run(&["serve", "--help"]).stdout).contains("--cache <CACHE>"));
}
