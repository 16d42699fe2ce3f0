//! The real `openssl s_client` against the server of the example, which never waits for its store.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../../examples/openssl.rs"]
#[allow(dead_code, reason = "its main function")]
mod example;

use example::{Store, cache_over, context, run};
use halfshake::session::SessionCache;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::tempdir;
use tokio::net::TcpListener;

/// A server of its own, over a store that others may share.
async fn start(store: &Arc<Store>) -> (SocketAddr, SessionCache<()>) {
    let cache = cache_over(store).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(run(listener, context(&cache).unwrap()));
    (address, cache)
}

/// One connection of `s_client`: whether it was resumed, by the server's word and the client's.
async fn resumed(address: SocketAddr, arguments: &[&str]) -> bool {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).into()).collect();
    tokio::task::spawn_blocking(move || s_client(address, &arguments)).await.unwrap()
}

fn s_client(address: SocketAddr, arguments: &[String]) -> bool {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed (Debian package openssl)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"the end\n").unwrap();
    let (mut there, mut here) = (None, None);
    // What comes back comes after the tickets.
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        match line.as_str() {
            "resumed" => there = Some(true),
            "new" => there = Some(false),
            "the end" => break,
            _ if line.starts_with("Reused, ") => here = Some(true),
            _ if line.starts_with("New, ") => here = Some(false),
            _ => {}
        }
    }
    drop(stdin);
    child.wait().unwrap();
    assert!(there.is_some() && there == here, "server {there:?}, client {here:?}");
    there.unwrap()
}

fn begins<'a>(version: &'a str, file: &'a Path) -> [&'a str; 4] {
    [version, "-no_ticket", "-sess_out", file.to_str().unwrap()]
}

fn proposes<'a>(version: &'a str, file: &'a Path) -> [&'a str; 4] {
    [version, "-no_ticket", "-sess_in", file.to_str().unwrap()]
}

#[tokio::test]
async fn tls12_session_of_one_server_is_resumed_by_another_as_often_as_it_is_proposed() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("session");
    let store = Arc::default();
    let ((one, _), (other, cache)) = (start(&store).await, start(&store).await);
    assert!(!resumed(one, &begins("-tls1_2", &file)).await);
    for _ in 0..3 {
        assert!(resumed(other, &proposes("-tls1_2", &file)).await);
    }
    let stats = cache.stats();
    assert_eq!((stats.asked, stats.used), (3, 3));
}

#[tokio::test]
async fn tls13_session_of_one_server_is_resumed_by_another_once() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("session");
    let store = Arc::default();
    let ((one, first), (other, second)) = (start(&store).await, start(&store).await);
    assert!(!resumed(one, &begins("-tls1_3", &file)).await);
    assert!(resumed(other, &proposes("-tls1_3", &file)).await);
    assert!(!resumed(other, &proposes("-tls1_3", &file)).await, "again");
    assert!(!resumed(one, &proposes("-tls1_3", &file)).await, "at the first one");
    assert_eq!((first.stats().asked, second.stats().asked), (1, 2));
}

#[tokio::test]
async fn hello_that_proposes_nothing_is_not_looked_up() {
    let store = Arc::default();
    let (address, cache) = start(&store).await;
    // A session id that is made up for middleboxes goes with it.
    assert!(!resumed(address, &["-tls1_3"]).await);
    assert!(!resumed(address, &[]).await);
    assert!(!resumed(address, &["-tls1_2"]).await);
    assert_eq!(cache.stats().asked, 0);
}
