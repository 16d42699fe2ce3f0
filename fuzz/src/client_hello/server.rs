//! Servers in memory over a session cache of ours, and what they answer.

use super::grammar::{Kept, Server};
use super::message::{APPLICATION_DATA, HANDSHAKE, Known, Live};
use halfshake::openssl::{Options, attach, hello};
use halfshake::rustls::{ConnectionScope, SessionStore, session_store};
use halfshake::session::{Answer, Namespace, Purpose, Session, SessionCache, Times};
use halfshake::{Maintenance, ManualClock};
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslStream,
};
use openssl::x509::X509;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use rustls_0_23 as rustls;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const CAPACITY: u64 = 64;
const DAY: Duration = Duration::from_secs(86_400);
/// In the past: what OpenSSL says of a session's end, by its own clock, is later than our end.
const TODAY: Duration = Duration::from_secs(1_700_000_000);
const A_MOMENT: Duration = Duration::from_millis(1);
const TLS13_VERSION: u16 = 0x0304;

/// A cache, the server over it, and sessions that its like has negotiated.
pub(crate) struct Place {
    pub(crate) cache: SessionCache<()>,
    clock: Arc<ManualClock>,
    outside: Arc<Mutex<Outside>>,
    host: Host,
    pub(crate) negotiated: &'static Negotiated,
}

/// What a client knows, and the same as the cache had it.
pub(crate) struct Negotiated {
    pub(crate) known: Known,
    sessions: Vec<Session>,
}

/// What the get callback has.
#[derive(Default)]
struct Outside {
    sessions: Vec<Session>,
    fails: bool,
}

enum Host {
    Rustls(Arc<SessionStore>, Arc<ServerConfig>),
    OpenSsl(SslContext),
}

/// What a server of that kind has negotiated, once and for all.
fn negotiated(server: Server) -> &'static Negotiated {
    static RUSTLS: LazyLock<Negotiated> = LazyLock::new(|| negotiate(Server::Rustls));
    static OPENSSL: LazyLock<Negotiated> = LazyLock::new(|| negotiate(Server::OpenSsl));
    static FIRST: LazyLock<Negotiated> = LazyLock::new(|| negotiate(Server::OpenSslFirst));
    match server {
        Server::Rustls => &RUSTLS,
        Server::OpenSsl => &OPENSSL,
        Server::OpenSslFirst => &FIRST,
    }
}

fn name() -> Namespace {
    Namespace::new(b"www").expect("short")
}

impl Place {
    /// A new one, which keeps the live sessions where they are to be.
    pub(crate) fn new(server: Server, kept: Kept) -> Self {
        let negotiated = negotiated(server);
        let clock = ManualClock::new();
        clock.set(TODAY);
        let outside = Arc::<Mutex<Outside>>::default();
        let cache = cache(&clock, &outside);
        let host = Host::new(server, &cache);
        let place = Self { cache, clock, outside, host, negotiated };
        place.keep(kept);
        place
    }

    fn keep(&self, kept: Kept) {
        let outside = |sessions, fails| {
            *self.outside.lock().unwrap_or_else(PoisonError::into_inner) =
                Outside { sessions, fails };
        };
        let fresh = |name: &Namespace, payload: &dyn Fn(&Session) -> Vec<u8>| {
            let again = |session: &Session| {
                self.cache.make(name, *session.id(), session.version(), &payload(session))
            };
            self.negotiated.sessions.iter().map(again).collect::<Vec<_>>()
        };
        let same = |session: &Session| session.payload().to_vec();
        let put = |session: Session| self.cache.add(&session).expect("there is room");
        match kept {
            Kept::Inside => fresh(&name(), &same).into_iter().for_each(put),
            Kept::Outside => outside(fresh(&name(), &same), false),
            Kept::Expired => {
                let end = self.cache.wall_now() + A_MOMENT;
                let dying = |session: Session| {
                    let begin = session.times().created();
                    session.with_times(Times::new(begin, end, end))
                };
                fresh(&name(), &same).into_iter().map(dying).for_each(put);
                self.clock.advance(A_MOMENT);
            }
            Kept::UnderAnotherName => {
                let other = Namespace::new(b"ww").expect("short");
                fresh(&other, &same).into_iter().for_each(put);
            }
            Kept::Nowhere => {}
            Kept::OutsideFails => outside(Vec::new(), true),
            Kept::OutsideDamaged(at, by) => {
                let damaged = |session: &Session| {
                    let mut payload = same(session);
                    let at = usize::from(at) % payload.len();
                    payload[at] ^= by;
                    payload
                };
                outside(fresh(&name(), &damaged), false);
            }
        }
    }

    pub(crate) fn connect(&self, budget: u64) -> Connection {
        self.host.connect(budget)
    }
}

fn cache(clock: &Arc<ManualClock>, outside: &Arc<Mutex<Outside>>) -> SessionCache<()> {
    let asked = outside.clone();
    SessionCache::<()>::builder()
        .capacity(CAPACITY)
        // OpenSSL has a time of its own, which goes on.
        .timeout(DAY)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        // How often it is asked is what is counted.
        .remember_unknown(0, Duration::ZERO)
        .breaker(0, Duration::ZERO)
        .get_callback(move |(), question| {
            let mut outside = asked.lock().unwrap_or_else(PoisonError::into_inner);
            if outside.fails {
                return Answer::failed();
            }
            let is_it = |session: &Session| session.id().as_bytes() == question.id();
            let Some(at) = outside.sessions.iter().position(is_it) else {
                return Answer::unknown();
            };
            if question.purpose() == Purpose::Take {
                return Answer::handed_over(outside.sessions.remove(at));
            }
            Answer::borrowed(&outside.sessions[at])
        })
        .build()
        .expect("good settings")
}

impl Host {
    fn new(server: Server, cache: &SessionCache<()>) -> Self {
        let options = Options::new(&name());
        let options = match server {
            Server::Rustls => {
                return Self::Rustls(session_store(cache, &name()), rustls_config().clone());
            }
            Server::OpenSsl => options,
            Server::OpenSslFirst => options.look_up_first(),
        };
        let mut context = SslContextBuilder::new(SslMethod::tls_server()).expect("memory");
        let (certificate, key) = openssl_identity();
        context.set_certificate(certificate).expect("a certificate");
        context.set_private_key(key).expect("a key");
        attach(&mut context, cache, options).expect("memory");
        Self::OpenSsl(context.build())
    }

    fn connect(&self, budget: u64) -> Connection {
        let (tls, scope) = match self {
            Self::Rustls(store, config) => {
                let scope = store.connection_with_budget((), budget);
                let mut config = (**config).clone();
                config.session_storage = scope.clone();
                let connection = ServerConnection::new(Arc::new(config)).expect("good settings");
                (Tls::Rustls(connection.into()), Some(scope))
            }
            Self::OpenSsl(context) => {
                let ssl = Ssl::new(context).expect("memory");
                (Tls::OpenSsl(SslStream::new(ssl, Wire::default()).expect("memory")), None)
            }
        };
        let may_be_silent = scope.is_none();
        Connection { tls, scope, said: Vec::new(), has_failed: false, may_be_silent }
    }
}

fn rustls_config() -> &'static Arc<ServerConfig> {
    static MADE: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
        let (certificate, key) = certificate();
        let config = ServerConfig::builder_with_provider(provider(|_| true))
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                PrivatePkcs8KeyDer::from(key.clone()).into(),
            );
        Arc::new(config.expect("a certificate"))
    });
    &MADE
}

fn openssl_identity() -> &'static (X509, PKey<Private>) {
    static MADE: LazyLock<(X509, PKey<Private>)> = LazyLock::new(|| {
        let (certificate, key) = certificate();
        let certificate = X509::from_der(certificate).expect("a certificate");
        (certificate, PKey::private_key_from_pkcs8(key).expect("a key"))
    });
    &MADE
}

/// Negotiates what a client knows, once for each version.
fn negotiate(server: Server) -> Negotiated {
    let clock = ManualClock::new();
    clock.set(TODAY);
    let cache = cache(&clock, &Arc::default());
    let host = Host::new(server, &cache);
    let mut all = Vec::new();
    for version in [&TLS13, &TLS12] {
        let mut client = client(version);
        let mut server = host.connect(0);
        while client.is_handshaking() || client.wants_write() {
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).expect("memory");
            }
            server.hears(&said);
            assert!(!server.has_failed, "the server has failed");
            let said = std::mem::take(&mut server.said);
            let mut rest = said.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("memory");
                client.process_new_packets().expect("a good handshake");
            }
        }
        // Taken out before the connection ends, and with it the session perhaps.
        let number = if *version == TLS13 { TLS13_VERSION } else { 0x0303 };
        all.extend(cache.sessions().filter(|session| session.version() == number));
        cache.flush_all();
    }
    let live = |session: &Session| Live {
        id: session.id().as_bytes().to_vec(),
        secret: match &host {
            Host::Rustls(..) => rustls_secret(session.payload()),
            Host::OpenSsl(_) => {
                let session = SslSession::from_der(session.payload()).expect("its own");
                let mut secret = vec![0; 64];
                let len = session.master_key(&mut secret);
                secret.truncate(len);
                secret
            }
        },
    };
    let versions: Vec<_> = all.iter().map(Session::version).collect();
    assert_eq!(versions, [TLS13_VERSION, TLS13_VERSION, 0x0303], "what was negotiated");
    let known = Known { tickets: [live(&all[0]), live(&all[1])], session: live(&all[2]) };
    Negotiated { known, sessions: all }
}

/// The secret in what rustls writes: behind the server name (a byte that announces it, its length),
/// version and suite.
fn rustls_secret(value: &[u8]) -> Vec<u8> {
    let [1, len, rest @ ..] = value else { panic!("a session without a server name") };
    let [_, _, _, _, len, rest @ ..] = &rest[usize::from(*len)..] else { panic!("no secret") };
    rest[..usize::from(*len)].to_vec()
}

/// One suite for each version: that of the hellos.
fn client(version: &'static SupportedProtocolVersion) -> ClientConnection {
    let suites = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ];
    let mut roots = RootCertStore::empty();
    roots.add(certificate().0.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(provider(|suite| suites.contains(&suite)))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("good settings")
}

fn provider(takes: impl Fn(CipherSuite) -> bool) -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| takes(suite.suite()));
    Arc::new(provider)
}

fn certificate() -> &'static (CertificateDer<'static>, Vec<u8>) {
    static MADE: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
        (made.cert.der().clone(), made.signing_key.serialize_der())
    });
    &MADE
}

/// A server's end of a connection.
pub(crate) struct Connection {
    tls: Tls,
    /// Of rustls: it counts look-ups.
    pub(crate) scope: Option<Arc<ConnectionScope>>,
    /// All that it has said.
    pub(crate) said: Vec<u8>,
    pub(crate) has_failed: bool,
    /// Whether it may have failed without an alert, as far as is known.
    pub(crate) may_be_silent: bool,
}

enum Tls {
    Rustls(Box<ServerConnection>),
    OpenSsl(SslStream<Wire>),
}

/// What has come and was not read yet, and what was written.
#[derive(Debug, Default)]
struct Wire {
    came: Vec<u8>,
    read: usize,
    written: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.came[self.read..];
        if rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// These bytes come.
    pub(crate) fn hears(&mut self, bytes: &[u8]) {
        if self.has_failed {
            return;
        }
        match &mut self.tls {
            Tls::Rustls(server) => {
                let mut rest = bytes;
                while !rest.is_empty() && !self.has_failed {
                    if server.read_tls(&mut rest).is_err() {
                        // Very many very small records: rustls has no room, and no alert for it.
                        (self.has_failed, self.may_be_silent) = (true, true);
                    } else if let Err(error) = server.process_new_packets() {
                        self.has_failed = true;
                        self.may_be_silent = is_silent(&error);
                    }
                }
                while server.wants_write() {
                    server.write_tls(&mut self.said).expect("memory");
                }
            }
            Tls::OpenSsl(server) => {
                server.get_mut().came.extend_from_slice(bytes);
                self.has_failed = !accepts(server);
                self.said.append(&mut server.get_mut().written);
            }
        }
    }

    /// Whether it resumes a session, as far as it knows.
    pub(crate) fn resumes(&self) -> bool {
        match &self.tls {
            Tls::Rustls(server) => server.handshake_kind() == Some(HandshakeKind::Resumed),
            Tls::OpenSsl(server) => server.ssl().session_reused(),
        }
    }

    /// The handshake messages that it has said in the clear.
    pub(crate) fn messages(&self) -> Vec<u8> {
        let plain = self.records().take_while(|(kind, _)| *kind != APPLICATION_DATA);
        plain.filter(|(kind, _)| *kind == HANDSHAKE).flat_map(|(_, body)| body).copied().collect()
    }

    /// The types of the records that it has said, and what they have.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.said.as_slice();
        std::iter::from_fn(move || {
            let ([kind, _, _, high, low], behind) = rest.split_first_chunk()?;
            let len = u16::from_be_bytes([*high, *low]);
            let (body, behind) = behind.split_at_checked(len.into()).expect("whole records");
            rest = behind;
            Some((*kind, body))
        })
    }
}

/// Errors for which rustls has no alert: the client's own, some of its deframer and its counters, a
/// second hello for another name, and a client that takes no signature of our key.
fn is_silent(error: &Error) -> bool {
    use rustls::InvalidMessage::HandshakePayloadTooLarge;
    use rustls::PeerMisbehaved as Peer;
    match error {
        Error::AlertReceived(_) | Error::InvalidMessage(HandshakePayloadTooLarge) => true,
        Error::General(what) => what == "incompatible signing key",
        Error::PeerMisbehaved(what) => matches!(
            what,
            Peer::MessageInterleavedWithHandshakeMessage
                | Peer::TooManyEmptyFragments
                | Peer::IllegalMiddleboxChangeCipherSpec
                | Peer::TooManyWarningAlertsReceived
                | Peer::ServerNameDifferedOnRetry
        ),
        _ => false,
    }
}

/// Whether the handshake goes on, or is done.
fn accepts(server: &mut SslStream<Wire>) -> bool {
    while let Err(error) = server.accept() {
        match error.code() {
            ErrorCode::WANT_READ => return true,
            ErrorCode::WANT_CLIENT_HELLO_CB => {
                let mut looks = pin!(hello::look_up(server.ssl()));
                let polled = looks.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert_eq!(polled, Poll::Ready(()), "the callback answers at once");
            }
            _ => return false,
        }
    }
    true
}
