//! Where and with what a record was made.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::Command;

/// The machine, the versions and the command.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setting {
    /// What the processor says of itself.
    pub machine: BTreeMap<String, String>,
    /// The compiler.
    pub rustc: String,
    /// How long values are.
    #[serde(default = "short")]
    pub value_bytes: usize,
    /// Whether the system gives huge pages.
    #[serde(default)]
    pub huge_pages: String,
    /// The versions of all contestants.
    pub versions: BTreeMap<String, String>,
    /// The commit, and whether sources differed from it.
    pub commit: String,
    /// The arguments.
    pub command: String,
    /// When, in seconds since 1970.
    pub unix_time: u64,
    /// Processes that wanted to run, averaged over one minute, at the start.
    pub load: String,
}

/// What records said nothing of had this length.
fn short() -> usize {
    128
}

const CONTESTANTS: [&str; 15] = [
    "TinyUFO",
    "ahash",
    "crossbeam-epoch",
    "dashmap",
    "foyer-memory",
    "halfshake",
    "lru",
    "mimalloc",
    "mini-moka",
    "moka",
    "papaya",
    "quick_cache",
    "rustls",
    "scc",
    "segcache",
];

const FACTS: [&str; 8] = [
    "Architecture",
    "CPU(s)",
    "Hypervisor vendor",
    "L1d cache",
    "L2 cache",
    "L3 cache",
    "Model name",
    "Thread(s) per core",
];

impl Setting {
    /// Asks the machine.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs());
        let words: Vec<String> = std::env::args().map(|word| without_folder(&word)).collect();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            machine: machine(),
            rustc: output("rustc", &["--version"]),
            value_bytes: size_of::<crate::keys::Value>(),
            huge_pages: huge_pages(),
            versions: versions(include_str!("../../Cargo.lock")),
            commit: commit(),
            command: words.join(" "),
            unix_time: since,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Where a program lies says nothing to others; a record's place in the repository does.
fn without_folder(word: &str) -> String {
    let is_program = word.starts_with('/') || word.contains("release/");
    let name = word.rsplit('/').next().filter(|_| is_program);
    name.unwrap_or(word).to_owned()
}

fn machine() -> BTreeMap<String, String> {
    let said = output("lscpu", &[]);
    let facts = said.lines().filter_map(|line| line.split_once(':'));
    let mut facts: BTreeMap<String, String> = facts
        .filter(|(name, _)| FACTS.contains(&name.trim()))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    // Without what a distribution or a provider appends.
    let release = output("uname", &["-r"]);
    let release = release.split('-').next().unwrap_or_default();
    facts.insert("Kernel".to_owned(), format!("{} {release}", output("uname", &["-s"])));
    facts
}

fn versions(lock: &str) -> BTreeMap<String, String> {
    let field = |line: &str, name: &str| {
        let value = line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let (mut name, mut found) = (String::new(), BTreeMap::new());
    for line in lock.lines() {
        if let Some(next) = field(line, "name") {
            name = next;
        } else if let (Some(version), true) =
            (field(line, "version"), CONTESTANTS.contains(&name.as_str()))
        {
            found.insert(name.clone(), version);
        }
    }
    found
}

/// The choice that stands between brackets.
fn huge_pages() -> String {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let said = std::fs::read_to_string(path).unwrap_or_default();
    let chosen = said.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or_else(String::new, |(chosen, _)| chosen.to_owned())
}

fn commit() -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let head = output("git", &["-C", folder, "rev-parse", "HEAD"]);
    let changed = output("git", &["-C", folder, "status", "--porcelain", "--", "../src", "src"]);
    if changed.is_empty() { head } else { format!("{head}, with changes") }
}

/// What a program says; nothing if it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output();
    said.map_or_else(|_| String::new(), |s| String::from_utf8_lossy(&s.stdout).trim().to_owned())
}
