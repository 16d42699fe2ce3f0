//! What a server counts, in the form in which it is scraped.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::endpoint::handshake::{Failure, Kind, Version};

/// Labels of one finished handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HandshakeLabels {
    version: &'static str,
    kind: &'static str,
}

impl HandshakeLabels {
    pub(crate) fn new(version: Version, kind: Kind) -> Self {
        Self { version: version.name(), kind: kind.name() }
    }
}

/// Labels of one handshake that did not finish.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabels {
    reason: &'static str,
}

impl From<Failure> for FailureLabels {
    fn from(reason: Failure) -> Self {
        Self { reason: reason.name() }
    }
}

/// How often the certificate was read again.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: Counter,
    pub(crate) open: Gauge,
    pub(crate) handshakes: Family<HandshakeLabels, Counter>,
    pub(crate) failures: Family<FailureLabels, Counter>,
    pub(crate) lookups_over_budget: Counter,
    pub(crate) early_data_connections: Counter,
    pub(crate) early_data_bytes: Counter,
    pub(crate) upstream_failures: Counter,
    pub(crate) reloads: Reloads,
}

impl Counters {
    pub(crate) fn handshakes_of(&self, version: Version, kind: Kind) -> u64 {
        self.handshakes.get_or_create(&HandshakeLabels::new(version, kind)).get()
    }

    pub(crate) fn failures_of(&self, reason: Failure) -> u64 {
        self.failures.get_or_create(&reason.into()).get()
    }
}
