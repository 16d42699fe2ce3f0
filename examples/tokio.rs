//! A TLS echo server on tokio, with a look-up budget for each connection:
//! `cargo run --example tokio`, then `openssl s_client -connect 127.0.0.1:PORT -reconnect -tls1_2`.
//!
//! rustls tells a session store nothing of the connection, so each one gets a clone of the
//! configuration (cheap: it is made of shared pointers) with a store of its own. That one also
//! tells the callbacks of the cache whose session it is.

use halfshake::rustls::{Namespace, SessionStore, session_store};
use halfshake::session::{SessionCache, Verdict};
use rustls_0_23::ServerConfig;
use rustls_0_23::pki_types::PrivateKeyDer;
use rustls_0_23::server::Acceptor;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

/// What the callbacks are told of a connection.
type Peer = Option<SocketAddr>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = SessionCache::<Peer>::builder()
        .capacity(100_000)
        .timeout(Duration::from_secs(7200))
        .new_callback(|peer, _| {
            println!("{peer:?} has a new session");
            Verdict::Keep
        })
        .build()?;
    let store = session_store(&cache, &Namespace::new(b"localhost")?);

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let (config, store) = (config.clone(), store.clone());
        tokio::spawn(async move {
            match echo(stream, config, &store, Some(peer)).await {
                Ok(summary) => println!("{peer}: {summary}"),
                Err(error) => eprintln!("{peer}: {error}"),
            }
        });
    }
}

async fn echo(
    stream: TcpStream,
    mut config: ServerConfig,
    store: &Arc<SessionStore<Peer>>,
    peer: Peer,
) -> Result<String, std::io::Error> {
    let scope = store.connection(peer);
    config.session_storage = scope.clone();
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let tls = hello.into_stream(Arc::new(config)).await?;
    let kind = tls.get_ref().1.handshake_kind();
    let (mut from, mut to) = split(tls);
    let bytes = copy(&mut from, &mut to).await?;
    // A close without a notify would cost the client its session.
    to.shutdown().await?;
    let (lookups, hits) = (scope.lookups(), scope.hits());
    Ok(format!("{kind:?}, {lookups} look-ups, {hits} found, {bytes} bytes echoed"))
}
