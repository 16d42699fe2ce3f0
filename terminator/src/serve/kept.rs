//! Where a server keeps its sessions.

use std::sync::Arc;
use std::time::Duration;

use halfshake::session::SessionCache;

use crate::cli::{CacheKind, ServeArgs, TlsBackend};
use crate::endpoint::{Endpoint, EndpointSettings};
use crate::external::External;
use crate::sessions::{HalfshakeSessions, RustlsSessions};
use crate::setup_error::SetupError;

/// Whether the cache can keep what the other options ask for.
pub(super) fn check(args: &ServeArgs) -> Result<(), SetupError> {
    let beyond_rustls = [
        ("--tls-backend openssl", args.tls_backend == TlsBackend::OpenSsl),
        ("--client-ca", args.client_ca.is_some()),
        ("--external-dir", args.external_dir.is_some()),
    ];
    match beyond_rustls.into_iter().find(|(_, given)| *given) {
        Some((option, _)) if args.cache == CacheKind::Rustls => {
            Err(SetupError::BeyondRustlsCache { option })
        }
        _ => Ok(()),
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) enum Kept {
    Halfshake(HalfshakeSessions),
    /// In rustls's own cache. Each endpoint begins with an empty one: it cannot tell whether what
    /// it holds may be resumed under another certificate.
    Rustls {
        entries: u64,
    },
}

impl Kept {
    pub(super) fn new(
        args: &ServeArgs,
        external: Option<&Arc<External>>,
    ) -> Result<Self, SetupError> {
        let entries = args.cache_entries;
        match args.cache {
            CacheKind::Halfshake => {
                let timeout = Duration::from_secs(args.cache_timeout);
                HalfshakeSessions::new(entries, timeout, external).map(Self::Halfshake)
            }
            CacheKind::Rustls => Ok(Self::Rustls { entries }),
        }
    }

    /// This project's cache, if it is that one.
    pub(super) fn cache(&self) -> Option<&SessionCache<()>> {
        match self {
            Self::Halfshake(sessions) => Some(sessions.cache()),
            Self::Rustls { .. } => None,
        }
    }

    pub(super) fn endpoint(&self, settings: &EndpointSettings) -> Result<Endpoint, SetupError> {
        match self {
            Self::Halfshake(sessions) => settings.build(sessions),
            Self::Rustls { entries } => {
                settings.build_with_rustls(Arc::new(RustlsSessions::new(*entries)))
            }
        }
    }
}
