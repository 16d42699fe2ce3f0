//! The cache in twenty lines: `cargo run --example embed`.

use halfshake::{BytesCache, RemovalCause};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = BytesCache::builder()
        .capacity(2)
        .time_to_live(Duration::from_secs(300))
        .removal_listener(|gone| println!("{:?} left: {}", gone.key(), gone.cause()))
        .build()?;

    cache.insert(b"one", b"first session")?;
    cache.insert(b"two", b"second session")?;
    cache.insert(b"three", b"third session")?; // one of the others makes room

    // Of any number of takers exactly one gets a session.
    let taken = cache.take(&b"three"[..]).ok_or("just stored")?;
    println!("taken: {} bytes", taken.len());
    println!("evicted so far: {}", cache.stats().removed_by(RemovalCause::Evicted));
    Ok(())
}
