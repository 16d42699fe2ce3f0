//! The real `openssl s_client` and `s_server`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{CertFiles, text};

/// Ends the connection from the server's side, after the tickets have come.
pub(crate) const LAST_REQUEST: &str =
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Arguments for one version of TLS, and for sessions that the server stores.
pub(crate) const TLS_1_2: [&str; 2] = ["-tls1_2", "-no_ticket"];
pub(crate) const TLS_1_3: [&str; 1] = ["-tls1_3"];

/// Runs `s_client` to its end and gives back what it wrote.
pub(crate) fn s_client(address: SocketAddr, arguments: &[&str], input: &str) -> String {
    let (child, stdin) = start(address, arguments, input);
    drop(stdin);
    written(child)
}

/// The same, for an `s_client` that does not end because its input does.
pub(crate) fn s_client_waiting(address: SocketAddr, arguments: &[&str], input: &str) -> String {
    let (child, stdin) = start(address, arguments, input);
    let output = written(child);
    drop(stdin);
    output
}

fn start(address: SocketAddr, arguments: &[&str], input: &str) -> (Child, ChildStdin) {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-servername", "localhost"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed (Debian package openssl)");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // It may have failed to connect and be gone; its output says so.
    let _ = stdin.write_all(input.as_bytes());
    (child, stdin)
}

fn written(child: Child) -> String {
    let output = child.wait_with_output().expect("s_client ends");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// One connection with one request: whether it was resumed, by the client's word. The page must
/// say the same.
pub(crate) fn resumed(address: SocketAddr, arguments: &[&str]) -> bool {
    let mut all = vec!["-ign_eof"];
    all.extend(arguments);
    let output = s_client(address, &all, LAST_REQUEST);
    let reused = lines(&output, "Reused, ");
    assert_eq!(reused + lines(&output, "New, "), 1, "one handshake: {output}");
    let page = if reused == 1 { "resumed: yes" } else { "resumed: no" };
    assert!(output.contains(page), "client and page agree: {output}");
    reused == 1
}

/// The first connection of a session, which is written to `file`.
pub(crate) fn begin_session(address: SocketAddr, version: &[&str], file: &Path) {
    let arguments = [version, &["-sess_out", text(file)]].concat();
    assert!(!resumed(address, &arguments), "the first connection is a full handshake");
}

/// A later connection that offers the session in `file`.
pub(crate) fn resume(address: SocketAddr, version: &[&str], file: &Path) -> bool {
    resumed(address, &[version, &["-sess_in", text(file)]].concat())
}

pub(crate) fn lines(output: &str, start: &str) -> usize {
    output.lines().filter(|line| line.starts_with(start)).count()
}

/// A running `s_server`, killed when dropped.
#[derive(Debug)]
pub(crate) struct SServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl SServer {
    pub(crate) fn start(certificate: &CertFiles, arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert"])
            .arg(certificate.cert())
            .arg("-key")
            .arg(certificate.key())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed (Debian package openssl)");
        let mut output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let address = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("text"), 0, "s_server ended");
            if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
                break address.parse().expect("s_server says where it listens");
            }
        };
        // Read on, so that it never blocks on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, address }
    }
}

impl Drop for SServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
