//! Sessions looked up before the handshake goes on, so that no thread waits for an external store.
//!
//! With [`Options::look_up_first`](super::Options::look_up_first) a handshake that proposes a
//! session which is not in the internal cache stops at its ClientHello (`WANT_CLIENT_HELLO_CB`).
//! Then [`look_up`] asks the get callback, as a future; afterwards the handshake goes on, and
//! OpenSSL is given what was found. With `tokio-openssl`:
//!
//! ```
//! # use openssl::ssl::{Error, ErrorCode, Ssl};
//! # use std::pin::Pin;
//! # type Stream = tokio_openssl::SslStream<tokio::net::TcpStream>;
//! async fn accept(stream: &mut Stream) -> Result<(), Error> {
//!     loop {
//!         match Pin::new(&mut *stream).accept().await {
//!             Err(error) if error.code() == ErrorCode::WANT_CLIENT_HELLO_CB => {
//!                 halfshake::openssl::hello::look_up(stream.ssl()).await;
//!             }
//!             done => return done,
//!         }
//!     }
//! }
//! ```
//!
//! A server that takes early data has `read_early_data` stop in the same way.
//!
//! What is asked for: the session id of TLS 1.2 and older, or the identities of a TLS 1.3 hello, up
//! to the first that is found, and within the budget of one ClientHello. A hello of TLS 1.3 that
//! proposes nothing costs nothing, though it has a session id, too, made up for old middleboxes.

use super::callbacks::{Attached, without_panic};
use super::fetch::{Fetch, Known};
use super::{connection, sys};
use crate::session::SessionId;
use openssl::error::ErrorStack;
use openssl::ssl::{ClientHelloResponse, SslAlert, SslContextBuilder, SslRef};
use std::panic::resume_unwind;
use std::sync::Arc;

const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;
/// More identities than this are not looked at: the budget of a ClientHello is smaller.
const MOST: usize = 16;

/// The embedder's own callback for the ClientHello.
pub(super) type OwnCallback =
    dyn Fn(&mut SslRef, &mut SslAlert) -> Result<ClientHelloResponse, ErrorStack> + Send + Sync;

/// Looks up what the ClientHello of a connection proposes, which has stopped for that
/// (`WANT_CLIENT_HELLO_CB`). Afterwards accept once more. Dropped half-way, it is begun again then.
///
/// # Panics
/// If the get callback or its future does; the next accept goes on without any session.
pub async fn look_up(ssl: &SslRef) {
    let fetch = connection::with(ssl, |state| state.fetch.take()).flatten();
    let Some(fetch) = fetch else { return };
    let (known, done) = fetch.done().await;
    connection::with(ssl, |state| state.known = known);
    if let Err(panic) = done {
        resume_unwind(panic);
    }
}

/// Sets the callback for the ClientHello.
pub(super) fn set<C: Send + Sync + 'static>(
    context: &mut SslContextBuilder,
    attached: Arc<Attached<C>>,
    own: Arc<OwnCallback>,
) {
    context.set_client_hello_callback(move |ssl, alert| {
        let response = without_panic(|| own(ssl, alert));
        let response = response.unwrap_or_else(|| Err(ErrorStack::get()))?;
        if response != ClientHelloResponse::SUCCESS {
            return Ok(response);
        }
        let stops = without_panic(|| attached.stops(ssl)).unwrap_or(false);
        Ok(if stops { ClientHelloResponse::RETRY } else { ClientHelloResponse::SUCCESS })
    });
}

impl<C: Send + Sync + 'static> Attached<C> {
    /// Whether something has to be looked up first.
    fn stops(self: &Arc<Self>, ssl: &mut SslRef) -> bool {
        let random = ssl.client_hello_random().and_then(|random| random.try_into().ok());
        let Some(()) = random.and_then(|random| connection::begin(ssl, random)) else {
            return false;
        };
        // The second ClientHello of a handshake resumes what the first one was given.
        if connection::with(ssl, |state| state.given.is_some()) == Some(true) {
            return false;
        }
        let asks = self.cache.get_callback().is_some() || self.cache.async_get_callback().is_some();
        let (version, proposed) = if asks { Self::proposed(ssl) } else { return false };
        let known = |id: &SessionId| {
            let known = connection::with(ssl, |state| {
                let known = state.known.iter().find(|(known, _)| known == id);
                known.map(|(_, session)| session.is_some())
            });
            known.flatten()
        };
        let namespace = self.namespace(ssl).proposing(version);
        let mut left = proposed.into_iter().skip_while(|id| known(id) == Some(false)).peekable();
        let next = left.peek();
        let unknown = next
            .filter(|id| known(id).is_none() && !self.cache.is_inside(&namespace, id.as_bytes()));
        if unknown.is_none() {
            return false;
        }
        let (context, ids) = ((self.describe)(ssl), left.collect::<Vec<_>>());
        let (attached, single_use) = (self.clone(), self.is_single_use(version));
        let asked = ids.clone();
        let look_up = Box::pin(async move {
            let hello = attached.cache.hello(&context, &namespace);
            let mut known = Known::new();
            for id in ids {
                let found = if single_use {
                    hello.take_async(id.as_bytes()).await.map(|found| found.to_session())
                } else {
                    hello.resume_async(id.as_bytes()).await.map(|found| found.to_session())
                };
                let done = found.is_some();
                known.push((id, found));
                if done {
                    break;
                }
            }
            known
        });
        let fetch = Fetch { ids: asked, look_up };
        connection::with(ssl, |state| state.fetch.replace(fetch)).is_some()
    }

    /// What a ClientHello proposes, and for which version.
    fn proposed(ssl: &SslRef) -> (u16, Vec<SessionId>) {
        let extension = |kind| sys::client_hello_extension(ssl, kind);
        let offers_tls13 = extension(SUPPORTED_VERSIONS).is_some_and(offers_tls13);
        if offers_tls13 && sys::speaks_tls13(ssl) {
            let identities = extension(PRE_SHARED_KEY).and_then(identities).unwrap_or_default();
            return (TLS13, identities);
        }
        let id = ssl.client_hello_session_id().and_then(|id| SessionId::new(id).ok());
        (TLS12, id.into_iter().collect())
    }
}

/// Whether TLS 1.3 is among these (RFC 8446, 4.2.1).
fn offers_tls13(versions: &[u8]) -> bool {
    let versions = versions.split_first().map_or(&[][..], |(_, versions)| versions);
    versions.chunks_exact(2).any(|version| version == TLS13.to_be_bytes())
}

/// The identities that may be session ids (RFC 8446, 4.2.11); `None` if they are cut off. OpenSSL
/// checks them once more.
fn identities(mut offered: &[u8]) -> Option<Vec<SessionId>> {
    let mut list = take(&mut offered)?;
    let mut ids = Vec::new();
    while !list.is_empty() && ids.len() < MOST {
        let identity = take(&mut list)?;
        // The ticket's age.
        list = list.get(4..)?;
        if identity.len() <= 32 {
            ids.extend(SessionId::new(identity));
        }
    }
    Some(ids)
}

/// Bytes whose number stands before them.
fn take<'b>(from: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, rest) = from.split_first_chunk()?;
    let (taken, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_up_to_where_they_are_cut_off() {
        let one = |id: &[u8]| {
            let len = u16::try_from(id.len()).unwrap().to_be_bytes();
            [&len[..], id, &[0; 4]].concat()
        };
        let all = [one(&[1; 32]), one(&[2; 33]), one(&[]), one(&[3])].concat();
        let offered = [&u16::try_from(all.len()).unwrap().to_be_bytes()[..], &all].concat();
        let ids: Vec<_> = [&[1; 32][..], &[3]].map(|id| SessionId::new(id).unwrap()).into();
        assert_eq!(identities(&offered), Some(ids));
        for len in 0..offered.len() {
            assert_eq!(identities(&offered[..len]), None, "{len}");
        }
    }

    #[test]
    fn versions_are_told_apart() {
        assert!(offers_tls13(&[4, 3, 3, 3, 4]) && offers_tls13(&[2, 3, 4]));
        assert!(!offers_tls13(&[4, 3, 3, 3, 2]) && !offers_tls13(&[]) && !offers_tls13(&[1, 3]));
    }
}
