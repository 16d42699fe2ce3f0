//! What happens to a connection between its handshake and its end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use crate::harness::openssl::{resumed, s_client, s_client_waiting};
use crate::harness::{CertFiles, Server, client, poll};
use rustix::process::Signal;

/// An upstream that sends back what it gets, for as long as the test runs.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a second handle");
                // The end of one direction ends the other; a reset is one too.
                let _ = std::io::copy(&mut stream, &mut writer);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    address
}

fn proxy(files: &CertFiles, upstream: SocketAddr, more: &[&str]) -> Server {
    let mut arguments = files.arguments().to_vec();
    arguments.extend(["--upstream".into(), upstream.to_string()]);
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn exchange(stream: &mut client::Stream, text: &[u8]) {
    stream.write_all(text).expect("it is sent");
    stream.flush().expect("it is sent");
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).expect("it comes back");
    assert_eq!(answer, text);
}

#[test]
fn curl_gets_the_page_and_is_resumed_within_one_run() {
    let server = Server::start(&[]);
    assert!(server.announcement.contains("self-signed"), "{}", server.announcement);
    let url = format!("https://{}/", server.address);
    // Each request closes its connection, so the second one begins with a handshake of its own.
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "-H", "Connection: close", &url, &url])
        .output()
        .expect("curl is installed (Debian package curl)");
    let pages = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{pages}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(pages.matches("resumed: no").count(), 1, "{pages}");
    assert_eq!(pages.matches("resumed: yes").count(), 1, "{pages}");
    server.stop();
}

#[test]
fn the_upstream_gets_every_byte_and_so_does_the_client() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &[]);
    let mut stream =
        client::connect(server.address, &client::config(&files)).expect("a connection");
    exchange(&mut stream, b"a line\n");
    // Larger than any buffer on the way.
    let large: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    for part in large.chunks(50_000) {
        exchange(&mut stream, part);
    }
    stream.conn.send_close_notify();
    stream.flush().expect("the close is sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes cleanly too");
    assert!(rest.is_empty());
    server.stop();
}

#[test]
fn early_data_is_the_first_that_the_upstream_gets() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &["--early-data", "4096"]);
    let config = client::config_with_early_data(&files);
    let mut first = client::connect(server.address, &config).expect("a connection");
    // The tickets come before the echo.
    exchange(&mut first, b"a session, please");

    let (mut stream, accepted) =
        client::connect_with_early_data(server.address, &config, b"early, ").expect("a connection");
    assert!(accepted, "early data is accepted");
    stream.write_all(b"late").expect("it is sent");
    stream.flush().expect("it is sent");
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).expect("it comes back");
    assert_eq!(&answer, b"early, late");
    drop((first, stream));
    server.stop();
}

#[test]
fn a_dead_upstream_is_counted_and_the_connection_closed_cleanly() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address")
    };
    let files = CertFiles::new("localhost");
    let server = proxy(&files, dead, &[]);
    let mut stream =
        client::connect(server.address, &client::config(&files)).expect("a connection");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("a clean close");
    assert!(rest.is_empty());
    assert_eq!(server.stat("/upstream_failures"), 1);
    let log = server.stop();
    assert!(log.contains("cannot reach the upstream"), "{log}");
}

#[test]
fn sigterm_lets_a_connection_in_flight_finish() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &["--grace", "300"]);
    let config = client::config(&files);
    let mut stream = client::connect(server.address, &config).expect("a connection");
    exchange(&mut stream, b"before");

    server.signal(Signal::TERM);
    poll("new connections are refused", || TcpStream::connect(server.address).is_err());
    exchange(&mut stream, b"after");
    stream.conn.send_close_notify();
    stream.flush().expect("the close is sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("a clean close");
    drop(stream);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cutting off"), "{log}");
}

#[test]
fn the_grace_ends_and_the_rest_is_closed_cleanly() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &["--grace", "0"]);
    let config = client::config(&files);
    let mut stream = client::connect(server.address, &config).expect("a connection");
    exchange(&mut stream, b"before");
    server.signal(Signal::INT);
    let mut rest = Vec::new();
    // rustls reports an end without close_notify as an error.
    stream.read_to_end(&mut rest).expect("a clean close");
    drop(stream);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("cutting off"), "{log}");
}

#[test]
fn a_second_signal_ends_the_grace() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &["--grace", "300"]);
    let mut stream =
        client::connect(server.address, &client::config(&files)).expect("a connection");
    exchange(&mut stream, b"before");
    server.signal(Signal::TERM);
    poll("new connections are refused", || TcpStream::connect(server.address).is_err());
    exchange(&mut stream, b"within the grace");
    server.signal(Signal::INT);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("a clean close");
    drop(stream);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("cutting off"), "{log}");
}

#[test]
fn a_connection_beyond_the_limit_waits_for_a_place() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &["--max-connections", "1"]);
    let config = client::config(&files);
    let mut first = client::connect(server.address, &config).expect("a connection");
    exchange(&mut first, b"first");

    let (config, address) = (Arc::clone(&config), server.address);
    let second = std::thread::spawn(move || {
        let mut stream = client::connect(address, &config).expect("a connection in the end");
        exchange(&mut stream, b"second");
    });
    for _ in 0..20 {
        exchange(&mut first, b"first again");
        assert_eq!(server.stat("/connections/accepted"), 1);
    }
    drop(first);
    second.join().expect("the second one is served");
    assert_eq!(server.stat("/connections/accepted"), 2);
    server.stop();
}

#[test]
fn an_idle_page_connection_does_not_hold_up_the_end() {
    let files = CertFiles::new("localhost");
    let arguments = files.arguments();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--grace", "300"]);
    let server = Server::start(&arguments);
    let mut stream =
        client::connect(server.address, &client::config(&files)).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).expect("an answer");
    assert_eq!(&begin, b"HTTP/1.1 200 OK");

    server.signal(Signal::TERM);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("a clean close");
    drop(stream);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cutting off"), "{log}");
}

#[test]
fn metrics_and_stats_count_what_happened() {
    let server = Server::start(&[]);
    // TLS 1.2: one full handshake, five resumed. TLS 1.3: two full ones. And a failed one.
    s_client(server.address, &["-tls1_2", "-no_ticket", "-reconnect"], "");
    assert!(!resumed(server.address, &["-tls1_3"]));
    assert!(!resumed(server.address, &["-tls1_3"]));
    let mut plain = TcpStream::connect(server.address).expect("a connection");
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("a request");
    let mut rest = Vec::new();
    // An alert comes back, or a reset.
    match plain.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    drop(plain);
    server.wait_for_stat("/connections/open", |open| open == 0);

    for (path, expected) in [
        ("/connections/accepted", 9),
        ("/handshakes/tls12/full", 1),
        ("/handshakes/tls12/resumed", 5),
        ("/handshakes/tls13/full", 2),
        ("/handshakes/tls13/resumed", 0),
        ("/handshakes/failed/tls", 1),
        ("/cache/inserted", 5),
        ("/cache/entries", 5),
        ("/cache/hits", 5),
    ] {
        assert_eq!(server.stat(path), expected, "{path} of {:#}", server.stats());
    }
    let metrics = server.metrics();
    for line in [
        "tls_connections_total 9",
        r#"tls_handshakes_total{version="1.2",kind="full"} 1"#,
        r#"tls_handshakes_total{version="1.2",kind="resumed"} 5"#,
        r#"tls_handshakes_total{version="1.3",kind="full"} 2"#,
        r#"tls_handshakes_total{version="1.3",kind="resumed"} 0"#,
        r#"tls_handshake_failures_total{reason="tls"} 1"#,
        r#"tls_handshake_failures_total{reason="timeout"} 0"#,
        "tls_session_cache_inserts_total 5",
        "tls_session_cache_hits_total 5",
        "tls_session_cache_entries 5",
        "tls_session_cache_capacity 65536",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in:\n{metrics}");
    }
    server.stop();
}

#[test]
fn a_client_that_leaves_in_its_handshake_is_no_fault_of_tls() {
    let server = Server::start(&[]);
    let mut leaves = TcpStream::connect(server.address).expect("a connection");
    // The begin of a record that announces more.
    leaves.write_all(&[22, 3, 1, 1, 0, 1, 0]).expect("it is sent");
    drop(leaves);
    server.wait_for_stat("/handshakes/failed/io", |failed| failed == 1);
    assert_eq!(server.stat("/handshakes/failed/tls"), 0);
    server.stop();
}

#[test]
fn a_client_cannot_renegotiate() {
    let server = Server::start(&[]);
    // A line with an R asks for it.
    let output = s_client_waiting(server.address, &["-tls1_2"], "R\n");
    assert!(output.contains("RENEGOTIATING") && output.contains("no renegotiation"), "{output}");
    server.wait_for_stat("/connections/open", |open| open == 0);
    assert_eq!(server.stat("/handshakes/tls12/full"), 1);
    server.stop();
}

#[test]
fn the_admin_port_refuses_what_it_does_not_have() {
    let server = Server::start(&[]);
    let status = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"])
            .args(arguments)
            .output()
            .expect("curl is installed (Debian package curl)");
        String::from_utf8(output.stdout).expect("a status")
    };
    assert_eq!(status(&[&server.admin_url("/metrics")]), "200");
    assert_eq!(status(&[&server.admin_url("/nothing")]), "404");
    assert_eq!(status(&["--request", "POST", &server.admin_url("/stats")]), "405");
    server.stop();
}

#[test]
fn many_clients_at_once_all_get_their_own_bytes() {
    let files = CertFiles::new("localhost");
    let server = proxy(&files, echo(), &[]);
    let config = client::config(&files);
    std::thread::scope(|scope| {
        for index in 0..16_u8 {
            let (config, address) = (Arc::clone(&config), server.address);
            scope.spawn(move || {
                for round in 0..5_u8 {
                    let mut stream = client::connect(address, &config).expect("a connection");
                    exchange(&mut stream, &[index, round, index ^ round]);
                }
            });
        }
    });
    assert_eq!(server.stat("/connections/accepted"), 80);
    server.stop();
}
