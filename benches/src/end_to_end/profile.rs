//! How much of a server's processor time is the cache's: samples of its stacks, taken by `perf`.
//!
//! A sample is the cache's if somebody in the stack is one of the calls through which the server
//! uses a cache, which are dynamic and therefore never inlined. What such a call causes counts,
//! too: memory, locks, the kernel. Threads of the cache's own are told apart.

use super::server::{Server, THREADS_OF_THE_CACHE};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ends of a symbol's name before its method: rustls's interface, and a connection's way to it.
const CALLS: [&str; 2] = ["StoresServerSessions>::", "sessions::Sessions>::"];

/// What was sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Moments at which the server ran.
    pub samples: u64,
    /// Those in a call of the cache,
    pub in_calls: u64,
    /// and those in a thread of its own.
    pub in_threads: u64,
}

impl Profile {
    /// How much of all is in the calls, and the standard error of that.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "thousands of samples are exact in a double")]
    pub fn calls(&self) -> (f64, f64) {
        let samples = self.samples.max(1) as f64;
        let share = self.in_calls as f64 / samples;
        (share, (share * (1.0 - share) / samples).sqrt())
    }
}

/// `perf`, at work on a server.
#[derive(Debug)]
pub struct Recording<'a> {
    perf: Child,
    file: &'a Path,
}

/// Whether there is one that can be used.
#[must_use]
pub fn is_possible() -> bool {
    let probe = ["record", "-q", "-e", "cpu-clock", "-o", "/dev/null", "true"];
    let said = Command::new("perf").args(probe).stderr(Stdio::null()).status();
    said.is_ok_and(|status| status.success())
}

impl<'a> Recording<'a> {
    /// Begins to sample into a file.
    ///
    /// # Errors
    /// If `perf` can't be started.
    pub fn start(server: &Server, file: &'a Path) -> Result<Self> {
        let process = server.process().to_string();
        let perf = Command::new("perf")
            .args(["record", "-q", "-e", "cpu-clock", "-F", "3999"])
            // So much of the stack holds everything above the calls.
            .args(["--call-graph", "dwarf,4096", "-p", &process, "-o"])
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .context("starting perf")?;
        // It says nothing when it is ready; what it misses is left out of the sum, too.
        std::thread::sleep(Duration::from_millis(300));
        Ok(Self { perf, file })
    }

    /// Ends it and counts.
    ///
    /// # Errors
    /// If `perf` fails.
    pub fn finish(mut self) -> Result<Profile> {
        let perf = i32::try_from(self.perf.id()).ok().and_then(Pid::from_raw);
        kill_process(perf.context("a process")?, Signal::INT).context("ending perf")?;
        self.perf.wait().context("waiting for perf")?;
        let said = Command::new("perf")
            .args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"])
            .arg(self.file)
            .stderr(Stdio::null())
            .output()
            .context("starting perf")?;
        ensure!(said.status.success(), "perf can't read what it wrote");
        Ok(count(&String::from_utf8_lossy(&said.stdout)))
    }
}

/// A sample is a line with the thread's name, the stack below it, and an empty line.
fn count(script: &str) -> Profile {
    let mut profile = Profile::default();
    for sample in script.split("\n\n").filter(|sample| !sample.trim().is_empty()) {
        profile.samples += 1;
        if sample.trim_start().starts_with(THREADS_OF_THE_CACHE) {
            profile.in_threads += 1;
        } else if CALLS.iter().any(|call| sample.contains(call)) {
            profile.in_calls += 1;
        }
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_apart() {
        let script = "tokio-rt-worker \n\t  1 ring_core::mul\n\t  2 main\n\n\
             tokio-rt-worker \n\t  3 malloc\n\t  4 <a::B as rustls::StoresServerSessions>::put\n\n\
             halfshake-time \n\t  5 clock_nanosleep\n\n\
             halfshake \n\t  6 <a::C as halfshake::sessions::Sessions>::for_connection\n\n";
        assert_eq!(count(script), Profile { samples: 4, in_calls: 2, in_threads: 1 });
        assert_eq!(count(""), Profile::default());
    }
}
