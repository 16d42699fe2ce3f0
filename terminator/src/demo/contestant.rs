//! One cache in the demonstration: a server over it, and what its clients saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use halfshake::rustls::Namespace;
use indicatif::ProgressBar;
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::ServerName;
use rustls::server::StoresServerSessions;
use tokio::time::Instant;

use super::timed::{TimedSessions, Times};
use super::{CLIENTS, HOME, RESUME_PERCENT};
use crate::certs::CertSource;
use crate::cli::{TlsBackend, TlsVersion};
use crate::endpoint::EndpointSettings;
use crate::load::plan::{Plan, Share};
use crate::load::tally::Tally;
use crate::load::worker;
use crate::serve::bind;
use crate::serve::server::{Server, Service, Stop};
use crate::sessions::{HalfshakeSessions, RustlsSessions, Sessions};
use crate::setup_error::SetupError;

/// As long as what rustls stores for a TLS 1.3 session without a client certificate.
const VALUE_BYTES: usize = 81;
/// Longer than any demonstration.
const TIMEOUT: Duration = Duration::from_secs(7200);
/// Both caches begin full of the same entries.
const SEED: u64 = 0x5e55_1045;

#[derive(Debug)]
pub(super) struct Contestant {
    sessions: Arc<dyn Sessions>,
    timed: Arc<TimedSessions>,
    plan: Plan,
    tally: Tally,
    processor_time: Duration,
    entries: u64,
}

impl Contestant {
    pub(super) async fn halfshake(entries: u64) -> Result<Self, SetupError> {
        Self::new(Arc::new(HalfshakeSessions::new(entries, TIMEOUT, None)?), entries).await
    }

    pub(super) async fn rustls(entries: u64) -> Result<Self, SetupError> {
        Self::new(Arc::new(RustlsSessions::new(entries)), entries).await
    }

    /// Fills the cache and starts a server over it on a free port; it runs until the program ends.
    async fn new(sessions: Arc<dyn Sessions>, entries: u64) -> Result<Self, SetupError> {
        let store = sessions.for_connection(&strangers());
        let mut random = fastrand::Rng::with_seed(SEED);
        // A quarter more than it holds: then no corner of it is empty.
        for _ in 0..entries + entries / 4 {
            store.put(random_bytes(&mut random, 32), random_bytes(&mut random, VALUE_BYTES));
        }

        let timed = Arc::new(TimedSessions::new(Arc::clone(&sessions)));
        let endpoint = EndpointSettings {
            backend: TlsBackend::Rustls,
            certificate: CertSource::SelfSigned { listen: HOME },
            client_ca: None,
            oldest: TlsVersion::Tls13,
            newest: TlsVersion::Tls13,
            early_data: 0,
        }
        .build_with_rustls(Arc::clone(&timed) as _)?;
        let listener = bind("demo", SocketAddr::new(HOME, 0)).await?;
        let address = listener.local_addr().map_err(|source| SetupError::Listen {
            option: "demo",
            address: SocketAddr::new(HOME, 0),
            source,
        })?;
        let server = Arc::new(Server::new(endpoint, Service::Page, 4 * CLIENTS));
        tokio::spawn(server.accept(listener, Stop::default()));

        let plan = Plan {
            target: address.to_string(),
            addresses: vec![address],
            server_name: ServerName::try_from("localhost")
                .map_err(|error| SetupError::Tls { reason: error.to_string() })?,
            version: TlsVersion::Tls13,
            resume_percent: RESUME_PERCENT,
            time_limit: Duration::from_secs(10),
            send_request: false,
        };
        let tally = Tally::new();
        Ok(Self { sessions, timed, plan, tally, processor_time: Duration::ZERO, entries })
    }

    pub(super) async fn take_turn(&mut self, time: Duration) -> Result<(), SetupError> {
        let processor_begin = processor_time();
        let share = Share::Until(Instant::now() + time);
        let tally = worker::run_all(&self.plan, CLIENTS, share, &ProgressBar::hidden()).await?;
        self.processor_time += processor_time().saturating_sub(processor_begin);
        self.tally.add(&tally);
        Ok(())
    }

    /// Drops what was measured, not the sessions.
    pub(super) fn forget(&mut self) {
        self.tally = Tally::new();
        self.processor_time = Duration::ZERO;
        self.timed.forget();
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn times(&self) -> Times {
        self.timed.times()
    }

    /// Of all threads of this process, clients and server together.
    pub(super) fn processor_time(&self) -> Duration {
        self.processor_time
    }

    /// The cache without the wrapper and without TLS.
    pub(super) fn bare_store(&self) -> Arc<dyn StoresServerSessions> {
        self.sessions.for_connection(&strangers())
    }
}

/// The namespace of entries that no client of the demonstration asks for.
fn strangers() -> Namespace {
    Namespace::new(b"strangers").expect("a namespace may have nine bytes")
}

pub(super) fn random_bytes(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
