//! Real handshakes of OpenSSL with itself, over a pair of sockets.
#![allow(dead_code, reason = "each test binary uses its own part")]

use halfshake::openssl::{Options, attach, hello};
use halfshake::session::{Answer, Modes, Namespace, Session, SessionCache, Verdict};
use openssl::ex_data::Index;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, ShutdownState, Ssl, SslContext, SslContextBuilder, SslMethod, SslSession,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

pub(crate) type Sessions = Arc<Mutex<Vec<SslSession>>>;

pub(crate) const TLS12: SslVersion = SslVersion::TLS1_2;
pub(crate) const TLS13: SslVersion = SslVersion::TLS1_3;
pub(crate) const BOTH: [SslVersion; 2] = [TLS12, TLS13];

pub(crate) fn cache() -> SessionCache<()> {
    let cache = SessionCache::builder().capacity(100).timeout(Duration::from_secs(300)).build();
    cache.expect("good settings")
}

pub(crate) fn name(of: &str) -> Namespace {
    Namespace::new(of.as_bytes()).expect("short")
}

/// A certificate, and its key.
fn identity() -> &'static (X509, PKey<openssl::pkey::Private>) {
    static MADE: OnceLock<(X509, PKey<openssl::pkey::Private>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
        let certificate = X509::from_der(made.cert.der()).expect("a certificate");
        let key = PKey::private_key_from_pkcs8(&made.signing_key.serialize_der()).expect("a key");
        (certificate, key)
    })
}

/// A server's settings, without a cache.
pub(crate) fn bare_server() -> SslContextBuilder {
    let mut context = SslContextBuilder::new(SslMethod::tls_server()).expect("memory");
    context.set_certificate(&identity().0).expect("a certificate");
    context.set_private_key(&identity().1).expect("a key");
    context
}

pub(crate) fn server<C: Send + Sync + 'static>(
    cache: &SessionCache<C>,
    options: Options<C>,
) -> SslContext {
    let mut context = bare_server();
    attach(&mut context, cache, options).expect("memory");
    context.build()
}

/// Lets a cache keep its sessions outside alone, in a store that deletes what it gives.
pub(crate) fn store_outside(cache: &SessionCache<()>) {
    let kept: Arc<Mutex<Vec<Session>>> = Arc::default();
    let keeps = kept.clone();
    cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL);
    cache.set_new_callback(move |(), new| {
        keeps.lock().expect("no panic under it").push(new.session().clone());
        Verdict::Keep
    });
    cache.set_get_callback(move |(), asked| {
        let mut kept = kept.lock().expect("no panic under it");
        let at = kept.iter().position(|session| session.id().as_bytes() == asked.id());
        at.map_or_else(Answer::unknown, |at| Answer::handed_over(kept.remove(at)))
    });
}

/// A client of one version, and the sessions that it is given.
pub(crate) struct Client {
    context: SslContext,
    given: Index<Ssl, Sessions>,
}

/// How a connection went.
pub(crate) struct Went {
    pub(crate) resumed: bool,
    /// What came as early data, if the server looked for it.
    pub(crate) early: Vec<u8>,
    /// The sessions that the client was given.
    pub(crate) sessions: Vec<SslSession>,
}

/// What the server does at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    ShutsDown,
    Drops,
}

impl Client {
    pub(crate) fn new(version: SslVersion) -> Self {
        Self::with(version, |_| ())
    }

    pub(crate) fn with(version: SslVersion, set: impl FnOnce(&mut SslContextBuilder)) -> Self {
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).expect("memory");
        context.set_min_proto_version(Some(version)).expect("a version");
        context.set_max_proto_version(Some(version)).expect("a version");
        context.set_verify(SslVerifyMode::NONE);
        context
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        set(&mut context);
        let given = Ssl::new_ex_index::<Sessions>().expect("memory");
        context.set_new_session_callback(move |ssl, session| {
            let sessions = ssl.ex_data(given).expect("set before the handshake");
            sessions.lock().expect("no test panics under it").push(session);
        });
        Self { context: context.build(), given }
    }

    /// Connects once, proposes a session, and says what it has to say as early data, if anything.
    pub(crate) fn connect(&self, server: &SslContext, session: Option<&SslSession>) -> Went {
        self.connect_with(server, session, b"", End::ShutsDown)
    }

    /// Offers the session with early data.
    pub(crate) fn says_early(&self, server: &SslContext, session: &SslSession) -> Went {
        self.connect_with(server, Some(session), b"GET /", End::ShutsDown)
    }

    /// A new session is resumed with its early data; its replay is not, and nothing is read of it.
    /// How the resumption went.
    pub(crate) fn says_early_once(&self, server: &SslContext) -> Went {
        let first = self.connect(server, None);
        let second = self.says_early(server, &first.sessions[0]);
        assert_eq!((second.resumed, &second.early[..]), (true, &b"GET /"[..]));
        let replay = self.says_early(server, &first.sessions[0]);
        assert_eq!((replay.resumed, &replay.early[..]), (false, &b""[..]));
        second
    }

    pub(crate) fn connect_with(
        &self,
        server: &SslContext,
        session: Option<&SslSession>,
        early: &[u8],
        end: End,
    ) -> Went {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let context = server.clone();
        let looks_for_early = !early.is_empty();
        let serving = thread::spawn(move || serve(&context, theirs, looks_for_early, end));
        let sessions = Sessions::default();
        let mut ssl = Ssl::new(&self.context).expect("memory");
        ssl.set_hostname("localhost").expect("a name");
        ssl.set_ex_data(self.given, sessions.clone());
        // A copy: OpenSSL's clients mark a TLS 1.3 session that they have proposed.
        let copy = session.map(|session| session.to_der().expect("memory"));
        if let Some(session) = copy.map(|der| SslSession::from_der(&der).expect("a session")) {
            // SAFETY: it was made by this context.
            #[expect(unsafe_code, reason = "the crate can't know whose session it is")]
            unsafe { ssl.set_session(&session) }.expect("a session");
        }
        let mut stream = SslStream::new(ssl, ours).expect("memory");
        if !early.is_empty() {
            assert_eq!(stream.write_early_data(early).expect("it is sent"), early.len());
        }
        stream.connect().expect("a handshake");
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b"hello");
        let resumed = stream.ssl().session_reused();
        if end == End::ShutsDown {
            // The server has gone, perhaps.
            let _ = stream.shutdown();
        }
        stream.ssl_mut_quiet();
        let (resumed_there, early) = serving.join().expect("the server has not panicked");
        assert_eq!(resumed, resumed_there, "the two do not agree");
        drop(stream);
        let sessions = std::mem::take(&mut *sessions.lock().expect("no test panics under it"));
        Went { resumed, early, sessions }
    }
}

trait Quiet {
    fn ssl_mut_quiet(&mut self);
}

impl Quiet for SslStream<UnixStream> {
    /// The client's session is good, however this ends.
    fn ssl_mut_quiet(&mut self) {
        self.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
    }
}

fn serve(context: &SslContext, socket: UnixStream, early: bool, end: End) -> (bool, Vec<u8>) {
    let ssl = Ssl::new(context).expect("memory");
    let mut stream = SslStream::new(ssl, socket).expect("memory");
    let mut came = Vec::new();
    if early {
        let mut buffer = [0; 1024];
        loop {
            match stream.read_early_data(&mut buffer) {
                Ok(0) => break,
                Ok(len) => came.extend_from_slice(&buffer[..len]),
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => break,
                Err(error) => looks_up(&stream, &error),
            }
        }
    }
    while let Err(error) = stream.accept() {
        looks_up(&stream, &error);
    }
    stream.write_all(b"hello").expect("it is sent");
    let resumed = stream.ssl().session_reused();
    if end == End::ShutsDown {
        let _ = stream.shutdown();
        let _ = stream.shutdown();
    }
    (resumed, came)
}

/// A handshake has stopped at its ClientHello. A panic of the get callback ends no server.
fn looks_up(stream: &SslStream<UnixStream>, error: &openssl::ssl::Error) {
    assert_eq!(error.code(), ErrorCode::WANT_CLIENT_HELLO_CB, "{error}");
    let look_up = || pollster::block_on(hello::look_up(stream.ssl()));
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look_up));
}
