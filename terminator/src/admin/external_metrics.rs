//! What became of sessions in files: the counters of the callbacks and of the directory.

use std::fmt;
use std::sync::Arc;

use halfshake::session::{Rejection, SessionCache, SessionStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Map, Value, json};

use crate::external::{External, Unopened};

/// Writes the metrics of the directory of one cache.
#[derive(Debug)]
pub(super) struct ExternalMetrics {
    pub(super) cache: SessionCache<()>,
    pub(super) external: Arc<External>,
}

impl Collector for ExternalMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.cache.stats();
        for (name, help, counts) in families(&stats, &self.external) {
            let mut metrics = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in counts {
                let labels = [("result", value)];
                ConstCounter::new(count).encode(metrics.encode_family(&labels)?)?;
            }
        }
        let files = i64::try_from(self.external.files()).unwrap_or(i64::MAX);
        let help = "Sessions in files now";
        let metric =
            encoder.encode_descriptor("tls_session_files", help, None, MetricType::Gauge)?;
        ConstGauge::new(files).encode(metric)
    }
}

type Counts = Vec<(&'static str, u64)>;

fn families(
    stats: &SessionStats,
    external: &External,
) -> [(&'static str, &'static str, Counts); 4] {
    [
        (
            "tls_session_external_lookups",
            "Look-ups outside the cache: all, and what they came to",
            lookups(stats).to_vec(),
        ),
        (
            "tls_session_external_rejections",
            "Sessions from outside the cache that were not used",
            rejections(stats).chain(unopened(external)).collect(),
        ),
        ("tls_session_file_changes", "Files, and what became of them", changes(external).to_vec()),
        (
            "tls_session_seal_key_reloads",
            "Times the seal keys were read again",
            reloads(external).to_vec(),
        ),
    ]
}

fn lookups(stats: &SessionStats) -> [(&'static str, u64); 7] {
    [
        ("asked", stats.asked),
        ("found", stats.found),
        ("used", stats.used),
        ("unknown", stats.unknown_outside),
        ("failed", stats.failed),
        ("timed_out", stats.timed_out),
        ("refused_by_breaker", stats.refused_by_breaker),
    ]
}

fn rejections(stats: &SessionStats) -> impl Iterator<Item = (&'static str, u64)> {
    Rejection::ALL.into_iter().map(|why| (why.name(), stats.rejected_for(why)))
}

/// Those that did not even open; the cache has heard of them as unknown.
fn unopened(external: &External) -> impl Iterator<Item = (&'static str, u64)> {
    let counters = external.counters();
    Unopened::ALL.into_iter().map(|why| (why.name(), counters.unopened_for(why)))
}

fn changes(external: &External) -> [(&'static str, u64); 6] {
    let counters = external.counters();
    [
        ("written", counters.written.get()),
        ("not_written_full", counters.full.get()),
        ("write_failed", counters.write_failures.get()),
        ("deleted", counters.deleted.get()),
        ("expired", counters.expired.get()),
        ("delete_failed", counters.delete_failures.get()),
    ]
}

fn reloads(external: &External) -> [(&'static str, u64); 2] {
    let counters = external.counters();
    [("done", counters.key_reloads.get()), ("failed", counters.key_reload_failures.get())]
}

/// The same for `/stats`.
pub(super) fn json(stats: &SessionStats, external: &External) -> Value {
    json!({
        "lookups": object(lookups(stats)),
        "rejected": object(rejections(stats)),
        "unopened": object(unopened(external)),
        "files": external.files(),
        "most_files": external.settings().most_files,
        "changes": object(changes(external)),
        "seal_key_reloads": object(reloads(external)),
    })
}

fn object(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect()
}
