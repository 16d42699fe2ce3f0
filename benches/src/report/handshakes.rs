//! The record of real handshakes, and its tables.

use super::table::{grouped, markdown_table, spread};
use super::{Setting, Spread, record};
use crate::end_to_end::clients::Version;
use crate::end_to_end::profile::Profile;
use crate::end_to_end::server::Kept;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handshakes {
    /// Where and how.
    pub setting: Setting,
    /// One for each kind of handshake, number of sessions and cache.
    pub cells: Vec<Cell>,
    /// What is resumed where not everything can, or should, be.
    pub losses: Vec<Loss>,
}

/// One kind of handshake over one cache.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cell {
    /// Of TLS.
    pub version: Version,
    /// In the cache when the rounds begin, and the most that it holds.
    pub sessions: u64,
    /// Whose cache it is.
    pub kept: Kept,
    /// Whether clients offer a session.
    pub resumes: bool,
    /// What the cache says that it holds, if it says.
    pub held: Option<u64>,
    /// All turns.
    pub rounds: Vec<Round>,
    /// From a turn of its own, where there is `perf`.
    pub profile: Option<Profile>,
}

/// One turn. Processor time is the server's alone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Round {
    /// Connections.
    pub handshakes: u64,
    /// Those of them that were resumed.
    pub resumed: u64,
    /// Time on the wall.
    pub wall_ns: u64,
    /// Processor time of all threads of the server,
    pub processor_ns: u64,
    /// and those among them that the cache runs.
    pub threads_of_the_cache_ns: u64,
}

/// What is resumed of what is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loss {
    /// What there is too little of.
    pub want: Want,
    /// Of TLS.
    pub version: Version,
    /// Whose cache it is.
    pub kept: Kept,
    /// Connections that offered a session.
    pub asked: u64,
    /// Those that were resumed.
    pub resumed: u64,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Two sessions of three find room.
    Room,
    /// The sessions' time is over.
    Time,
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes are exact in a double")]
fn part(of: u64, whole: u64) -> f64 {
    of as f64 / whole.max(1) as f64
}

impl Cell {
    fn each(&self, pick: fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(pick))
    }

    fn processor(&self) -> Spread {
        self.each(processor_us)
    }

    fn resumed_percent(&self) -> f64 {
        let sum = |pick: fn(&Round) -> u64| self.rounds.iter().map(pick).sum();
        100.0 * part(sum(|round| round.resumed), sum(|round| round.handshakes))
    }

    /// Of the processor time, with the standard error of the samples.
    fn in_calls(&self) -> String {
        let Some(profile) = self.profile else { return String::new() };
        if profile.in_calls == 0 {
            // The rule of three: of more than that, one sample at least would have told in 19 cases
            // of 20. Rounded up, since it is a bound.
            let tenths_of_percent = part(3000, profile.samples).ceil();
            return format!("< {:.1} %", tenths_of_percent / 10.0);
        }
        let (share, error) = profile.calls();
        format!("{:.1} ± {:.1} %", 100.0 * share, 100.0 * error)
    }

    fn in_threads(&self) -> String {
        spread(self.each(|round| 100.0 * part(round.threads_of_the_cache_ns, round.processor_ns)))
            + " %"
    }
}

fn processor_us(round: &Round) -> f64 {
    part(round.processor_ns, round.handshakes) / 1e3
}

fn per_second(round: &Round) -> f64 {
    part(round.handshakes, round.wall_ns) * 1e9
}

impl Handshakes {
    /// Reads a record.
    ///
    /// # Errors
    /// If the file can't be read or is none.
    pub fn read(path: &Path) -> Result<Self> {
        record::read(path)
    }

    /// Writes it, a line for each part.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        record::write(self, path, &["version", "want"])
    }

    /// Each cell of ours with that of rustls.
    fn pairs(&self) -> Vec<(&Cell, &Cell)> {
        let of = |kept| self.cells.iter().filter(move |cell| cell.kept == kept);
        let key = |cell: &Cell| (cell.version, cell.resumes, cell.sessions);
        let mut pairs: Vec<_> = of(Kept::Halfshake)
            .filter_map(|ours| Some((ours, of(Kept::Rustls).find(|it| key(it) == key(ours))?)))
            .collect();
        pairs.sort_by_key(|(ours, _)| key(ours));
        pairs
    }

    /// What a handshake costs, over both caches.
    pub(super) fn costs(&self) -> String {
        let head = [
            "handshake",
            "live sessions",
            "µs, halfshake",
            "rustls's own takes",
            "in calls of halfshake",
            "of rustls's own",
            "in halfshake's threads",
            "a second, halfshake",
            "rustls's own",
        ];
        let line = |(ours, theirs): (&Cell, &Cell)| {
            let rounds = theirs.rounds.iter().zip(&ours.rounds);
            let ratio = Spread::of(rounds.map(|(it, our)| processor_us(it) / processor_us(our)));
            let kind = if ours.resumes {
                let both = [ours, theirs].map(|cell| format!("{:.1}", cell.resumed_percent()));
                format!("resumed ({} and {} %)", both[0], both[1])
            } else {
                "full".to_owned()
            };
            vec![
                format!("TLS {}, {kind}", ours.version.name()),
                grouped(ours.sessions),
                spread(ours.processor()),
                spread(ratio),
                ours.in_calls(),
                theirs.in_calls(),
                ours.in_threads(),
                spread(ours.each(per_second)),
                spread(theirs.each(per_second)),
            ]
        };
        self.heading() + &markdown_table(&head, self.pairs().into_iter().map(line))
    }

    fn heading(&self) -> String {
        let setting = &self.setting;
        let fact = |name: &str| setting.machine.get(name).cloned().unwrap_or_default();
        let rounds = self.cells.first().map_or(0, |cell| cell.rounds.len());
        let handshakes = self.cells.first().and_then(|cell| cell.rounds.first());
        format!(
            "{} processors of {}, {}; {}; rustls {}; commit {}; load at the start {}. {rounds} \
             rounds of {} handshakes: `{}`.\n\n",
            fact("CPU(s)"),
            fact("Model name"),
            fact("Kernel"),
            setting.rustc,
            setting.versions.get("rustls").cloned().unwrap_or_default(),
            setting.commit.get(..10).unwrap_or(&setting.commit),
            setting.load,
            handshakes.map_or(0, |round| round.handshakes),
            setting.command.split(" (seed").next().unwrap_or_default(),
        )
    }

    /// What is resumed where there is too little room, or where time is over.
    pub(super) fn losses(&self) -> String {
        let of = |kept| self.losses.iter().filter(move |loss| loss.kept == kept);
        let line = |ours: &Loss| {
            let same = |it: &&Loss| (it.want, it.version) == (ours.want, ours.version);
            let theirs = of(Kept::Rustls).find(same)?;
            let name = match ours.want {
                Want::Room => "room for two sessions of three",
                Want::Time => "the sessions' timeout is over",
            };
            let resumed = |it: &Loss| format!("{:.1} %", 100.0 * part(it.resumed, it.asked));
            Some(vec![
                format!("TLS {}, {name}", ours.version.name()),
                grouped(ours.asked),
                resumed(ours),
                resumed(theirs),
            ])
        };
        let head = ["", "asked for", "halfshake resumes", "rustls's own resumes"];
        markdown_table(&head, of(Kept::Halfshake).filter_map(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(kept: Kept, processor_ns: [u64; 3]) -> Cell {
        let round = |processor_ns| Round {
            handshakes: 10,
            resumed: 9,
            wall_ns: 20_000,
            processor_ns,
            threads_of_the_cache_ns: 1000,
        };
        Cell {
            version: Version::Tls13,
            sessions: 1000,
            kept,
            resumes: true,
            held: None,
            rounds: processor_ns.map(round).into(),
            profile: Some(Profile { samples: 900, in_calls: 90, in_threads: 9 }),
        }
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let cells = vec![
            cell(Kept::Rustls, [40_000, 10_000, 60_000]),
            cell(Kept::Halfshake, [20_000, 10_000, 20_000]),
        ];
        let setting = Setting::now();
        let record = Handshakes { setting, cells, losses: Vec::new() };
        let costs = record.costs();
        let line = costs.lines().last().expect("a line for the pair");
        let expected = "| TLS 1.3, resumed (90.0 and 90.0 %) | 1,000 | 2.00 [1.50-2.00] | \
                        2.00 [1.50-2.50] | 10.0 ± 1.0 % | 10.0 ± 1.0 % | \
                        5.00 [5.00-7.50] % | ";
        assert!(line.starts_with(expected), "{line}");
    }
    #[test]
    fn calls_that_no_sample_hit_have_a_bound_and_no_error() {
        let told = |samples, in_calls| {
            let profile = Some(Profile { samples, in_calls, in_threads: 0 });
            Cell { profile, ..cell(Kept::Halfshake, [1, 1, 1]) }.in_calls()
        };
        assert_eq!(told(300, 0), "< 1.0 %");
        assert_eq!(told(401, 0), "< 0.8 %");
        assert_eq!(told(400, 4), "1.0 ± 0.5 %");
    }
}
