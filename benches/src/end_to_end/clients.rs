//! Many clients of one server: each remembers its own sessions, and they come in any order.

use anyhow::{Context, Result, anyhow, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup,
    SignatureScheme,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Two connections' worth.
const MOST_TICKETS: usize = 4;
/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// Sessions by their ids; a resumption makes no new one.
    #[serde(rename = "1.2")]
    Tls12,
    /// Tickets that stand for an entry: two for each connection, each good for one resumption.
    #[serde(rename = "1.3")]
    Tls13,
}

impl Version {
    /// In the order in which they are told of.
    pub const BOTH: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// Sessions that a full handshake makes.
    #[must_use]
    pub fn sessions(self) -> usize {
        match self {
            Self::Tls12 => 1,
            Self::Tls13 => 2,
        }
    }

    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// What became of some connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// By what the client saw.
    pub resumed: u64,
    /// From the first connect to the last close, in nanoseconds.
    pub wall: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Clients {
    address: SocketAddr,
    config: ClientConfig,
    memories: Vec<Arc<Memory>>,
    /// Connections at the same time.
    at_once: usize,
}

impl Clients {
    /// `count` clients that have never been there.
    ///
    /// # Errors
    /// If rustls can't be set up.
    pub fn new(address: SocketAddr, version: Version, count: usize) -> Result<Self> {
        let provider = Arc::new(ring_provider::default_provider());
        let version = match version {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .context("a client of this version")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth();
        let memories = (0..count).map(|_| Arc::default()).collect();
        // One by one where there is one client: it can't come twice at a time.
        Ok(Self { address, config, memories, at_once: count.min(4) })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.memories.len()
    }

    /// Those of these numbers come in this order, a few at the same time, and offer a session if
    /// they are to and have one. A connection is a handshake and its end.
    ///
    /// # Errors
    /// If a handshake fails.
    pub fn come(&self, order: &[usize], offer: bool) -> Result<Came> {
        let (next, resumed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Relaxed: the counters are all that the threads share; joining them orders the rest.
        let work = || -> Result<()> {
            while let Some(&client) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let was = self.connect(&self.memories[client], offer)?;
                resumed.fetch_add(usize::from(was), Ordering::Relaxed);
            }
            Ok(())
        };
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.at_once).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("a client panicked")).and_then(|worked| worked)
            })
        })?;
        let wall = u64::try_from(begun.elapsed().as_nanos())?;
        Ok(Came { resumed: resumed.into_inner().try_into()?, wall })
    }

    /// Whether it was resumed.
    fn connect(&self, memory: &Arc<Memory>, offer: bool) -> Result<bool> {
        let mut config = self.config.clone();
        let view = View { memory: Arc::clone(memory), offers: offer };
        config.resumption = Resumption::store(Arc::new(view));
        let name = ServerName::try_from("localhost").context("a name")?;
        let mut tls = ClientConnection::new(Arc::new(config), name)?;
        let mut tcp = TcpStream::connect(self.address).context("connecting")?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).context("a handshake")?;
        }
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut tcp).context("a close")?;
        }
        // To the server's end: tickets come after the handshake.
        while tls.read_tls(&mut tcp).context("the server's end")? != 0 {
            tls.process_new_packets()?;
        }
        let remembers = memory.lock(|held| held.tls12.is_some() || !held.tls13.is_empty());
        ensure!(remembers, "a client got no session");
        Ok(resumed)
    }
}

#[derive(Default)]
struct Memory(Mutex<Held>);

#[derive(Default)]
struct Held {
    tls12: Option<Tls12ClientSessionValue>,
    /// The newest one last; it is used first.
    tls13: VecDeque<Tls13ClientSessionValue>,
    group: Option<NamedGroup>,
}

impl Memory {
    fn lock<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// A memory as one connection sees it. rustls offers a session whenever there is one: where none is
/// to be offered, there is none.
#[derive(Debug)]
struct View {
    memory: Arc<Memory>,
    offers: bool,
}

impl ClientSessionStore for View {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.memory.lock(|held| held.group = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.memory.lock(|held| held.group)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.memory.lock(|held| held.tls12 = Some(value));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.memory.lock(|held| held.tls12.clone().filter(|_| self.offers))
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.memory.lock(|held| held.tls12 = None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.memory.lock(|held| {
            if held.tls13.len() == MOST_TICKETS {
                held.tls13.pop_front();
            }
            held.tls13.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.memory.lock(|held| if self.offers { held.tls13.pop_back() } else { None })
    }
}

/// Accepts the server's own certificate. Signatures are checked, as every client does.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
