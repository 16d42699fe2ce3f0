//! A QUIC echo server on quinn that resumes from a shared cache: `cargo run --example quic`.
//!
//! A client in the same process connects three times. The second time it resumes, and what it has
//! to say goes with its first packets (0-RTT); so it does the third time, although the server has
//! read a new certificate in between.
//!
//! Whoever has copied those packets can send them again: early data is otherwise only for what does
//! no harm when it is done twice. Here it is heard once, since the cache gives a TLS 1.3 session to
//! one taker: the same packets again find none, and what comes with them can't be read. That holds
//! for all servers on one cache (`tests/adapters/quic.rs`).

use halfshake::rustls::{ConnectionScope, Namespace, SessionStore, session_store};
use halfshake::session::SessionCache;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, Incoming, VarInt};
use rustls_0_23::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_0_23::version::TLS13;
use rustls_0_23::{ClientConfig, RootCertStore, ServerConfig};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LONGEST_MESSAGE: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done<()> {
    let cache =
        SessionCache::builder().capacity(100_000).timeout(Duration::from_secs(7200)).build()?;
    // Not the namespace of a server on TCP: neither is to resume sessions of the other.
    let store = session_store(&cache, &Namespace::new(b"localhost, QUIC")?);

    let (old, new) = (Identity::new()?, Identity::new()?);
    let client = client(&[&old, &new])?;
    let server = Server::start(&store, &old)?;
    for connection in 0..3 {
        if connection == 2 {
            server.reload(&new)?;
        }
        let early = visit(&client, server.address()?, b"hello").await?;
        println!("connection {connection}: 0-RTT {}", if early { "accepted" } else { "not" });
    }
    client.wait_idle().await;
    println!("messages: {}, sessions in the cache: {}", server.close().await, cache.len());
    Ok(())
}

/// A certificate for localhost, and its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Done<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        Ok(Self { certificate: made.cert.der().clone(), key })
    }

    fn server_config(&self) -> Done<ServerConfig> {
        let mut config = ServerConfig::builder_with_protocol_versions(&[&TLS13])
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        // QUIC bounds early data by itself: here it is all or nothing.
        config.max_early_data_size = u32::MAX;
        Ok(config)
    }
}

/// Sends back what it gets, until it is closed.
pub(crate) struct Server {
    endpoint: Endpoint,
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<SessionStore>,
    /// For connections that begin from now on.
    tls: Mutex<ServerConfig>,
    echoed: AtomicU64,
}

impl Server {
    pub(crate) fn start(store: &Arc<SessionStore>, identity: &Identity) -> Done<Self> {
        let tls = identity.server_config()?;
        let crypto = Arc::new(QuicServerConfig::try_from(tls.clone())?);
        let config = quinn::ServerConfig::with_crypto(crypto);
        let endpoint = Endpoint::server(config.clone(), (Ipv4Addr::LOCALHOST, 0).into())?;
        let shared =
            Shared { store: store.clone(), tls: Mutex::new(tls), echoed: AtomicU64::new(0) };
        let server = Self { endpoint, shared: Arc::new(shared) };
        tokio::spawn(accept(server.endpoint.clone(), config, server.shared.clone()));
        Ok(server)
    }

    /// New connections get another certificate. Sessions stay: they belong to the cache.
    pub(crate) fn reload(&self, identity: &Identity) -> Done<()> {
        *self.shared.tls.lock().unwrap_or_else(PoisonError::into_inner) =
            identity.server_config()?;
        Ok(())
    }

    pub(crate) fn address(&self) -> Done<SocketAddr> {
        Ok(self.endpoint.local_addr()?)
    }

    /// Messages that were sent back.
    pub(crate) fn echoed(&self) -> u64 {
        self.shared.echoed.load(Ordering::Relaxed)
    }

    /// Ends all connections, and waits until they have ended. How many messages there were.
    pub(crate) async fn close(self) -> u64 {
        self.endpoint.close(VarInt::from_u32(0), b"closing");
        self.endpoint.wait_idle().await;
        self.echoed()
    }
}

async fn accept(endpoint: Endpoint, config: quinn::ServerConfig, shared: Arc<Shared>) {
    while let Some(incoming) = endpoint.accept().await {
        let (config, shared) = (config.clone(), shared.clone());
        tokio::spawn(async move {
            let peer = incoming.remote_address();
            if let Err(error) = serve(incoming, config, &shared).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// rustls tells a session store nothing of the connection, so each one gets a store of its own.
fn with_own_store(
    config: quinn::ServerConfig,
    shared: &Shared,
) -> Done<(quinn::ServerConfig, Arc<ConnectionScope>)> {
    let mut tls = shared.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let scope = shared.store.connection(());
    tls.session_storage = scope.clone();
    let mut config = config;
    config.crypto = Arc::new(QuicServerConfig::try_from(tls)?);
    Ok((config, scope))
}

async fn serve(incoming: Incoming, config: quinn::ServerConfig, shared: &Shared) -> Done<()> {
    let (config, scope) = with_own_store(config, shared)?;
    // The look-up is made in here.
    let connecting = incoming.accept_with(Arc::new(config))?;
    // What comes early is answered early, before the client has proved that it is no copy.
    let Ok((connection, _)) = connecting.into_0rtt() else {
        return Err("a server can always answer early".into());
    };
    let ended = echo(&connection, shared).await;
    println!("look-ups: {}, found: {}", scope.lookups(), scope.hits());
    ended
}

async fn echo(connection: &Connection, shared: &Shared) -> Done<()> {
    loop {
        let (mut answer, mut message) = match connection.accept_bi().await {
            Ok(stream) => stream,
            Err(quinn::ConnectionError::ApplicationClosed(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let message = message.read_to_end(LONGEST_MESSAGE).await?;
        shared.echoed.fetch_add(1, Ordering::Relaxed);
        answer.write_all(&message).await?;
        answer.finish()?;
    }
}

/// A client that trusts these servers, and offers early data when it can.
pub(crate) fn client(trusted: &[&Identity]) -> Done<Endpoint> {
    let mut roots = RootCertStore::empty();
    for identity in trusted {
        roots.add(identity.certificate.clone())?;
    }
    let mut config = ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_early_data = true;
    let crypto = Arc::new(QuicClientConfig::try_from(config)?);
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(crypto));
    Ok(endpoint)
}

/// Says something, as early as it can, and once more when the handshake is over. Whether the
/// server took it early.
pub(crate) async fn visit(client: &Endpoint, server: SocketAddr, message: &[u8]) -> Done<bool> {
    let (connection, early) = match client.connect(server, "localhost")?.into_0rtt() {
        Ok((connection, accepted)) => {
            let answer = say(&connection, message).await;
            let accepted = accepted.await;
            // What was refused has not been heard.
            if accepted {
                answer?;
            }
            (connection, accepted)
        }
        Err(connecting) => (connecting.await?, false),
    };
    // The tickets come before the answer to this.
    say(&connection, message).await?;
    connection.close(VarInt::from_u32(0), b"done");
    Ok(early)
}

async fn say(connection: &Connection, message: &[u8]) -> Done<()> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(message).await?;
    send.finish()?;
    let answer = receive.read_to_end(LONGEST_MESSAGE).await?;
    if answer != message {
        return Err("the echo differs".into());
    }
    Ok(())
}
