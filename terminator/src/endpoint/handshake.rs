//! What a handshake comes to, whichever library made it.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Full,
    Resumed,
}

impl Kind {
    pub(crate) fn is_resumed(self) -> bool {
        self == Self::Resumed
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
        }
    }
}

/// How a connection has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    pub(crate) cipher: String,
    pub(crate) server_name: Option<String>,
    /// SHA-256 of the client's certificate, which was verified now or when the session was made.
    pub(crate) client: Option<String>,
    /// Sent by the client before the handshake ended, and the beginning of its data.
    pub(crate) early_data: Vec<u8>,
}

/// The decrypted side of a connection. A second shutdown does nothing.
pub(crate) trait TlsStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// What is below.
    fn tcp(&mut self) -> &mut TcpStream;
}

/// A handshake that has finished.
pub(crate) struct Accepted {
    pub(crate) stream: Box<dyn TlsStream>,
    pub(crate) begun: Begun,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// Why a handshake did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The peer does not speak TLS, or nothing that this server accepts.
    Tls,
    /// The connection ended.
    Io,
    Timeout,
}

impl Failure {
    pub(crate) const ALL: [Self; 3] = [Self::Tls, Self::Io, Self::Timeout];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Io => "io",
            Self::Timeout => "timeout",
        }
    }
}

/// A handshake that has not finished, with the library's own words.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) error: io::Error,
}
