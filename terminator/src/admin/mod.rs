//! The admin listener: `/metrics` for Prometheus and `/stats` for people and scripts.
//!
//! Plain HTTP, no authentication: it belongs on loopback or a private network.

mod cache_metrics;
mod external_metrics;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use halfshake::session::SessionCache;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use self::cache_metrics::CacheMetrics;
use self::external_metrics::ExternalMetrics;
use crate::endpoint::handshake::{Failure, Kind, Version};
use crate::external::External;
use crate::serve::counters::Counters;

const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");
const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HEADER_TIME: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What there is to tell.
struct Admin {
    registry: Registry,
    counters: Arc<Counters>,
    /// None if sessions are kept in another one.
    cache: Option<SessionCache<()>>,
    external: Option<Arc<External>>,
}

/// Answers until the task is aborted.
pub(crate) async fn serve(
    listener: TcpListener,
    counters: Arc<Counters>,
    cache: Option<SessionCache<()>>,
    external: Option<Arc<External>>,
) {
    let mut registry = registry(&counters);
    if let Some(cache) = &cache {
        let metrics = CacheMetrics { cache: cache.clone(), counters: Arc::clone(&counters) };
        registry.register_collector(Box::new(metrics));
        if let Some(external) = &external {
            let metrics = ExternalMetrics { cache: cache.clone(), external: Arc::clone(external) };
            registry.register_collector(Box::new(metrics));
        }
    }
    let admin = Arc::new(Admin { registry, counters, cache, external });
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                tokio::spawn(answer_connection(Arc::clone(&admin), tcp));
            }
            Err(error) => {
                tracing::warn!("cannot accept an admin connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer_connection(admin: Arc<Admin>, tcp: TcpStream) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = admin.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("admin connection ended early: {error}");
    }
}

impl Admin {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response =
                respond(StatusCode::METHOD_NOT_ALLOWED, TEXT_TYPE, "use GET\n".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => self.metrics(),
            "/stats" => respond(StatusCode::OK, JSON_TYPE, format!("{:#}\n", self.stats())),
            _ => respond(StatusCode::NOT_FOUND, TEXT_TYPE, "there are /metrics, /stats\n".into()),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut body = String::new();
        match text::encode(&mut body, &self.registry) {
            Ok(()) => respond(StatusCode::OK, METRICS_TYPE, body),
            Err(_) => respond(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT_TYPE,
                "the metrics cannot be written\n".into(),
            ),
        }
    }

    fn stats(&self) -> Value {
        let counters = &self.counters;
        let handshakes = |version| {
            json!({
                "full": counters.handshakes_of(version, Kind::Full),
                "resumed": counters.handshakes_of(version, Kind::Resumed),
            })
        };
        let failures: serde_json::Map<String, Value> = Failure::ALL
            .iter()
            .map(|&reason| (reason.name().to_owned(), counters.failures_of(reason).into()))
            .collect();
        let sessions = self.cache.as_ref().map(SessionCache::stats);
        let external = sessions.as_ref().zip(self.external.as_deref());
        json!({
            "connections": { "accepted": counters.connections.get(), "open": counters.open.get() },
            "handshakes": {
                "tls12": handshakes(Version::Tls12),
                "tls13": handshakes(Version::Tls13),
                "failed": failures,
            },
            "lookups_over_budget":
                sessions.as_ref().map(|stats| cache_metrics::lookups_over_budget(counters, stats)),
            "early_data": {
                "connections": counters.early_data_connections.get(),
                "bytes": counters.early_data_bytes.get(),
            },
            "cache": self.cache.as_ref().map(cache_metrics::json),
            "external": external.map(|(stats, external)| external_metrics::json(stats, external)),
            "upstream_failures": counters.upstream_failures.get(),
            "reloads": {
                "done": counters.reloads.done.get(),
                "failed": counters.reloads.failed.get(),
            },
        })
    }
}

fn respond(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn registry(counters: &Counters) -> Registry {
    // Each label exists from the start, at zero: a rate can be told from the first scrape on.
    for version in [Version::Tls12, Version::Tls13] {
        for kind in [Kind::Full, Kind::Resumed] {
            counters.handshakes_of(version, kind);
        }
    }
    for reason in Failure::ALL {
        counters.failures_of(reason);
    }
    let mut registry = Registry::default();
    registry.register("tls_connections", "Connections accepted", counters.connections.clone());
    registry.register("tls_connections_open", "Connections open now", counters.open.clone());
    registry.register("tls_handshakes", "Handshakes finished", counters.handshakes.clone());
    registry.register(
        "tls_handshake_failures",
        "Handshakes that did not finish",
        counters.failures.clone(),
    );
    registry.register(
        "tls_early_data_connections",
        "Connections whose early data was accepted",
        counters.early_data_connections.clone(),
    );
    registry.register(
        "tls_early_data_bytes",
        "Bytes of early data accepted",
        counters.early_data_bytes.clone(),
    );
    registry.register(
        "tls_upstream_failures",
        "Connections for which the upstream could not be reached",
        counters.upstream_failures.clone(),
    );
    registry.register(
        "tls_certificate_reloads",
        "Times the certificate was read again",
        counters.reloads.done.clone(),
    );
    registry.register(
        "tls_certificate_reload_failures",
        "Times the certificate could not be read again and the old one stayed",
        counters.reloads.failed.clone(),
    );
    registry
}
