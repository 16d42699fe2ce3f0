//! What a run looked like, window by window, and whether it stayed as it was.

use std::fmt::{Display, Formatter, Write as _};
use std::path::Path;

/// One window between two checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// Since the beginning of the run, at the end of the window.
    pub(crate) seconds: f64,
    /// Since the beginning of the run.
    pub(crate) operations: u64,
    /// In this window, for each second of load.
    pub(crate) rate: f64,
    pub(crate) resident_kib: u64,
    /// What the allocator has handed out, and nobody has given back.
    pub(crate) held_kib: u64,
    /// Of the calls that were timed.
    pub(crate) median_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    /// The most that was seen waiting for readers, of all caches.
    pub(crate) retired_bytes: u64,
    pub(crate) entries: u64,
    pub(crate) events: u64,
    pub(crate) refused: u64,
}

/// Windows at the beginning that count as warming up: a fifth, but some in any case, unless there
/// are hardly more.
const FEWEST_WARM: usize = 6;

pub(crate) fn warm(windows: &[Window]) -> &[Window] {
    let is_short = windows.len() <= 2 * FEWEST_WARM;
    &windows[if is_short { 0 } else { (windows.len() / 5).max(FEWEST_WARM) }..]
}

/// A straight line through points: how steep it is, and how sure that is: a standard error, larger
/// where points are like the ones before (a first-order autoregression).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slope {
    pub(crate) slope: f64,
    pub(crate) error: f64,
}

pub(crate) fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    if points.len() < 3 {
        return None;
    }
    let n = exact(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread;
    let off: Vec<f64> = points.iter().map(|p| p.1 - y - slope * (p.0 - x)).collect();
    let rest: f64 = off.iter().map(|off| off * off).sum();
    let alike = off.windows(2).map(|two| two[0] * two[1]).sum::<f64>() / rest;
    // Not a number where all lie on the line.
    let alike = if alike > 0.0 { alike.min(MOST_ALIKE) } else { 0.0 };
    let fewer = (1.0 + alike) / (1.0 - alike);
    Some(Slope { slope, error: (rest / (n - 2.0) / spread * fewer).sqrt() })
}

/// Nothing is so regular that it counts for no point at all.
const MOST_ALIKE: f64 = 0.95;

/// A gauge of memory, in KiB.
pub(crate) type Gauge = fn(&Window) -> u64;
/// Resident memory has what the allocator keeps for itself, and what was not had from it.
pub(crate) const RESIDENT: Gauge = |window| window.resident_kib;
pub(crate) const HELD: Gauge = |window| window.held_kib;

/// In MiB per ten minutes.
fn memory_slope(windows: &[Window], gauge: Gauge) -> Option<Slope> {
    let point = |w: &Window| (w.seconds / 600.0, exact(gauge(w)) / 1024.0);
    slope(&warm(windows).iter().map(point).collect::<Vec<_>>())
}

/// A run that is shorter says nothing about growth.
const LEAST_TO_JUDGE: f64 = 600.0;
/// Most MiB that memory may grow in ten minutes.
const MOST_GROWTH: f64 = 1.0;
/// Most that its slope may be unsure of: what grows by three times as much as it may is seen in all
/// but one run of forty.
const MOST_ERROR: f64 = 0.5;

/// What a run says about its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Memory {
    TooShort,
    /// It seems flat, and so would some that grows.
    TooNoisy(Slope),
    Flat(Slope),
    /// By more than it may, also if two errors are taken off.
    Grows(Slope),
}

impl Memory {
    pub(crate) fn of(windows: &[Window], gauge: Gauge) -> Self {
        let lasted = windows.last().map_or(0.0, |last| last.seconds);
        match memory_slope(windows, gauge).filter(|_| lasted >= LEAST_TO_JUDGE) {
            None => Self::TooShort,
            Some(found) if found.slope - 2.0 * found.error > MOST_GROWTH => Self::Grows(found),
            Some(found) if found.error <= MOST_ERROR => Self::Flat(found),
            Some(found) => Self::TooNoisy(found),
        }
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort => write!(f, "not judged: too short"),
            Self::TooNoisy(found) => write!(f, "not judged: too noisy ({found})"),
            Self::Flat(found) => {
                write!(f, "{found} (surely more than {MOST_GROWTH:.0} is refused)")
            }
            Self::Grows(found) => write!(f, "grows: {found}"),
        }
    }
}

impl Display for Slope {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.2} ± {:.2} MiB in 10 min", self.slope, self.error)
    }
}

/// Of some windows, the one in the middle.
pub(crate) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// The p99.9 of the first and of the last third.
pub(crate) fn drift(windows: &[Window]) -> (u64, u64) {
    let warm = warm(windows);
    let third = (warm.len() / 3).max(1).min(warm.len());
    let of = |windows: &[Window]| median(windows.iter().map(|w| w.p999_ns).collect());
    (of(&warm[..third]), of(&warm[warm.len() - third..]))
}

#[expect(clippy::cast_precision_loss, reason = "what is counted here is exact in a double")]
pub(crate) fn exact(n: u64) -> f64 {
    n as f64
}

/// What this process holds of the machine's memory.
pub(crate) fn resident_kib() -> u64 {
    // Without it, no memory would ever grow.
    let status = std::fs::read_to_string("/proc/self/status").expect("memory can be judged");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.expect("a line VmRSS with a number")
}

/// What was had from the allocator, and not given back.
pub(crate) fn held_kib() -> u64 {
    crate::ALLOCATOR.allocated() as u64 / 1024
}

/// Writes the windows as a table.
pub(crate) fn write(windows: &[Window], to: &Path) -> std::io::Result<()> {
    let mut text = String::from(
        "seconds\toperations\toperations_per_second\tresident_kib\theld_kib\tp50_ns\tp99_ns\t\
         p99.9_ns\tretired_bytes\tentries\tevents\trefused\n",
    );
    for w in windows {
        // A string takes all that is written to it.
        let _written = writeln!(
            text,
            "{:.1}\t{}\t{:.0}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            w.seconds,
            w.operations,
            w.rate,
            w.resident_kib,
            w.held_kib,
            w.median_ns,
            w.p99_ns,
            w.p999_ns,
            w.retired_bytes,
            w.entries,
            w.events,
            w.refused
        );
    }
    std::fs::write(to, text)
}

/// So many windows of ten seconds: memory grows in each, and swings from one to the next.
#[cfg(test)]
pub(crate) fn growing(windows: u32, each_kib: u64, swing_kib: u64) -> Vec<Window> {
    let window = |n: u32| {
        let kib = 50_000 + u64::from(n) * each_kib + u64::from(n % 2) * swing_kib;
        let seconds = f64::from(n) * 10.0;
        Window { seconds, resident_kib: kib, held_kib: kib, ..Window::default() }
    };
    (1..=windows).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_as_steep_as_it_is() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        let found = slope(&line).unwrap();
        assert!((found.slope - 2.0).abs() < 1e-9 && found.error < 1e-9, "{found:?}");
        assert_eq!(slope(&line[..2]), None);
    }

    #[test]
    fn noise_about_a_level_is_no_growth() {
        let noise: Vec<_> = (0..100u32).map(|x| (f64::from(x), f64::from(x * 7919 % 13))).collect();
        let found = slope(&noise).unwrap();
        assert!(found.slope.abs() < 3.0 * found.error, "{found:?}");
    }

    #[test]
    fn noise_that_lasts_says_less_than_noise_that_does_not() {
        let swings = |each: u32| {
            let point = |x: u32| (f64::from(x), f64::from(x / each % 2));
            let points: Vec<_> = (0..120).map(point).collect();
            slope(&points).unwrap().error
        };
        assert!(swings(10) > 3.0 * swings(1), "{} {}", swings(10), swings(1));
    }

    #[test]
    fn memory_that_grows_is_seen() {
        let windows: Vec<_> = (0..100u32)
            .map(|n| Window {
                seconds: f64::from(n) * 10.0,
                resident_kib: 100_000 + u64::from(n) * 100,
                ..Window::default()
            })
            .collect();
        // 10 KiB a second.
        let found = memory_slope(&windows, RESIDENT).unwrap();
        assert!((found.slope - 6000.0 / 1024.0).abs() < 1e-6, "{found:?}");
        assert!(resident_kib() > 1000);
        let before = held_kib();
        let more = std::hint::black_box(vec![0u8; 10 << 20]);
        assert!(held_kib() > before + 9_000);
        drop(more);
        assert!(held_kib() < before + 9_000);
    }

    #[test]
    fn memory_is_flat_only_if_growth_would_have_been_seen() {
        let judged = |windows, each, swing| Memory::of(&growing(windows, each, swing), HELD);
        assert_eq!(judged(59, 100, 0), Memory::TooShort);
        assert!(matches!(judged(90, 100, 0), Memory::Grows(_)));
        assert!(matches!(judged(90, 10, 0), Memory::Flat(_)), "by more than half of what it may");
        assert!(matches!(judged(90, 10, 1_000), Memory::Flat(_)), "and a little noise");
        let noisy = judged(90, 10, 10_000);
        assert!(matches!(noisy, Memory::TooNoisy(_)), "{noisy}");
        assert!(noisy.to_string().starts_with("not judged: too noisy ("), "{noisy}");
        // The same noise, for an hour.
        assert!(matches!(judged(360, 10, 10_000), Memory::Flat(_)));
        // Whatever the noise, what surely grows does.
        assert!(matches!(judged(90, 1_000, 10_000), Memory::Grows(_)));
    }
}
