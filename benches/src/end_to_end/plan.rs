//! What is measured, in which order.

use super::clients::{Clients, Version};
use super::profile::{self, Recording};
use super::server::{Kept, Processors, Server};
use crate::report::{Cell, Handshakes, Loss, Round, Setting, Want};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// See the module's documentation.
#[derive(Debug)]
pub struct Plan {
    /// `halfshake`.
    pub program: PathBuf,
    /// Sessions in the cache, which holds no more.
    pub sizes: Vec<u64>,
    /// In each, both servers take their turn, in random order.
    pub rounds: usize,
    /// Of each kind, in each turn.
    pub handshakes: usize,
    /// Of the order of clients and turns.
    pub seed: u64,
}

/// A server with its clients.
struct Place {
    kept: Kept,
    server: Server,
    clients: Clients,
}

impl Plan {
    /// Measures everything, and has what is there `written` from time to time.
    ///
    /// # Errors
    /// If a server, a client or `perf` fails.
    pub fn run(&self, written: impl Fn(&Handshakes) -> Result<()>) -> Result<()> {
        let processors = Processors::find()?;
        let mut setting = Setting::now();
        setting.command += &format!(" (seed {})", self.seed);
        let mut record = Handshakes { setting, cells: Vec::new(), losses: Vec::new() };
        let mut random = fastrand::Rng::with_seed(self.seed);
        for version in Version::BOTH {
            record.losses.extend(self.losses(processors, version, &mut random)?);
            written(&record)?;
            for size in &self.sizes {
                record.cells.extend(self.cells(processors, version, *size, &mut random)?);
                written(&record)?;
                println!("TLS {}, {size} sessions: done", version.name());
            }
        }
        Ok(())
    }

    fn start(
        &self,
        processors: Processors,
        kept: Kept,
        entries: u64,
        more: &[&str],
    ) -> Result<Server> {
        let entries = entries.to_string();
        let arguments = [&["--cache-entries", &entries], more].concat();
        Server::start(&self.program, processors, kept, &arguments)
    }

    /// One version with one number of sessions: full handshakes and resumptions, over both caches.
    fn cells(
        &self,
        processors: Processors,
        version: Version,
        sessions: u64,
        random: &mut fastrand::Rng,
    ) -> Result<Vec<Cell>> {
        // Each comes twice before the rounds: the cache is full, and still holds what everybody got
        // the second time when the rounds have pushed out the oldest half of it.
        let count = usize::try_from(sessions)? / (2 * version.sessions());
        let mut places = Vec::new();
        let mut cells = Vec::new();
        for kept in Kept::BOTH {
            let server = self.start(processors, kept, sessions, &[])?;
            let clients = Clients::new(server.address, version, count.max(1))?;
            let all: Vec<usize> = (0..clients.count()).collect();
            clients.come(&all, false)?;
            clients.come(&all, false)?;
            let held = server.entries()?;
            for resumes in [false, true] {
                let (rounds, profile) = (Vec::new(), None);
                cells.push(Cell { version, sessions, kept, resumes, held, rounds, profile });
            }
            places.push(Place { kept, server, clients });
        }
        for _ in 0..self.rounds {
            let turns = places.iter().map(|place| [(place, false), (place, true)]);
            let mut turns: Vec<_> = turns.flatten().collect();
            random.shuffle(&mut turns);
            for (place, resumes) in turns {
                let round = self.turn(place, resumes, random)?;
                cell(&mut cells, place.kept, resumes).rounds.push(round);
            }
        }
        if profile::is_possible() {
            let file = std::env::temp_dir().join(format!("end-to-end-{}", std::process::id()));
            for place in &places {
                for resumes in [false, true] {
                    let seen = self.profile(place, resumes, &file, random)?;
                    cell(&mut cells, place.kept, resumes).profile = Some(seen);
                }
            }
            std::fs::remove_file(&file).context("removing what perf wrote")?;
        }
        Ok(cells)
    }

    /// Before resumptions: what full handshakes have pushed out of a small cache comes back; a
    /// large one still has it.
    fn prepare(&self, place: &Place, resumes: bool) -> Result<()> {
        if resumes && place.clients.count() <= self.handshakes {
            let all: Vec<usize> = (0..place.clients.count()).collect();
            place.clients.come(&all, false)?;
        }
        Ok(())
    }

    fn any(&self, place: &Place, random: &mut fastrand::Rng) -> Vec<usize> {
        (0..self.handshakes).map(|_| random.usize(..place.clients.count())).collect()
    }

    fn turn(&self, place: &Place, resumes: bool, random: &mut fastrand::Rng) -> Result<Round> {
        self.prepare(place, resumes)?;
        let order = self.any(place, random);
        let before = place.server.spent()?;
        let came = place.clients.come(&order, resumes)?;
        let after = place.server.spent()?;
        Ok(Round {
            handshakes: u64::try_from(order.len())?,
            resumed: came.resumed,
            wall_ns: came.wall,
            processor_ns: after.all - before.all,
            threads_of_the_cache_ns: after.by_the_cache - before.by_the_cache,
        })
    }

    fn profile(
        &self,
        place: &Place,
        resumes: bool,
        file: &Path,
        random: &mut fastrand::Rng,
    ) -> Result<profile::Profile> {
        self.prepare(place, resumes)?;
        let order = self.any(place, random);
        let recording = Recording::start(&place.server, file)?;
        place.clients.come(&order, resumes)?;
        recording.finish()
    }

    /// What is resumed where not everything can, or should, be.
    fn losses(
        &self,
        processors: Processors,
        version: Version,
        random: &mut fastrand::Rng,
    ) -> Result<Vec<Loss>> {
        let mut losses = Vec::new();
        let seed = random.u64(..);
        for kept in Kept::BOTH {
            // The same clients in the same order for both.
            let mut random = fastrand::Rng::with_seed(seed);
            let loss = |want, asked: &[usize], resumed| -> Result<Loss> {
                Ok(Loss { want, version, kept, asked: u64::try_from(asked.len())?, resumed })
            };

            let room = 1000 * version.sessions();
            let server = self.start(processors, kept, u64::try_from(room)?, &[])?;
            let clients = Clients::new(server.address, version, 1500)?;
            let all: Vec<usize> = (0..clients.count()).collect();
            clients.come(&all, false)?;
            // Four visits of five are of a fifth of the clients.
            let mut visit = |_| match random.u8(..5) {
                0 => random.usize(300..1500),
                _ => random.usize(..300),
            };
            let [before, asked] = [2000, 4000].map(|n| (0..n).map(&mut visit).collect::<Vec<_>>());
            clients.come(&before, true)?;
            let resumed = clients.come(&asked, true)?.resumed;
            losses.push(loss(Want::Room, &asked, resumed)?);

            let server = self.start(processors, kept, 10_000, &["--cache-timeout", "1"])?;
            let clients = Clients::new(server.address, version, 200)?;
            let all: Vec<usize> = (0..clients.count()).collect();
            clients.come(&all, false)?;
            std::thread::sleep(Duration::from_secs(2));
            let resumed = clients.come(&all, true)?.resumed;
            losses.push(loss(Want::Time, &all, resumed)?);
        }
        Ok(losses)
    }
}

fn cell(cells: &mut [Cell], kept: Kept, resumes: bool) -> &mut Cell {
    let found = cells.iter_mut().find(|cell| cell.kept == kept && cell.resumes == resumes);
    found.expect("each place has both")
}
