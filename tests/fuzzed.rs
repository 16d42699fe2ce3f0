//! Every input that the fuzz targets keep, once more: what they have found before, what they have
//! learnt, and the seeds; without libFuzzer, on any toolchain.

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub, reason = "a library of its own for the fuzz targets")]
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// That of the target that counts what is allocated.
#[global_allocator]
static ALLOCATOR: targets::session_record::Counting = targets::session_record::Counting;

/// Where inputs lie, each in a folder of its target.
const FOLDERS: [&str; 3] = ["fuzz/regressions", "fuzz/corpus", "fuzz/seeds"];

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.expect("a readable folder").path()).collect()
}

/// Runs all inputs of a target; how many.
fn replay(target: &str) -> usize {
    let (_, run) = targets::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let inputs: Vec<_> =
        FOLDERS.iter().flat_map(|folder| names(&in_repository(folder).join(target))).collect();
    for input in &inputs {
        let bytes = std::fs::read(input).expect("a readable file");
        let ran = std::panic::catch_unwind(|| run(&bytes));
        assert!(ran.is_ok(), "{} fails", input.display());
    }
    inputs.len()
}

#[test]
fn every_target_has_its_file_and_its_seeds() {
    let targets: BTreeSet<_> = targets::TARGETS
        .iter()
        .map(|(name, _)| in_repository("fuzz/fuzz_targets").join(name))
        .collect();
    let files = names(&in_repository("fuzz/fuzz_targets"));
    assert_eq!(files.iter().map(|file| file.with_extension("")).collect::<BTreeSet<_>>(), targets);
    for (name, _) in targets::TARGETS {
        assert!(!names(&in_repository("fuzz/seeds").join(name)).is_empty(), "{name} has no seeds");
    }
    for folder in FOLDERS.iter().flat_map(|folder| names(&in_repository(folder))) {
        let name = folder.file_name().expect("a folder of a target");
        let is_known = targets::TARGETS.iter().any(|(known, _)| name == *known);
        assert!(is_known, "{} belongs to no target", folder.display());
    }
}

/// One test for each target, so that they run side by side.
macro_rules! replays {
    ($($test:ident: $target:literal,)*) => {
        $(#[test]
        fn $test() {
            assert!(replay($target) > 0);
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$($target),*];
            assert_eq!(replayed, targets::TARGETS.map(|(name, _)| name));
        }
    };
}

replays! {
    client_hello_holds_on_every_input_that_is_kept: "client_hello",
    get_callback_holds_on_every_input_that_is_kept: "get_callback",
    openssl_session_holds_on_every_input_that_is_kept: "openssl_session",
    operations_holds_on_every_input_that_is_kept: "operations",
    operations_threads_holds_on_every_input_that_is_kept: "operations_threads",
    rustls_store_holds_on_every_input_that_is_kept: "rustls_store",
    session_record_holds_on_every_input_that_is_kept: "session_record",
}

#[test]
fn seeds_of_hellos_reach_every_outcome_at_every_server() {
    use targets::client_hello::{Outcome, Script};
    let reached: BTreeSet<_> = names(&in_repository("fuzz/seeds/client_hello"))
        .iter()
        .filter_map(|seed| {
            let bytes = std::fs::read(seed).expect("a readable file");
            let script = targets::read(&bytes, |script: Script| script.outcome());
            script.map(|outcome| (bytes.first().copied().unwrap_or(0) % 3, format!("{outcome:?}")))
        })
        .collect();
    for server in 0..3 {
        for outcome in [
            Outcome::Waits,
            Outcome::AsksAgain,
            Outcome::Full,
            Outcome::Resumed { tls13: true },
            Outcome::Resumed { tls13: false },
            Outcome::Alert,
        ] {
            let outcome = format!("{outcome:?}");
            assert!(reached.contains(&(server, outcome.clone())), "{outcome} at server {server}");
        }
    }
}
