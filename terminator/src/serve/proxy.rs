//! The bytes of a connection to the upstream and back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::Server;
use crate::endpoint::handshake::{Begun, TlsStream};

/// An upstream that does not answer by then is down.
const CONNECT_TIME: Duration = Duration::from_secs(5);

pub(super) async fn serve(
    server: &Server,
    stream: &mut dyn TlsStream,
    upstream: &str,
    begun: &Begun,
) -> io::Result<()> {
    let connected = match timeout(CONNECT_TIME, TcpStream::connect(upstream)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let mut plain = match connected {
        Ok(plain) => plain,
        Err(error) => {
            server.counters().upstream_failures.inc();
            tracing::warn!("cannot reach the upstream {upstream}: {error}");
            return Err(error);
        }
    };
    let _ = plain.set_nodelay(true);
    plain.write_all(&begun.early_data).await?;
    copy_bidirectional(stream, &mut plain).await.map(drop)
}
