//! Real OpenSSL clients come back to `halfshake serve`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

use crate::harness::openssl::{
    LAST_REQUEST, TLS_1_2, TLS_1_3, begin_session, lines, resume, resumed, s_client,
};
use crate::harness::relay::Relay;
use crate::harness::{BOUND, Backend, CertFiles, Server, client, text};
use rustix::process::Signal;
use rustls::HandshakeKind;
use tempfile::tempdir;

use crate::BACKEND;

#[test]
fn tls12_client_resumes_five_of_five_reconnects() {
    let server = Server::start(&[]);
    let output = s_client(server.address, &["-tls1_2", "-no_ticket", "-reconnect"], "");
    assert_eq!(lines(&output, "New, TLSv1.2"), 1, "{output}");
    assert_eq!(lines(&output, "Reused, TLSv1.2"), 5, "{output}");
    server.stop();
}

#[test]
fn tls13_session_resumes_once_and_not_again() {
    let server = Server::start(&[]);
    let folder = tempdir().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    begin_session(server.address, &TLS_1_3, &session);
    assert!(resume(server.address, &TLS_1_3, &session), "the first use resumes");
    assert!(
        !resume(server.address, &TLS_1_3, &session),
        "the second use of the same ticket does not"
    );
    server.stop();
}

#[test]
fn sessions_outlive_an_unclean_end_of_the_connection() {
    let server = Server::start(&[]);
    let folder = tempdir().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    let arguments = ["-tls1_2", "-no_ticket", "-sess_out", text(&session)];
    // With no input s_client leaves at once, without having seen the server's close.
    s_client(server.address, &arguments, "");
    assert!(resume(server.address, &TLS_1_2, &session), "resumes after the client just left");
    server.stop();
}

/// A session of TLS 1.2, after a connection that has ended in some way: what has left the cache as
/// faulty, and whether the client still resumes.
fn after_an_end(end: impl FnOnce(client::Stream)) -> (u64, bool) {
    let files = CertFiles::new("localhost");
    let server = Server::start(&files.arguments().each_ref().map(String::as_str));
    let config = client::with_versions(&files, &[&rustls::version::TLS12]);
    let connect = || client::connect(server.address, &config).expect("a connection");
    let mut first = connect();
    first.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
    first.read_exact(&mut [0; 15]).expect("an answer");
    assert_eq!(server.stat("/cache/entries"), 1);
    end(first);
    server.wait_for_stat("/connections/open", |open| open == 0);
    let faulty = server.stat("/cache/removed/faulty");
    let resumed = connect().conn.handshake_kind() == Some(HandshakeKind::Resumed);
    server.stop();
    (faulty, resumed)
}

#[test]
fn a_connection_that_ends_without_a_close_notify_keeps_its_session() {
    assert_eq!(after_an_end(drop), (0, true));
}

#[test]
fn a_record_that_cannot_be_decrypted_costs_the_session_with_openssl_only() {
    let ended = after_an_end(|mut stream| {
        let record = [&[23, 3, 3, 0, 40][..], &[0x5a; 40]].concat();
        stream.sock.write_all(&record).expect("it is sent");
    });
    match BACKEND {
        Backend::Rustls => assert_eq!(ended, (0, true)),
        // RFC 5246, 7.2.2.
        Backend::OpenSsl => assert_eq!(ended, (1, false)),
    }
}

#[test]
fn early_data_is_accepted_once_and_its_replay_refused() {
    let server = Server::start(&["--early-data", "4096"]);
    let folder = tempdir().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    begin_session(server.address, &TLS_1_3, &session);

    let early: PathBuf = folder.path().join("early");
    let request = "GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n";
    std::fs::write(&early, request).expect("the early data is written");
    let arguments =
        ["-tls1_3", "-ign_eof", "-sess_in", text(&session), "-early_data", text(&early)];

    let first = s_client(server.address, &arguments, LAST_REQUEST);
    assert!(first.contains("Early data was accepted"), "{first}");
    assert!(first.contains(&format!("early data: {} bytes", request.len())), "{first}");
    assert_eq!(first.matches("resumed: yes").count(), 2, "both requests are answered: {first}");
    let replay = s_client(server.address, &arguments, LAST_REQUEST);
    assert!(replay.contains("Early data was rejected"), "{replay}");
    assert!(replay.contains("resumed: no"), "{replay}");

    assert_eq!(server.stat("/early_data/connections"), 1);
    assert_eq!(server.stat("/early_data/bytes"), request.len() as u64);
    server.stop();
}

#[test]
fn a_recorded_connection_with_early_data_is_refused_when_it_is_sent_again() {
    let server = Server::start(&["--early-data", "4096"]);
    let folder = tempdir().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    begin_session(server.address, &TLS_1_3, &session);
    let early: PathBuf = folder.path().join("early");
    std::fs::write(&early, "GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("the early data is written");

    let relay = Relay::start(server.address);
    let arguments =
        ["-tls1_3", "-ign_eof", "-sess_in", text(&session), "-early_data", text(&early)];
    let first = s_client(relay.address, &arguments, LAST_REQUEST);
    assert!(first.contains("Early data was accepted"), "{first}");
    assert_eq!(server.stat("/early_data/connections"), 1);
    assert_eq!(server.stat("/handshakes/tls13/resumed"), 1);

    let recorded = relay.recorded();
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound on reads");
    stream.write_all(&recorded).expect("it is sent");
    stream.shutdown(Shutdown::Write).expect("no more comes");
    let mut answer = Vec::new();
    // The server asks for a full handshake, which a recording cannot answer, and gives up.
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(answer.first(), Some(&22), "it was taken for the begin of a handshake");
    server.wait_for_stat("/connections/open", |open| open == 0);
    assert_eq!(server.stat("/early_data/connections"), 1, "{:#}", server.stats());
    assert_eq!(server.stat("/handshakes/tls13/resumed"), 1, "{:#}", server.stats());
    // The recording cannot finish a handshake in any case, so this is what tells.
    assert_eq!(server.stat("/cache/hits"), 1, "the session is found once: {:#}", server.stats());
    assert_eq!(server.stat("/cache/misses/unknown"), 1, "{:#}", server.stats());
    server.stop();
}

#[test]
fn early_data_of_several_records_is_taken_once_and_its_replay_refused() {
    const BODY: usize = 40_000;
    let server = Server::start(&["--early-data", "65536"]);
    let folder = tempdir().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    begin_session(server.address, &TLS_1_3, &session);
    let early: PathBuf = folder.path().join("early");
    let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY}\r\n\r\n");
    std::fs::write(&early, head.clone() + &"x".repeat(BODY)).expect("the early data is written");
    let arguments =
        ["-tls1_3", "-ign_eof", "-sess_in", text(&session), "-early_data", text(&early)];

    let first = s_client(server.address, &arguments, LAST_REQUEST);
    assert!(first.contains("Early data was accepted"), "{first}");
    assert!(first.contains(&format!("early data: {} bytes", head.len() + BODY)), "{first}");
    assert!(first.contains("resumed: yes"), "{first}");
    let again = s_client(server.address, &arguments, LAST_REQUEST);
    assert!(again.contains("Early data was rejected"), "{again}");
    // rustls breaks off a handshake that has more than a record of it to skip.
    assert_eq!(again.contains("resumed: no"), BACKEND == Backend::OpenSsl, "{again}");
    server.stop();
}

#[test]
fn early_data_is_refused_unless_it_is_asked_for() {
    let server = Server::start(&[]);
    let folder = tempdir().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    let output = s_client(
        server.address,
        &["-tls1_3", "-ign_eof", "-sess_out", text(&session)],
        LAST_REQUEST,
    );
    assert!(output.contains("Max Early Data: 0"), "{output}");
    assert_eq!(server.stat("/early_data/connections"), 0);
    server.stop();
}

#[test]
fn sessions_survive_a_reload_of_the_certificate() {
    let files = CertFiles::new("localhost");
    let arguments = files.arguments();
    let server = Server::start(&arguments.each_ref().map(String::as_str));
    let folder = tempdir().expect("a temporary folder");
    let (tls12, tls13) = (folder.path().join("tls12.pem"), folder.path().join("tls13.pem"));
    begin_session(server.address, &TLS_1_2, &tls12);
    begin_session(server.address, &TLS_1_3, &tls13);

    files.renew("localhost");
    server.signal(Signal::HUP);
    server.wait_for_stat("/reloads/done", |done| done == 1);
    let output = s_client(server.address, &["-ign_eof", "-showcerts"], LAST_REQUEST);
    let renewed = std::fs::read_to_string(files.cert()).expect("the certificate is readable");
    let renewed = renewed.replace('\r', "");
    assert!(output.contains(renewed.trim()), "the new certificate is in use: {output}");
    assert!(resume(server.address, &TLS_1_2, &tls12), "TLS 1.2 resumes after the reload");
    assert!(resume(server.address, &TLS_1_3, &tls13), "TLS 1.3 resumes after the reload");
    server.stop();
}

#[test]
fn a_reload_that_fails_keeps_the_old_certificate() {
    let files = CertFiles::new("localhost");
    let arguments = files.arguments();
    let server = Server::start(&arguments.each_ref().map(String::as_str));
    std::fs::write(files.key(), "no key at all").expect("the key is overwritten");
    server.signal(Signal::HUP);
    server.wait_for_stat("/reloads/failed", |failed| failed == 1);
    assert!(!resumed(server.address, &TLS_1_3), "it still serves");
    let log = server.stop();
    assert!(log.contains("the old certificate stays in use"), "{log}");
}

#[test]
fn a_certificate_for_other_names_cannot_resume_the_sessions_of_the_old_one() {
    let files = CertFiles::new("localhost");
    let arguments = files.arguments();
    let server = Server::start(&arguments.each_ref().map(String::as_str));
    let folder = tempdir().expect("a temporary folder");
    let (tls12, tls13) = (folder.path().join("tls12.pem"), folder.path().join("tls13.pem"));
    begin_session(server.address, &TLS_1_2, &tls12);
    begin_session(server.address, &TLS_1_3, &tls13);

    files.renew("another.example");
    server.signal(Signal::HUP);
    server.wait_for_stat("/reloads/done", |done| done == 1);
    assert!(!resume(server.address, &TLS_1_2, &tls12), "TLS 1.2: another namespace");
    assert!(!resume(server.address, &TLS_1_3, &tls13), "TLS 1.3: another namespace");
    server.stop();
}
