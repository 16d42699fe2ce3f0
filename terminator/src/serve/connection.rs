//! One connection: handshake, service, clean close.
//!
//! The close matters for resumption. A client that sees the TCP connection end without a
//! close_notify may throw its session away, and a socket that is closed with unread bytes in it
//! sends a reset, which can destroy what the client has not read yet, tickets included. So the end
//! is: close_notify, then read (and drop) what still comes, for a bounded time.

use std::io::{self, Read as _};
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::counters::{Failure, HandshakeLabels, Kind, Version};
use super::server::{Server, Service, Stop};
use super::{page, proxy};

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long, and how much, the close reads after its own close_notify.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024;

/// What the handshake of a connection came to.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) version: Version,
    pub(super) kind: Kind,
    pub(super) cipher: String,
    pub(super) server_name: Option<String>,
    /// Sent by the client before the handshake ended, and the beginning of its data.
    pub(super) early_data: Vec<u8>,
}

pub(super) async fn serve(server: &Server, tcp: TcpStream, stop: &Stop) {
    // Small records that wait for a peer's acknowledgement make handshakes slow.
    let _ = tcp.set_nodelay(true);
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE_TIME, handshake(server, tcp)) => handshake,
        () = stop.cut.cancelled() => return,
    };
    let failure = match handshake {
        Ok(Ok((mut stream, begun))) => {
            tokio::select! {
                () = provide(server, &mut stream, begun, stop) => {}
                () = stop.cut.cancelled() => {}
            }
            close(stream).await;
            return;
        }
        Ok(Err(error)) => {
            tracing::debug!("handshake failed: {error}");
            Failure::of(&error)
        }
        Err(_) => Failure::Timeout,
    };
    server.counters().failures.get_or_create(&failure.into()).inc();
}

async fn handshake(server: &Server, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, Begun)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let (config, store) = server.config_for_connection();
    let finished = start.into_stream(config).await;
    server.counters().lookups_over_budget.inc_by(store.over_budget());
    let mut stream = finished?;
    let begun = begun(stream.get_mut().1)?;
    let labels = HandshakeLabels::new(begun.version, begun.kind);
    server.counters().handshakes.get_or_create(&labels).inc();
    if !begun.early_data.is_empty() {
        server.counters().early_data_connections.inc();
        server.counters().early_data_bytes.inc_by(begun.early_data.len() as u64);
    }
    Ok((stream, begun))
}

fn begun(connection: &mut ServerConnection) -> io::Result<Begun> {
    let mut early_data = Vec::new();
    if let Some(mut reader) = connection.early_data() {
        // All of it is here: the client's Finished comes after its end of early data.
        reader.read_to_end(&mut early_data)?;
    }
    Ok(Begun {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
            _ => Version::Tls12,
        },
        kind: match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => Kind::Resumed,
            _ => Kind::Full,
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or_else(|| "unknown".into(), |suite| format!("{:?}", suite.suite())),
        server_name: connection.server_name().map(str::to_owned),
        early_data,
    })
}

async fn provide(server: &Server, stream: &mut TlsStream<TcpStream>, begun: Begun, stop: &Stop) {
    let result = match server.service() {
        Service::Page => page::serve(stream, begun, stop).await,
        Service::Upstream(upstream) => proxy::serve(server, stream, upstream, &begun).await,
    };
    if let Err(error) = result {
        tracing::debug!("connection ended early: {error}");
    }
}

/// See the module's documentation. A failure here is the peer's, who has already gone.
async fn close(mut stream: TlsStream<TcpStream>) {
    let _ = timeout(LINGER_TIME, async {
        stream.shutdown().await?;
        read_and_drop(stream.get_mut().0).await
    })
    .await;
}

async fn read_and_drop(from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    tokio::io::copy(&mut from.take(LINGER_BYTES), &mut tokio::io::sink()).await.map(drop)
}
