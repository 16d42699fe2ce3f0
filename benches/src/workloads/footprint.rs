//! What an entry takes beyond its key and its value, after the cache was renewed three times. Each
//! contestant is measured in a process of its own: what another one gave back to the allocator
//! would hide what this one takes.

use super::{Scale, Work, Workload, fresh_salt, writes};
use crate::clock::Watch;
use crate::contestants::{Contestant, Operations};
use crate::keys::{Key, Value, key, value};
use crate::memory::Memory;
use crate::rounds::{Entrant, Sample};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::process::Command;

/// How often the whole cache is renewed.
const CHURN: u64 = 3;

/// What the process of one contestant found out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Footprint {
    /// Entries at the end.
    pub live: u64,
    /// Resident memory that came with the contestant.
    pub rss_kib: u64,
    /// Of the process's memory, that on huge pages.
    pub anon_huge_kib: u64,
    /// The share of the inserts that were refused.
    pub refused: f64,
}

/// The process of one contestant.
pub(super) struct Alone {
    pub(super) scale: Scale,
    /// For contestants without a limit: the workload takes the oldest out.
    pub(super) unlimited: bool,
}

impl Work for Alone {
    fn enter<C: Contestant>(&self, name: &str, _: u64, make: impl Fn() -> C + 'static) -> Entrant {
        let (entries, unlimited) = (self.scale.entries, self.unlimited);
        Entrant::new(name, move || {
            move |_| {
                let before = Memory::now();
                let watch = Watch::start();
                let contestant = make();
                let live = churn(&contestant, entries, unlimited);
                let refused = writes::refusals(&contestant, Some(0), (1 + CHURN) * entries);
                let after = Memory::now();
                let rss = after.rss_kib.saturating_sub(before.rss_kib);
                let mut figures = vec![
                    ("live", exact(live)),
                    ("rss, KiB", exact(rss)),
                    ("on huge pages, KiB", exact(after.anon_huge_kib)),
                ];
                figures.extend(refused);
                Sample { operations: live, spent: watch.spent(), figures, ..Sample::default() }
            }
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer than a double has digits for")]
fn exact(n: u64) -> f64 {
    n as f64
}

/// Renews the whole cache; the answer is how many entries there are at the end.
fn churn<C: Contestant>(contestant: &C, entries: u64, unlimited: bool) -> u64 {
    let first = fresh_salt();
    let mut handle = contestant.handle();
    if unlimited {
        writes::insert(&mut handle, first, entries);
        for n in first + entries..first + (1 + CHURN) * entries {
            handle.take(&key(n - entries));
            handle.insert(key(n), value(n));
        }
    } else {
        writes::insert(&mut handle, first, (1 + CHURN) * entries);
    }
    drop(handle);
    let asked = || {
        let mut handle = contestant.handle();
        let numbers = first..first + (1 + CHURN) * entries;
        numbers.filter(|n| handle.get(&key(*n)).is_some()).count()
    };
    contestant.live().unwrap_or_else(|| u64::try_from(asked()).unwrap_or(0))
}

/// One entrant for each contestant: its rounds are processes of this program.
pub(super) fn entrants(scale: Scale) -> Vec<Entrant> {
    let names = Workload::FootprintAlone.entrants(scale).into_iter().map(|e| e.name);
    names.map(|name| Entrant::new(name.clone(), move || move |_| ask(&name, scale))).collect()
}

fn ask(name: &str, scale: Scale) -> Sample {
    let found = child(name, scale.entries).expect("this program runs");
    let payload = found.live * u64::try_from(size_of::<Key>() + size_of::<Value>()).unwrap_or(0);
    let beyond = exact(found.rss_kib * 1024) - exact(payload);
    let mut figures = vec![
        ("bytes beyond key and value", beyond / exact(found.live.max(1))),
        ("entries", exact(found.live)),
        ("MiB on huge pages", exact(found.anon_huge_kib) / 1024.0),
    ];
    figures.extend((found.refused != 0.0).then_some((writes::REFUSED, found.refused)));
    Sample { operations: found.live, figures, ..Sample::default() }
}

fn child(name: &str, entries: u64) -> Result<Footprint> {
    let program = std::env::current_exe().context("this program's path")?;
    let entries = entries.to_string();
    let output = Command::new(program).args(["--alone", name, "--entries", &entries]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{name}: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the child process does.
///
/// # Errors
/// If nobody has this name.
pub fn alone(name: &str, entries: u64) -> Result<Footprint> {
    let mut all = Workload::FootprintAlone.entrants(Scale { entries, operations: 1 });
    Entrant::retain(&mut all, |other| other == name);
    anyhow::ensure!(all.len() == 1, "nobody is called {name:?}");
    let outcome = crate::rounds::run(all, 1, &mut fastrand::Rng::new());
    let figures = &outcome.samples[0][0].figures;
    let figure = |wanted| {
        let found = figures.iter().find(|(name, _)| *name == wanted);
        found.map_or(0.0, |(_, value)| *value)
    };
    Ok(Footprint {
        live: whole(figure("live")),
        rss_kib: whole(figure("rss, KiB")),
        anon_huge_kib: whole(figure("on huge pages, KiB")),
        refused: figure(writes::REFUSED),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a count")]
fn whole(n: f64) -> u64 {
    n as u64
}
