//! Makes PERFORMANCE.md's tables and the pictures from the records that are committed.

use anyhow::{Context, Result};
use clap::Parser;
use halfshake_benches::report::{Records, plots};
use std::path::{Path, PathBuf};

/// Makes PERFORMANCE.md's tables and its pictures from `benches/record/`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes nothing; fails if a file is not what would be written.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let check = Arguments::parse().check;
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = benches.join("../PERFORMANCE.md");
    let records = Records::read(&benches.join("record"))?;
    let text = std::fs::read_to_string(&document).context("reading PERFORMANCE.md")?;
    let mut made = vec![(document, records.fill(&text)?)];
    let pictures = benches.join("record/plots");
    for (name, picture) in plots(&records)? {
        made.push((pictures.join(name), picture));
    }
    let mut stale = left_over(&pictures, &made);
    if !check {
        stale.drain(..).try_for_each(std::fs::remove_file).context("removing old pictures")?;
    }
    for (path, text) in &made {
        if std::fs::read_to_string(path).ok().as_ref() == Some(text) {
            continue;
        }
        stale.push(path.clone());
        if !check {
            std::fs::create_dir_all(&pictures).context("a folder for the pictures")?;
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    let strangers = records.strangers();
    anyhow::ensure!(
        !check || strangers.is_empty(),
        "of another machine or library than the first of its run (make all in one run): {}",
        strangers.join(", ")
    );
    let names: Vec<String> = stale.iter().map(|path| path.display().to_string()).collect();
    anyhow::ensure!(
        !check || stale.is_empty(),
        "not as the records have it (`cargo run --bin report` writes it anew): {}",
        names.join(", ")
    );
    Ok(())
}

/// Pictures of records that are gone.
fn left_over(pictures: &Path, made: &[(PathBuf, String)]) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(pictures) else { return Vec::new() };
    let paths = listed.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| !made.iter().any(|(known, _)| known == path)).collect()
}
