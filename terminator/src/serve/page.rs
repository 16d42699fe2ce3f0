//! The answer when there is no upstream: a page that says how this connection began.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::io::{self, Cursor};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt as _;

use super::server::Stop;
use crate::endpoint::handshake::{Begun, TlsStream};

/// How long a client may take over the head of a request, and be idle before it.
const HEADER_TIME: Duration = Duration::from_secs(30);

pub(super) async fn serve(
    stream: &mut dyn TlsStream,
    mut begun: Begun,
    stop: &Stop,
) -> io::Result<()> {
    let early_data = std::mem::take(&mut begun.early_data);
    let text = Bytes::from(describe(&begun, early_data.len()));
    let service =
        service_fn(move |_: Request<Incoming>| ready(Ok::<_, Infallible>(answer(text.clone()))));

    let (reader, writer) = tokio::io::split(stream);
    let io = tokio::io::join(Cursor::new(early_data).chain(reader), writer);
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        // A client that ends its side after the request still wants the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);

    // The TLS stream is not hyper's to close: the connection does it, cleanly.
    let ended = tokio::select! {
        ended = poll_fn(|context| http.poll_without_shutdown(context)) => Some(ended),
        () = stop.drain.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut http).graceful_shutdown();
            poll_fn(|context| http.poll_without_shutdown(context)).await
        }
    };
    ended.map_err(io::Error::other)
}

fn answer(text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(SERVER, HeaderValue::from_static("halfshake"));
    response
}

fn describe(begun: &Begun, early_bytes: usize) -> String {
    format!(
        "halfshake\n\
         resumed: {}\n\
         version: TLS {}\n\
         cipher: {}\n\
         server name: {}\n\
         client certificate: {}\n\
         early data: {early_bytes} bytes\n",
        if begun.kind.is_resumed() { "yes" } else { "no" },
        begun.version.name(),
        begun.cipher,
        begun.server_name.as_deref().unwrap_or("none"),
        begun.client.as_deref().unwrap_or("none"),
    )
}
