//! An OpenSSL server on tokio that never waits for its external store:
//! `cargo run --example openssl`, then `openssl s_client -connect 127.0.0.1:PORT -reconnect
//! -tls1_2`, or with `-sess_out` and `-sess_in` for TLS 1.3.
//!
//! What a client proposes is looked up before the handshake goes on, as a future; so one thread
//! serves everybody, however slow the store. The store here is a map, and answers after a moment.

use halfshake::RemovalCause;
use halfshake::openssl::{Options, attach, hello};
use halfshake::session::{Answer, Modes, Namespace, Purpose, Session, SessionCache, Verdict};
use openssl::pkey::PKey;
use openssl::ssl::{ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod};
use openssl::x509::X509;
use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

pub(crate) type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// An external store, of all servers that share it.
#[derive(Default)]
pub(crate) struct Store(Mutex<HashMap<Vec<u8>, Session>>);

impl Store {
    fn keep(&self, session: &Session) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session.id().as_bytes().to_vec(), session.clone());
    }

    /// What is single use is deleted as it is given.
    fn give(&self, id: &[u8], purpose: Purpose) -> Option<Session> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if purpose == Purpose::Resume { sessions.get(id).cloned() } else { sessions.remove(id) }
    }

    fn delete(&self, id: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// A cache over a store.
pub(crate) fn cache_over(store: &Arc<Store>) -> Done<SessionCache<()>> {
    // None in memory: another server may have taken what lies there.
    let modes = Modes::SERVER | Modes::NO_INTERNAL;
    let cache = SessionCache::builder()
        .capacity(100_000)
        .timeout(Duration::from_secs(7200))
        .modes(modes)
        .build()?;
    let (new, get, remove) = (store.clone(), store.clone(), store.clone());
    cache.set_new_callback(move |(), negotiated| {
        new.keep(negotiated.session());
        if negotiated.has_left() {
            new.delete(negotiated.session().id().as_bytes());
        }
        Verdict::Keep
    });
    cache.set_async_get_callback(move |(), asked| {
        let (store, id, purpose) = (get.clone(), asked.id().to_vec(), asked.purpose());
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            store.give(&id, purpose).map_or_else(Answer::unknown, Answer::handed_over)
        }
    });
    cache.set_remove_callback(move |gone| {
        // What memory alone has lost stays there.
        if !matches!(gone.cause(), RemovalCause::Evicted | RemovalCause::Shutdown) {
            remove.delete(gone.id());
        }
    });
    Ok(cache)
}

/// A server's settings, with a certificate of its own making.
pub(crate) fn context(cache: &SessionCache<()>) -> Done<SslContext> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    context.set_certificate(&*X509::from_der(made.cert.der())?)?;
    context.set_private_key(&*PKey::private_key_from_pkcs8(&made.signing_key.serialize_der())?)?;
    attach(&mut context, cache, Options::new(&Namespace::new(b"localhost")?).look_up_first())?;
    Ok(context.build())
}

/// Accepts, and looks up what the client proposes.
async fn accept(stream: &mut SslStream<TcpStream>) -> Result<(), openssl::ssl::Error> {
    loop {
        match Pin::new(&mut *stream).accept().await {
            Err(error) if error.code() == ErrorCode::WANT_CLIENT_HELLO_CB => {
                hello::look_up(stream.ssl()).await;
            }
            done => return done,
        }
    }
}

/// Serves one connection: says whether it was resumed, and echoes.
async fn serve(context: &SslContext, socket: TcpStream) -> Done<()> {
    let mut stream = SslStream::new(Ssl::new(context)?, socket)?;
    accept(&mut stream).await?;
    let resumed = stream.ssl().session_reused();
    stream.write_all(if resumed { b"resumed\n" } else { b"new\n" }).await?;
    let mut bytes = [0; 1024];
    loop {
        let len = stream.read(&mut bytes).await?;
        if len == 0 {
            break;
        }
        stream.write_all(&bytes[..len]).await?;
    }
    // A close without a notify would cost the client its session.
    stream.shutdown().await?;
    Ok(())
}

/// Serves whoever comes.
pub(crate) async fn run(listener: TcpListener, context: SslContext) -> Done<()> {
    loop {
        let (socket, peer) = listener.accept().await?;
        let context = context.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(&context, socket).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done<()> {
    let cache = cache_over(&Arc::default())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    run(listener, context(&cache)?).await
}
