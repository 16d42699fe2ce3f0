//! The README's first command.

mod harness;

use harness::run;

const BACKEND: harness::Backend = harness::Backend::Rustls;

#[test]
fn the_demonstration_runs_and_shows_both_caches() {
    let output = run(&["demo", "--seconds", "4", "--entries", "1024"]);
    let screen = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(0), "{screen}{errors}");
    for word in ["halfshake", "rustls's own", "handshakes per second", "cache alone"] {
        assert!(screen.contains(word), "no {word} in:\n{screen}");
    }
    let resumed = screen.lines().find(|line| line.contains("resumed")).expect("a line");
    assert!(!resumed.contains(" 0.0 %"), "both resume: {resumed}");
}
