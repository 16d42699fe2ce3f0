//! One listener's server: what its connections share, and the loop that accepts them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::counters::Counters;
use crate::endpoint::Endpoint;

/// An accept that failed for want of descriptors would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is done with the bytes of a connection once it is decrypted.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    /// A small page over HTTP/1.1.
    Page,
    /// A plain TCP connection to this HOST:PORT.
    Upstream(String),
}

/// The two steps of an end: first finish what has begun, then close.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    pub(crate) drain: CancellationToken,
    pub(crate) cut: CancellationToken,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Server {
    endpoint: ArcSwap<Endpoint>,
    service: Service,
    counters: Arc<Counters>,
    connections: TaskTracker,
    places: Arc<Semaphore>,
}

impl Server {
    pub(crate) fn new(endpoint: Endpoint, service: Service, max_connections: u32) -> Self {
        let places = usize::try_from(max_connections).unwrap_or(usize::MAX);
        Self {
            endpoint: ArcSwap::from_pointee(endpoint),
            service,
            counters: Arc::default(),
            connections: TaskTracker::new(),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(crate) fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// For a connection that begins now.
    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        self.endpoint.load_full()
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    /// Connections accepted from now on use `endpoint`; the others keep what they began with.
    pub(crate) fn replace_endpoint(&self, endpoint: Endpoint) {
        self.endpoint.store(Arc::new(endpoint));
    }

    /// Accepts until `stop.drain`; the listener is closed when this returns.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener, stop: Stop) {
        loop {
            let next = async {
                // A semaphore that is never closed always gives a permit.
                let place = Arc::clone(&self.places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = stop.drain.cancelled() => return,
            };
            match accepted {
                Ok((tcp, _)) => {
                    let server = Arc::clone(&self);
                    let stop = stop.clone();
                    self.connections.spawn(async move {
                        let _place = place;
                        server.counters.connections.inc();
                        server.counters.open.inc();
                        connection::serve(&server, tcp, &stop).await;
                        server.counters.open.dec();
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
