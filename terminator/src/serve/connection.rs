//! One connection: handshake, service, clean close.
//!
//! The close matters for resumption. A client that sees the TCP connection end without a
//! close_notify may throw its session away, and a socket that is closed with unread bytes in it
//! sends a reset, which can destroy what the client has not read yet, tickets included. So the end
//! is: close_notify, then read (and drop) what still comes, for a bounded time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::counters::HandshakeLabels;
use super::server::{Server, Service, Stop};
use super::{page, proxy};
use crate::endpoint::handshake::{Accepted, Begun, Failed, Failure, TlsStream};

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long, and how much, the close reads after its own close_notify.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024;

pub(super) async fn serve(server: &Server, tcp: TcpStream, stop: &Stop) {
    // Small records that wait for a peer's acknowledgement make handshakes slow.
    let _ = tcp.set_nodelay(true);
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE_TIME, handshake(server, tcp)) => handshake,
        () = stop.cut.cancelled() => return,
    };
    let failure = match handshake {
        Ok(Ok(Accepted { mut stream, begun })) => {
            tokio::select! {
                () = provide(server, &mut *stream, begun, stop) => {}
                () = stop.cut.cancelled() => {}
            }
            close(stream).await;
            return;
        }
        Ok(Err(Failed { failure, error })) => {
            tracing::debug!("handshake failed: {error}");
            failure
        }
        Err(_) => Failure::Timeout,
    };
    server.counters().failures.get_or_create(&failure.into()).inc();
}

async fn handshake(server: &Server, tcp: TcpStream) -> Result<Accepted, Failed> {
    let counters = server.counters();
    let accepted = server.endpoint().accept(tcp, counters).await?;
    let begun = &accepted.begun;
    counters.handshakes.get_or_create(&HandshakeLabels::new(begun.version, begun.kind)).inc();
    if !begun.early_data.is_empty() {
        counters.early_data_connections.inc();
        counters.early_data_bytes.inc_by(begun.early_data.len() as u64);
    }
    Ok(accepted)
}

async fn provide(server: &Server, stream: &mut dyn TlsStream, begun: Begun, stop: &Stop) {
    let result = match server.service() {
        Service::Page => page::serve(stream, begun, stop).await,
        Service::Upstream(upstream) => proxy::serve(server, stream, upstream, &begun).await,
    };
    if let Err(error) = result {
        tracing::debug!("connection ended early: {error}");
    }
}

/// See the module's documentation. A failure here is the peer's, who has already gone.
async fn close(mut stream: Box<dyn TlsStream>) {
    let _ = timeout(LINGER_TIME, async {
        stream.shutdown().await?;
        read_and_drop(stream.tcp()).await
    })
    .await;
}

async fn read_and_drop(from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    tokio::io::copy(&mut from.take(LINGER_BYTES), &mut tokio::io::sink()).await.map(drop)
}
