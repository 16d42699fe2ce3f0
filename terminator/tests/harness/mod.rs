//! What the tests of the program share: the program itself as a child process, the clients that
//! talk to it, and certificates in files.
//!
//! Nothing here waits for a time: a wait is a blocking read, a channel or a condition that is asked
//! again, each with a generous bound.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod authority;
mod backend;
pub(crate) mod client;
pub(crate) mod disk;
pub(crate) mod hello;
pub(crate) mod load;
pub(crate) mod openssl;
pub(crate) mod relay;
pub(crate) mod tls_server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::backend::Backend;
use crate::BACKEND;

/// Nothing that these tests wait for takes this long on a machine that still answers.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// The program with `arguments`.
pub(crate) fn halfshake(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halfshake"));
    command.args(arguments).stdin(Stdio::null());
    // What the leak sanitizer may find in the tests' own process it may not find there.
    command.env_remove("LSAN_OPTIONS");
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    halfshake(arguments).output().expect("the program starts")
}

/// A running `halfshake serve`, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pid: Pid,
    pub(crate) address: SocketAddr,
    /// What it said on standard output before it was ready.
    pub(crate) announcement: String,
    admin: SocketAddr,
    ended: Receiver<ExitStatus>,
    log: Option<JoinHandle<String>>,
    status: Option<ExitStatus>,
}

impl Server {
    /// Starts it on free ports, with `arguments` beside those for the ports.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_command(arguments, |_| ())
    }

    /// Like `start`, on every address of the machine; `address` is one of them.
    pub(crate) fn start_everywhere(arguments: &[&str]) -> Self {
        let mut server = Self::start_on("0.0.0.0:0", arguments, |_| ());
        server.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        server
    }

    /// Like `start`; `prepare` sets the environment.
    pub(crate) fn start_command(arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        Self::start_on("127.0.0.1:0", arguments, prepare)
    }

    fn start_on(listen: &str, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = halfshake(&["serve", "--listen", listen]);
        command.args(["--admin", "127.0.0.1:0", "--tls-backend", BACKEND.name()]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let pid = Pid::from_child(&child);

        let mut errors = child.stderr.take().expect("standard error is a pipe");
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            errors.read_to_string(&mut log).expect("the log is text");
            log
        });
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (mut admin, mut address, mut announcement) = (None, None, String::new());
        while address.is_none() {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("the announcement is text");
            assert_ne!(read, 0, "the server ended at its start: {:?}", log.join());
            admin = admin.or_else(|| after(&line, "admin: http://"));
            address = after(&line, "listening on ");
            announcement.push_str(&line);
        }
        let (sender, ended) = channel();
        std::thread::spawn(move || {
            let status = child.wait().expect("the child can be waited for");
            // The test may have stopped listening.
            let _ = sender.send(status);
        });
        Self {
            pid,
            address: address.expect("the loop ends with it"),
            announcement,
            admin: admin.expect("the admin address is announced first"),
            ended,
            log: Some(log),
            status: None,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the server runs");
    }

    /// Waits for the end and gives back the exit status and the log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.ended.recv_timeout(BOUND).expect("the server ends");
        self.status = Some(status);
        let log = self.log.take().expect("taken once").join().expect("the log was read");
        (status, log)
    }

    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, log) = self.wait();
        assert!(status.success(), "{status}: {log}");
        log
    }

    /// The JSON of `/stats`.
    pub(crate) fn stats(&self) -> Value {
        let (head, body) = http_get(self.admin, "/stats");
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// One number of `/stats`, by its path.
    pub(crate) fn stat(&self, path: &str) -> u64 {
        let stats = self.stats();
        let value = stats.pointer(path).unwrap_or_else(|| panic!("no {path} in {stats:#}"));
        value.as_u64().unwrap_or_else(|| panic!("{path} is {value}"))
    }

    pub(crate) fn metrics(&self) -> String {
        let (head, body) = http_get(self.admin, "/metrics");
        assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
        body
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// Asks again until `/stats` says so.
    pub(crate) fn wait_for_stat(&self, path: &str, accept: impl Fn(u64) -> bool) {
        poll(&format!("{path} of /stats"), || accept(self.stat(path)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        match self.ended.try_recv() {
            Ok(status) => {
                let is_news = !std::thread::panicking();
                assert!(!is_news, "the server has ended by itself: {status}");
            }
            // It may end just now.
            Err(_) => _ = kill_process(self.pid, Signal::KILL),
        }
    }
}

/// Tries `condition` until it holds, with pauses that only spare the machine: no test relies on
/// their length.
pub(crate) fn poll(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < BOUND, "{what}: not so after {BOUND:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn after(line: &str, start: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix(start)?;
    let end = rest.find(['/', ' ', '\n']).unwrap_or(rest.len());
    Some(rest[..end].parse().expect("an address is announced"))
}

/// A plain HTTP request; the head comes back in lower case.
fn http_get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("the admin port is open");
    stream.set_read_timeout(Some(BOUND)).expect("a bound on reads");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
        .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    (head.to_lowercase(), body.to_owned())
}

/// A certificate and its key in PEM files.
#[derive(Debug)]
pub(crate) struct CertFiles {
    folder: TempDir,
}

impl CertFiles {
    pub(crate) fn new(name: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        files.renew(name);
        files
    }

    /// Overwrites the files with a new certificate and a new key.
    pub(crate) fn renew(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        std::fs::write(self.cert(), made.cert.pem()).expect("the certificate is written");
        std::fs::write(self.key(), made.signing_key.serialize_pem()).expect("the key is written");
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    pub(crate) fn arguments(&self) -> [String; 4] {
        let text = |path: PathBuf| path.to_str().expect("a plain path").to_owned();
        ["--cert".into(), text(self.cert()), "--key".into(), text(self.key())]
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
