//! The libraries that the program can terminate TLS with, and where they differ.

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Rustls,
    OpenSsl,
}

impl Backend {
    /// As `--tls-backend` wants it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rustls => "rustls",
            Self::OpenSsl => "openssl",
        }
    }

    /// New tickets that a TLS 1.3 client gets when it resumes; after a full handshake it is two.
    pub(crate) fn tickets_of_resumption(self) -> u64 {
        match self {
            Self::Rustls => 2,
            Self::OpenSsl => 1,
        }
    }
}
