//! `halfshake load` against the servers of others.

mod harness;

use std::io::Write as _;
use std::net::TcpListener;

use harness::CertFiles;
use harness::load::{load, number};
use harness::openssl::SServer;

const BACKEND: harness::Backend = harness::Backend::Rustls;

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
