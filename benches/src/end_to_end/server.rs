//! `halfshake serve` as a child process.

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Whose cache the server keeps its sessions in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// This project's.
    Halfshake,
    /// `ServerSessionMemoryCache`.
    Rustls,
}

impl Kept {
    /// In the order in which they are told of.
    pub const BOTH: [Self; 2] = [Self::Halfshake, Self::Rustls];

    /// As `--cache` wants it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Halfshake => "halfshake",
            Self::Rustls => "rustls",
        }
    }
}

/// The two processors at the ends of those that this process may use.
#[derive(Clone, Copy, Debug)]
pub struct Processors {
    ours: CpuSet,
    servers: CpuSet,
}

impl Processors {
    /// Asks the system.
    ///
    /// # Errors
    /// If it does not say.
    pub fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("asking for the processors")?;
        let one = |found: Option<usize>| {
            let mut set = CpuSet::new();
            set.set(found.unwrap_or_default());
            set
        };
        let is_allowed = |cpu: &usize| allowed.is_set(*cpu);
        let mut all = 0..CpuSet::MAX_CPU;
        Ok(Self { ours: one(all.clone().find(is_allowed)), servers: one(all.rfind(is_allowed)) })
    }
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it accepts TLS.
    pub address: SocketAddr,
    admin: SocketAddr,
}

/// Processor time that a server has had, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// All of its threads.
    pub all: u64,
    /// Those that the cache runs for itself.
    pub by_the_cache: u64,
}

/// The names of the cache's threads begin so; the program's own does not.
pub(super) const THREADS_OF_THE_CACHE: &str = "halfshake-";

impl Server {
    /// Starts one on a processor of its own, and leaves this process on the other one.
    ///
    /// # Errors
    /// If it does not come to listen.
    pub fn start(
        program: &Path,
        processors: Processors,
        kept: Kept,
        more: &[&str],
    ) -> Result<Self> {
        // Who is started inherits it.
        sched_setaffinity(None, &processors.servers).context("choosing a processor")?;
        let child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--cache", kept.name()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()));
        sched_setaffinity(None, &processors.ours).context("choosing a processor")?;
        let mut child = child?;
        let said = child.stdout.take().context("its standard output is a pipe")?;
        let (mut admin, mut address) = (None, None);
        for line in BufReader::new(said).lines() {
            let line = line.context("reading what the server says")?;
            admin = admin.or_else(|| after(&line, "admin: http://"));
            address = after(&line, "listening on ");
            if address.is_some() {
                break;
            }
        }
        let (Some(address), Some(admin)) = (address, admin) else {
            // It has said why, on standard error.
            ensure!(child.wait()?.success(), "the server did not begin");
            anyhow::bail!("the server ended at its beginning");
        };
        Ok(Self { child, address, admin })
    }

    /// What it has spent up to now.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn spent(&self) -> Result<Spent> {
        let mut spent = Spent::default();
        let threads = format!("/proc/{}/task", self.child.id());
        for thread in std::fs::read_dir(threads).context("listing the server's threads")? {
            let folder = thread?.path();
            let read = |name: &str| {
                let path = folder.join(name);
                std::fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))
            };
            let ran = read("schedstat")?;
            let ran: u64 = ran.split(' ').next().unwrap_or_default().parse()?;
            spent.all += ran;
            if read("comm")?.starts_with(THREADS_OF_THE_CACHE) {
                spent.by_the_cache += ran;
            }
        }
        Ok(spent)
    }

    /// The sessions in its cache, where it tells.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn entries(&self) -> Result<Option<u64>> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /stats HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer over HTTP")?;
        let stats: serde_json::Value = serde_json::from_str(body)?;
        Ok(stats.pointer("/cache/entries").and_then(serde_json::Value::as_u64))
    }

    /// The number of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn after(line: &str, start: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix(start)?;
    rest.split(['/', ' ']).next()?.parse().ok()
}
