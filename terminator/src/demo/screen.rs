//! What was measured, on one screen.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;

use super::bare::Bare;
use super::contestant::Contestant;
use super::{CLIENTS, RESUME_PERCENT};

/// The numbers of one contestant that the screen compares.
#[derive(Debug)]
struct Figures {
    rate: f64,
    resumed_percent: f64,
    p50_ms: f64,
    p99_ms: f64,
    processor: Duration,
    cache: Duration,
    put: Histogram<u64>,
    look_up: Histogram<u64>,
}

impl Figures {
    fn of(contestant: &Contestant) -> Self {
        let tally = contestant.tally();
        let times = contestant.times();
        let each = |total: Duration| total.div_f64((tally.finished() as f64).max(1.0));
        let latency = tally.both();
        Self {
            rate: tally.rate(),
            resumed_percent: tally.resumed.len() as f64 * 100.0
                / (tally.finished() as f64).max(1.0),
            p50_ms: latency.value_at_quantile(0.5) as f64 / 1000.0,
            p99_ms: latency.value_at_quantile(0.99) as f64 / 1000.0,
            processor: each(contestant.processor_time()),
            cache: each(times.total()),
            put: times.put,
            look_up: times.look_up,
        }
    }

    fn share_percent(&self) -> f64 {
        self.cache.as_secs_f64() * 100.0 / self.processor.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

pub(super) fn show(halfshake: &Contestant, rustls: &Contestant, bare: &Bare) -> String {
    let (ours, theirs) = (Figures::of(halfshake), Figures::of(rustls));
    let mut text = format!("{}\n", table(&ours, &theirs, bare));
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "Same work on both: {CLIENTS} clients, {RESUME_PERCENT} % of the connections offer a \
         session, {} entries, full\n\
         from the start. Time in the cache is elapsed time: waiting for a lock or a processor \
         counts.\n\
         A handshake is mostly cryptography, which no cache makes faster. With halfshake at most \
         {:.1} % of\n\
         its processor time goes to the cache. rustls's own searches its entries one after \
         another at\n\
         each take, under a lock: that makes a handshake here cost {} more.",
        halfshake.entries(),
        ours.share_percent(),
        span(theirs.processor.saturating_sub(ours.processor)),
    );
    for (name, contestant) in [("halfshake", halfshake), ("rustls", rustls)] {
        for (error, times) in &contestant.tally().errors {
            let _ = write!(text, "\nFAILED with {name}: {times} x {error}");
        }
    }
    text
}

fn table(ours: &Figures, theirs: &Figures, bare: &Bare) -> Table {
    let mut table = Table::new();
    table.set_header(["", "halfshake", "rustls's own", "ratio"]);
    table.add_row([
        "handshakes per second".into(),
        format!("{:.0}", ours.rate),
        format!("{:.0}", theirs.rate),
        ratio(ours.rate, theirs.rate),
    ]);
    table.add_row([
        "resumed".into(),
        format!("{:.1} %", ours.resumed_percent),
        format!("{:.1} %", theirs.resumed_percent),
        String::new(),
    ]);
    table.add_row([
        "latency p50 / p99".into(),
        format!("{:.1} / {:.1} ms", ours.p50_ms, ours.p99_ms),
        format!("{:.1} / {:.1} ms", theirs.p50_ms, theirs.p99_ms),
        ratio(theirs.p50_ms, ours.p50_ms),
    ]);
    table.add_row([
        "processor time per handshake".into(),
        span(ours.processor),
        span(theirs.processor),
        ratio(theirs.processor.as_secs_f64(), ours.processor.as_secs_f64()),
    ]);
    table.add_row([
        "time in the cache per handshake".into(),
        span(ours.cache),
        span(theirs.cache),
        ratio(theirs.cache.as_secs_f64(), ours.cache.as_secs_f64()),
    ]);
    for (name, our_times, their_times) in
        [("one put", &ours.put, &theirs.put), ("one take", &ours.look_up, &theirs.look_up)]
    {
        table.add_row([
            format!("  {name}, p50 / p99"),
            quantiles(our_times),
            quantiles(their_times),
            ratio(median(their_times).as_secs_f64(), median(our_times).as_secs_f64()),
        ]);
    }
    table.add_row([
        format!("cache alone: cycles/s, {} threads", bare.threads),
        format!("{:.0}", bare.halfshake),
        format!("{:.0}", bare.rustls),
        ratio(bare.halfshake, bare.rustls),
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// How many times better; nothing where one was not measured.
fn ratio(better: f64, worse: f64) -> String {
    if better > 0.0 && worse > 0.0 { format!("{:.1}x", better / worse) } else { "-".into() }
}

fn quantiles(times: &Histogram<u64>) -> String {
    format!(
        "{} / {}",
        span(median(times)),
        span(Duration::from_nanos(times.value_at_quantile(0.99)))
    )
}

fn median(times: &Histogram<u64>) -> Duration {
    Duration::from_nanos(times.value_at_quantile(0.5))
}

/// A duration with the unit that suits it.
fn span(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.1} µs") } else { format!("{:.2} ms", micros / 1000.0) }
}
