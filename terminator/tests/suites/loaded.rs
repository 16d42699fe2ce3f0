//! `halfshake load` against `halfshake serve`.

use crate::harness::load::{load, number};
use crate::harness::{Server, run};

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
