//! Connections on rustls: a copy of the configuration for each, since rustls tells a session store
//! nothing about the connection that asks.

use std::io::{self, Read as _};
use std::sync::Arc;

use halfshake::rustls::Namespace;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream as RustlsStream;

use super::handshake::{Accepted, Begun, Failed, Failure, Kind, TlsStream, Version};
use super::{EndpointSettings, Presented, crypto, fingerprint};
use crate::cli::TlsVersion;
use crate::serve::counters::Counters;
use crate::sessions::{ConnectionStore, Sessions};
use crate::setup_error::SetupError;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Rustls {
    /// Without a session storage.
    config: ServerConfig,
    verifier: Arc<dyn ClientCertVerifier>,
    namespace: Namespace,
    sessions: Arc<dyn Sessions>,
}

impl Rustls {
    pub(super) fn new(
        settings: &EndpointSettings,
        presented: Presented,
        sessions: Arc<dyn Sessions>,
    ) -> Result<Self, SetupError> {
        let Presented { identity, client_ca, namespace } = presented;
        let verifier: Arc<dyn ClientCertVerifier> = match client_ca {
            None => Arc::new(NoClientAuth),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority).map_err(|error| settings.unusable_client_ca(&error))?;
                }
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto())
                    .build()
                    .map_err(|error| settings.unusable_client_ca(&error))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&versions(settings))
            .map_err(|error| SetupError::Tls { reason: error.to_string() })?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(identity.chain, identity.key)
            .map_err(|error| settings.certificate.explain(error))?;
        config.max_early_data_size = settings.early_data;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config, verifier, namespace, sessions })
    }

    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
        counters: &Counters,
    ) -> Result<Accepted, Failed> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await.map_err(failed)?;
        let (config, store) = self.for_connection();
        let finished = start.into_stream(config).await;
        counters.lookups_over_budget.inc_by(store.over_budget());
        let mut stream = finished.map_err(failed)?;
        self.look_again(stream.get_ref().1).map_err(|error| failed(io::Error::other(error)))?;
        let begun = begun(stream.get_mut().1).map_err(failed)?;
        Ok(Accepted { stream: Box::new(stream), begun })
    }

    /// A session was made with a certificate that was good then.
    fn look_again(&self, connection: &ServerConnection) -> Result<(), rustls::Error> {
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        match connection.peer_certificates() {
            Some([leaf, above @ ..]) if resumed => {
                self.verifier.verify_client_cert(leaf, above, UnixTime::now()).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn for_connection(&self) -> (Arc<ServerConfig>, Arc<dyn ConnectionStore>) {
        let store = self.sessions.for_connection(&self.namespace);
        let mut config = self.config.clone();
        config.session_storage = Arc::clone(&store) as _;
        (Arc::new(config), store)
    }
}

fn versions(settings: &EndpointSettings) -> Vec<&'static SupportedProtocolVersion> {
    [TlsVersion::Tls13, TlsVersion::Tls12]
        .into_iter()
        .filter(|version| (settings.oldest..=settings.newest).contains(version))
        .map(TlsVersion::rustls)
        .collect()
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
        client: connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| fingerprint(leaf)),
        early_data,
    })
}

fn failed(error: io::Error) -> Failed {
    let failure = match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => Failure::Tls,
        _ => Failure::Io,
    };
    Failed { failure, error }
}

impl TlsStream for RustlsStream<TcpStream> {
    fn tcp(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}
