//! The cache's own counters, read from it at each scrape.

use std::fmt;
use std::sync::Arc;

use halfshake::session::{SessionCache, SessionStats};
use halfshake::{RemovalCause, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Map, Value, json};

use crate::serve::counters::Counters;

/// Writes the metrics of one cache. It is a handle: it keeps the cache alive.
pub(super) struct CacheMetrics {
    pub(super) cache: SessionCache<()>,
    pub(super) counters: Arc<Counters>,
}

impl fmt::Debug for CacheMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheMetrics").finish_non_exhaustive()
    }
}

impl Collector for CacheMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.cache.stats();
        let over_budget = lookups_over_budget(&self.counters, &stats);
        for (name, help, count) in counters(&stats).into_iter().chain([over_budget_of(over_budget)])
        {
            let counter = ConstCounter::new(count);
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode(metric)?;
        }
        for family in families(&stats) {
            let mut metrics =
                encoder.encode_descriptor(family.name, family.help, None, MetricType::Counter)?;
            for (value, count) in family.counts {
                let labels = [(family.label, value)];
                ConstCounter::new(count).encode(metrics.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in gauges(&stats.engine) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge.encode(metric)?;
        }
        let (name, help) = LONGEST_PIN;
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(stats.engine.longest_pin.as_secs_f64()).encode(metric)
    }
}

/// Look-ups in the internal cache: not those that it makes for itself.
fn lookups(stats: &SessionStats) -> u64 {
    stats.internal_hits + stats.internal_misses + stats.internal_expired
}

/// The budgets of rustls's connections are their own; those of OpenSSL's, the cache's.
pub(super) fn lookups_over_budget(counters: &Counters, stats: &SessionStats) -> u64 {
    counters.lookups_over_budget.get() + stats.over_budget
}

fn over_budget_of(count: u64) -> (&'static str, &'static str, u64) {
    (
        "tls_session_lookups_over_budget",
        "Sessions that a ClientHello offered and nobody looked up, since it offered too many",
        count,
    )
}

fn counters(sessions: &SessionStats) -> [(&'static str, &'static str, u64); 6] {
    let stats = &sessions.engine;
    [
        ("tls_session_cache_lookups", "Look-ups of a session", lookups(sessions)),
        ("tls_session_cache_hits", "Look-ups that found a live session", sessions.internal_hits),
        ("tls_session_cache_inserts", "Sessions stored", stats.inserts),
        (
            "tls_session_cache_evictions",
            "Live sessions that made room for others",
            stats.removed_by(RemovalCause::Evicted),
        ),
        (
            "tls_session_cache_takes",
            "Single-use sessions handed out",
            stats.removed_by(RemovalCause::Taken),
        ),
        ("tls_session_cache_sweeps", "Full passes of the sweeper", stats.sweeps),
    ]
}

/// Counters of one meaning that differ in one label.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    counts: Vec<(&'static str, u64)>,
}

fn families(sessions: &SessionStats) -> [Family; 3] {
    let stats = &sessions.engine;
    [
        Family {
            name: "tls_session_cache_misses",
            help: "Look-ups that found no live session",
            label: "reason",
            counts: misses(sessions).to_vec(),
        },
        Family {
            name: "tls_session_cache_removals",
            help: "Sessions that left the cache",
            label: "cause",
            counts: removals(stats).collect(),
        },
        Family {
            name: "tls_session_cache_refusals",
            help: "Sessions that could not be stored",
            label: "reason",
            counts: refusals(stats).to_vec(),
        },
    ]
}

/// The one gauge that counts no things.
const LONGEST_PIN: (&str, &str) = (
    "tls_session_cache_longest_pin_seconds",
    "How long the longest reader of the present has been pinned",
);

fn gauges(stats: &Stats) -> [(&'static str, &'static str, u64); 6] {
    [
        ("tls_session_cache_entries", "Sessions held now", stats.entries),
        ("tls_session_cache_bytes", "Their weight in bytes", stats.bytes),
        ("tls_session_cache_capacity", "Most sessions held", stats.capacity),
        (
            "tls_session_cache_epoch_pending",
            "Removed sessions whose memory waits for readers",
            stats.retired_entries,
        ),
        ("tls_session_cache_epoch_pending_bytes", "Their weight in bytes", stats.retired_bytes),
        (
            "tls_session_cache_undelivered",
            "Removal events that were left to the cache's thread and are not delivered yet",
            stats.undelivered,
        ),
    ]
}

fn misses(stats: &SessionStats) -> [(&'static str, u64); 2] {
    [("unknown", stats.internal_misses), ("expired", stats.internal_expired)]
}

fn removals(stats: &Stats) -> impl Iterator<Item = (&'static str, u64)> {
    RemovalCause::ALL.into_iter().map(|cause| (cause.name(), stats.removed_by(cause)))
}

fn refusals(stats: &Stats) -> [(&'static str, u64); 4] {
    [
        ("no_room", stats.refused_no_room),
        ("full", stats.refused_full),
        ("too_large", stats.refused_too_large),
        ("closed", stats.refused_closed),
    ]
}

/// The same for `/stats`.
pub(super) fn json(cache: &SessionCache<()>) -> Value {
    let sessions = cache.stats();
    let stats = &sessions.engine;
    json!({
        "clock_s": cache.wall_now().as_secs(),
        "entries": stats.entries,
        "bytes": stats.bytes,
        "capacity": stats.capacity,
        "lookups": lookups(&sessions),
        "hits": sessions.internal_hits,
        "misses": object(misses(&sessions)),
        "inserted": stats.inserts,
        "removed": object(removals(stats)),
        "refused": object(refusals(stats)),
        "retired": { "entries": stats.retired_entries, "bytes": stats.retired_bytes },
        "longest_pin_ms": u64::try_from(stats.longest_pin.as_millis()).unwrap_or(u64::MAX),
        "undelivered": stats.undelivered,
        "sweeps": stats.sweeps,
    })
}

fn object(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect()
}
