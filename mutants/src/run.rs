//! One mutant on, and the tests run until the first that fails.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How often a program that says nothing is looked at.
const LOOKS: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Caught,
    Missed,
    /// No test ended for long, although it had the processor, or for very long.
    Timeout,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Missed => "missed",
            Self::Timeout => "timeout",
        }
    }
}

/// When a program counts as hanging: since its last line it has computed for so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) computing: Duration,
    /// Or for so long, all in all, each of its threads has slept whenever it was looked at: they
    /// wait for what never comes, some of them waking now and then. (Threads that wait for a
    /// processor do not sleep.)
    pub(crate) waiting: Duration,
}

/// Runs a program without any mutant: the longest that it has computed without a line, on the
/// machine as it is. A problem, if it does not end well.
pub(crate) fn measure(program: &Path, patience: Patience) -> Result<Duration, String> {
    match run(program, 0, patience, &[]) {
        Ran { outcome: Outcome::Missed, longest, .. } => Ok(longest),
        Ran { outcome, .. } => {
            Err(format!("{}, without any mutant: {outcome:?}", program.display()))
        }
    }
}

/// Runs each program with a mutant on until one fails. Threads that spin for one another take long
/// on a busy machine: whether a program hangs is asked twice.
pub(crate) fn judge(programs: &[PathBuf], mutant: usize, patience: Patience) -> Outcome {
    for program in programs {
        let mut ran = run(program, mutant, patience, &[]);
        if ran.outcome == Outcome::Timeout {
            let (computing, waiting) = (patience.computing * 2, patience.waiting * 2);
            // Only what has not passed. If all has, it hangs where it should end.
            let again = run(program, mutant, Patience { computing, waiting }, &ran.passed);
            let is_vain = again.outcome == Outcome::Missed && again.passed.is_empty();
            ran = if is_vain && !ran.passed.is_empty() { ran } else { again };
        }
        if ran.outcome != Outcome::Missed {
            return ran.outcome;
        }
    }
    Outcome::Missed
}

/// What became of a program.
struct Ran {
    outcome: Outcome,
    /// The tests that passed, by name.
    passed: Vec<String>,
    /// The longest that it has computed without a line.
    longest: Duration,
}

fn run(program: &Path, mutant: usize, patience: Patience, skipped: &[String]) -> Ran {
    let mut command = Command::new(program);
    if !skipped.is_empty() {
        command.arg("--exact").args(skipped.iter().flat_map(|name| ["--skip", name]));
    }
    let mut child = command
        .env("HALFSHAKE_MUTANT", mutant.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let lines = lines_of(child.stdout.take().expect("it is piped"));
    let mut heard = Heard::default();
    let outcome = watch(&mut child, mutant, &lines, patience, &mut heard);
    // Also of one that ended: there is nothing to kill then.
    let _ = child.kill();
    let status = child.wait();
    let outcome = outcome.unwrap_or_else(|| match status {
        Ok(status) if ExitStatus::success(&status) => Outcome::Missed,
        _ => Outcome::Caught,
    });
    Ran { outcome, passed: heard.passed, longest: heard.silence.longest }
}

/// What a program has said, and how long it was silent.
#[derive(Default)]
struct Heard {
    passed: Vec<String>,
    silence: Silence,
}

fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// What became of it before its end; nothing, if it ended by itself.
fn watch(
    child: &mut Child,
    mutant: usize,
    lines: &Receiver<String>,
    patience: Patience,
    heard: &mut Heard,
) -> Option<Outcome> {
    loop {
        match lines.recv_timeout(LOOKS) {
            Ok(line) if line.ends_with(" ... FAILED") => {
                // Without any mutant that is what somebody has to look at.
                if mutant == 0 {
                    eprintln!("{line}");
                }
                return Some(Outcome::Caught);
            }
            Ok(line) => {
                let words = line.strip_prefix("test ").and_then(|it| it.strip_suffix(" ... ok"));
                heard.passed.extend(words.map(str::to_owned));
                heard.silence.ends(processor_time(child.id()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                // What has ended and was not waited for is still there to be asked.
                heard.silence.ends(processor_time(child.id()));
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {
                let (is_awake, computed) = (is_awake(child.id()), processor_time(child.id()));
                let is_over = heard.silence.goes_on(is_awake, computed, patience);
                if is_over {
                    return Some(Outcome::Timeout);
                }
            }
        }
    }
}

/// What a program has done since its last line.
#[derive(Default)]
struct Silence {
    /// What it had computed before.
    computed: Duration,
    slept: Duration,
    /// The longest that it has ever computed without a line.
    longest: Duration,
}

impl Silence {
    /// There is a line.
    fn ends(&mut self, computed: Duration) {
        let longest = self.longest.max(computed.saturating_sub(self.computed));
        *self = Self { computed, slept: Duration::ZERO, longest };
    }

    /// It was looked at once more; whether it hangs.
    fn goes_on(&mut self, is_awake: bool, computed: Duration, patience: Patience) -> bool {
        if !is_awake {
            self.slept += LOOKS;
        }
        let computing = computed.saturating_sub(self.computed);
        computing >= patience.computing || self.slept >= patience.waiting
    }
}

/// What a process has computed so far; nothing, if it is gone.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may contain anything; user and system time are the 12th and 13th
    // word after it, in hundredths.
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 =
        after.split(' ').skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Whether a thread of the process runs, or would.
fn is_awake(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
    let stats = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("stat")));
    // The state is the word after the name; a thread that has ended meanwhile has none.
    stats
        .flatten()
        .any(|stat| stat.rsplit(") ").next().is_some_and(|after| after.starts_with(['R', 'D'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { computing: Duration::from_millis(300), waiting: Duration::from_millis(1500) };

    fn script(body: &str) -> (PathBuf, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!(
            "weave-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/bash\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    /// One at a time: a script that another one's child still has open cannot be run.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    fn judged(body: &str) -> Outcome {
        let _alone = ALONE.lock();
        let (folder, program) = script(body);
        let outcome = judge(&[program], 7, PATIENCE);
        std::fs::remove_dir_all(folder).unwrap();
        outcome
    }

    #[test]
    fn what_ends_well_has_missed_the_mutant() {
        assert_eq!(judged("echo 'test a ... ok'"), Outcome::Missed);
    }

    #[test]
    fn a_bad_end_and_a_test_that_fails_catch_it() {
        assert_eq!(judged("exit 101"), Outcome::Caught);
        assert_eq!(judged("kill -ABRT $$"), Outcome::Caught);
        assert_eq!(judged("echo 'test a ... FAILED'; while :; do :; done"), Outcome::Caught);
    }

    #[test]
    fn what_computes_without_a_word_hangs() {
        assert_eq!(judged("while :; do :; done"), Outcome::Timeout);
    }

    #[test]
    fn what_sleeps_without_a_word_hangs() {
        assert_eq!(judged("exec sleep 60"), Outcome::Timeout);
    }

    #[test]
    fn what_wakes_now_and_then_hangs_and_what_waits_for_a_processor_does_not() {
        let looks = 100;
        let hangs = |wakes: fn(u32) -> bool| {
            let mut silence = Silence::default();
            (0..looks).any(|look| silence.goes_on(wakes(look), Duration::ZERO, PATIENCE))
        };
        assert!(hangs(|look| look % 2 == 0));
        assert!(!hangs(|_| true));
    }

    #[test]
    fn the_longest_silence_is_what_was_computed_between_two_lines() {
        let mut silence = Silence::default();
        for computed in [3, 10, 12] {
            silence.ends(Duration::from_secs(computed));
        }
        assert_eq!(silence.longest, Duration::from_secs(7));
    }

    #[test]
    fn what_fails_without_any_mutant_cannot_be_measured() {
        let _alone = ALONE.lock();
        let (folder, program) = script("echo 'test a ... FAILED'");
        assert!(measure(&program, PATIENCE).is_err_and(|problem| problem.ends_with("Caught")));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_passed_is_left_out_when_it_is_asked_again() {
        let body = r#"
            [[ "$*" == *--exact* ]] || { echo 'test a ... ok'; exec sleep 60; }
            [[ "$*" == '--exact --skip a' ]] && echo 'test b ... ok'"#;
        assert_eq!(judged(body), Outcome::Missed);
        let ends_in_vain = r#"
            [[ "$*" == *--exact* ]] || { echo 'test a ... ok'; exec sleep 60; }"#;
        assert_eq!(judged(ends_in_vain), Outcome::Timeout);
    }

    #[test]
    fn a_program_is_told_which_mutant() {
        assert_eq!(judged("[[ $HALFSHAKE_MUTANT == 7 ]]"), Outcome::Missed);
    }
}
