//! `halfshake load` against servers of all kinds.

mod harness;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use harness::openssl::SServer;
use harness::{CertFiles, Server, run};
use serde_json::Value;

/// Runs it with `--json` and gives back the exit status and the report.
fn load(address: SocketAddr, more: &[&str]) -> (Option<i32>, Value) {
    let address = address.to_string();
    let mut arguments = vec!["load", "--json", "--connect", &address];
    arguments.extend(more);
    let output = run(&arguments);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn every_offered_session_is_resumed_by_our_server() {
    let server = Server::start(&[]);
    for tls in ["1.2", "1.3"] {
        let arguments = ["--connections", "400", "--concurrency", "8", "--resume-percent", "75"];
        let (status, report) = load(server.address, &[&arguments[..], &["--tls", tls]].concat());
        assert_eq!(status, Some(0), "{report:#}");
        assert_eq!(number(&report, "offered"), 300, "{report:#}");
        assert_eq!(number(&report, "resumed"), 300, "{report:#}");
        assert_eq!(number(&report, "full"), 100, "{report:#}");
        assert_eq!(number(&report, "failed"), 0, "{report:#}");
        assert_eq!(number(&report, "unclean_closes"), 0, "{report:#}");
    }
    assert_eq!(server.stat("/handshakes/tls12/resumed"), 300);
    assert_eq!(server.stat("/handshakes/tls13/resumed"), 300);
    server.stop();
}

#[test]
fn nothing_is_resumed_when_nothing_is_offered() {
    let server = Server::start(&[]);
    let (status, report) = load(server.address, &["--connections", "50", "--resume-percent", "0"]);
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(number(&report, "resumed"), 0, "{report:#}");
    assert_eq!(number(&report, "full"), 50, "{report:#}");
    server.stop();
}

#[test]
fn openssl_s_server_is_loaded_and_resumes() {
    let files = CertFiles::new("localhost");
    for (tls, request) in [("1.2", true), ("1.3", true), ("1.3", false)] {
        let server = SServer::start(&files, &["-www"]);
        let mut arguments = vec!["--connections", "60", "--concurrency", "3", "--tls", tls];
        arguments.extend(["--resume-percent", "50"]);
        if !request {
            arguments.push("--no-request");
        }
        let (status, report) = load(server.address, &arguments);
        assert_eq!(status, Some(0), "{report:#}");
        assert_eq!(number(&report, "resumed"), 30, "TLS {tls}: {report:#}");
        assert_eq!(number(&report, "full"), 30, "TLS {tls}: {report:#}");
    }
}

#[test]
fn a_server_that_is_not_tls_fails_every_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // The client may have gone already.
            let _ = stream.expect("a connection").write_all(b"220 mail.example ready\r\n");
        }
    });
    let (status, report) = load(address, &["--connections", "10", "--concurrency", "2"]);
    assert_eq!(status, Some(1), "{report:#}");
    assert_eq!(number(&report, "failed"), 10, "{report:#}");
    assert_eq!(number(&report, "full"), 0, "{report:#}");
}

#[test]
fn a_server_that_refuses_after_the_handshake_fails_it() {
    let files = CertFiles::new("localhost");
    // A TLS 1.3 client has finished before it hears that its certificate was missed.
    let server = SServer::start(&files, &["-www", "-Verify", "1"]);
    let (status, report) = load(server.address, &["--connections", "10", "--concurrency", "2"]);
    assert_eq!(status, Some(1), "{report:#}");
    assert_eq!(number(&report, "failed"), 10, "{report:#}");
    let errors = report["errors"].to_string();
    assert!(errors.contains("CertificateRequired"), "{errors}");
}

#[test]
fn the_table_names_what_was_done_and_what_failed() {
    let server = Server::start(&["--tls-max", "1.2"]);
    let address = server.address.to_string();
    let arguments = ["load", "--connect", &address, "--connections", "20"];
    let good = run(&[&arguments[..], &["--tls", "1.2"]].concat());
    assert_eq!(good.status.code(), Some(0));
    let table = String::from_utf8(good.stdout).expect("text");
    for word in ["full", "resumed", "p99.9", "per second", "errors: 0", "TLS 1.2"] {
        assert!(table.contains(word), "no {word} in:\n{table}");
    }
    let bad = run(&[&arguments[..], &["--tls", "1.3"]].concat());
    assert_eq!(bad.status.code(), Some(1), "no common version");
    let table = String::from_utf8(bad.stdout).expect("text");
    assert!(table.contains("errors: 20") && table.contains("ProtocolVersion"), "{table}");
    server.stop();
}
