//! QUIC over the session store of rustls: resumption, early data once, and its replay refused. The
//! server and the client are those of the example.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../../examples/quic.rs"]
#[allow(dead_code, reason = "its main function")]
mod example;

use example::{Identity, Server, client, visit};
use halfshake::rustls::{Namespace, SessionStore, session_store};
use halfshake::session::SessionCache;
use halfshake::{Maintenance, RemovalCause};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Nothing here takes this long on a machine that still answers.
const BOUND: Duration = Duration::from_secs(60);

fn store() -> Arc<SessionStore> {
    let cache = SessionCache::builder().capacity(1_000).maintenance(Maintenance::Embedder);
    session_store(&cache.build().unwrap(), &Namespace::new(b"localhost, QUIC").unwrap())
}

fn taken(store: &SessionStore) -> u64 {
    store.cache().stats().engine.removed_by(RemovalCause::Taken)
}

/// Look-ups that found nothing.
fn missed(store: &SessionStore) -> u64 {
    store.cache().stats().internal_misses
}

/// Asks again until it is so; the pauses only spare the machine.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < BOUND, "{what}: not so after {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn early(client: &quinn::Endpoint, server: SocketAddr) -> bool {
    let visit = visit(client, server, b"early, perhaps");
    tokio::time::timeout(BOUND, visit).await.expect("in time").expect("an echo")
}

/// What a copyist does with the first datagram of a client before it goes on.
type Interception =
    Box<dyn Fn(Vec<u8>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Somebody on the way between one client and a server, who keeps what the client says.
struct Way {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Way {
    async fn to(server: SocketAddr, intercept: Option<Interception>) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (front.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let kept = heard.clone();
        tokio::spawn(async move {
            let (mut client, mut there, mut here) = (None, [0; 65_536], [0; 65_536]);
            loop {
                tokio::select! {
                    said = front.recv_from(&mut there) => {
                        let (length, from) = said.unwrap();
                        let datagram = there[..length].to_vec();
                        if let (None, Some(intercept)) = (client, &intercept) {
                            intercept(datagram.clone()).await;
                        }
                        client = Some(from);
                        back.send_to(&datagram, server).await.unwrap();
                        kept.lock().unwrap().push(datagram);
                    }
                    answer = back.recv(&mut here) => {
                        let to = client.expect("the client speaks first");
                        front.send_to(&here[..answer.unwrap()], to).await.unwrap();
                    }
                }
            }
        });
        Self { address, heard }
    }
}

#[tokio::test]
async fn every_connection_but_the_first_is_resumed_and_heard_early() {
    let (store, identity) = (store(), Identity::new().unwrap());
    let server = Server::start(&store, &identity).unwrap();
    let (client, address) = (client(&[&identity]).unwrap(), server.address().unwrap());
    assert!(!early(&client, address).await);
    for connection in 1..=5 {
        assert!(early(&client, address).await, "connection {connection}");
        assert_eq!(taken(&store), connection);
    }
    assert_eq!((server.echoed(), missed(&store)), (1 + 2 * 5, 0));
    server.close().await;
    store.cache().validate();
}

#[tokio::test]
async fn sessions_survive_a_reload_of_the_certificate() {
    let (store, old, new) = (store(), Identity::new().unwrap(), Identity::new().unwrap());
    let server = Server::start(&store, &old).unwrap();
    let (both, address) = (client(&[&old, &new]).unwrap(), server.address().unwrap());
    assert!(!early(&both, address).await);
    server.reload(&new).unwrap();
    assert!(early(&both, address).await, "after the reload");
    // The new one is in use: a client that knows no other one can connect.
    assert!(!early(&client(&[&new]).unwrap(), address).await);
    assert!(visit(&client(&[&old]).unwrap(), address, b"hello").await.is_err(), "the old one");
    server.close().await;
    store.cache().validate();
}

#[tokio::test]
async fn what_a_client_has_sent_early_is_not_heard_again() {
    let (store, identity) = (store(), Identity::new().unwrap());
    let server = Server::start(&store, &identity).unwrap();
    let client = client(&[&identity]).unwrap();
    let way = Way::to(server.address().unwrap(), None).await;
    assert!(!early(&client, way.address).await);
    way.heard.lock().unwrap().clear();
    assert!(early(&client, way.address).await);
    let copies = way.heard.lock().unwrap().clone();

    // Another server on the same cache: it knows nothing of the connection.
    let other = Server::start(&store, &identity).unwrap();
    let copyist = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for round in 1..=3 {
        for copy in &copies {
            copyist.send_to(copy, other.address().unwrap()).await.unwrap();
        }
        if round == 1 {
            until("the session is looked for in vain", || missed(&store) == 1).await;
        }
    }
    assert_eq!((taken(&store), server.echoed()), (1, 3));
    assert_eq!(other.close().await, 0, "nobody has heard it again");
    server.close().await;
    store.cache().validate();
}

#[tokio::test]
async fn of_two_copies_of_early_data_one_is_heard_and_the_other_client_shakes_hands_in_full() {
    let (store, identity) = (store(), Identity::new().unwrap());
    let server = Server::start(&store, &identity).unwrap();
    let other = Server::start(&store, &identity).unwrap();
    let client = client(&[&identity]).unwrap();
    assert!(!early(&client, server.address().unwrap()).await);

    // The copy overtakes the client's own packets.
    let (watched, elsewhere) = (store.clone(), other.address().unwrap());
    let overtake: Interception = Box::new(move |copy| {
        let watched = watched.clone();
        Box::pin(async move {
            let copyist = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            copyist.send_to(&copy, elsewhere).await.unwrap();
            until("the copy is looked at", || taken(&watched) == 1).await;
        })
    });
    let way = Way::to(server.address().unwrap(), Some(overtake)).await;
    assert!(!early(&client, way.address).await, "refused early, and served all the same");
    until("the copy is heard", || other.echoed() == 1).await;
    assert_eq!((server.echoed(), taken(&store), missed(&store)), (2, 1, 1));
    assert!(early(&client, server.address().unwrap()).await, "with a new session");
    other.close().await;
    server.close().await;
    store.cache().validate();
}
