//! Plans on shuttle's threads. A seed says what is played, on which collector, and who goes on at
//! each step: one number repeats a run.

use crate::game::play;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::random::Random;
use crate::sessions;
use halfshake::model::{Epoch, begin};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::cell::Cell;
use std::sync::{Arc, Mutex};

/// Far more steps than any run takes: more of them are a livelock.
const MOST_STEPS: usize = 1_000_000;
/// Steps of one operation, roughly: priorities change at any of those of a plan.
const STEPS: u64 = 40;
/// Steps of a script of sessions, roughly.
const SESSION_STEPS: u64 = 4_000;

/// Each third seed plays on a session cache.
#[must_use]
pub fn is_of_sessions(seed: u64) -> bool {
    seed.is_multiple_of(3)
}

/// What a seed plays, in words.
#[must_use]
pub fn describe(seed: u64) -> String {
    match is_of_sessions(seed) {
        true => format!("{:#?}", sessions::script(seed)),
        false => format!("{:#?}", Plan::short(seed)),
    }
}

thread_local! {
    /// The seed of the run on this thread.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// The seed of the run on this thread.
#[must_use]
pub fn seed() -> u64 {
    SEED.get()
}

/// How the next thread is chosen.
#[derive(Clone, Debug)]
enum Choice {
    /// Any thread, or, but for one in so many steps, the same one.
    Random(u64),
    /// The one with the highest priority, which falls at a few steps (probabilistic concurrency
    /// testing: Burckhardt and others, 2010). Those of threads by their numbers; 0 is none yet.
    Priorities { of: Vec<u64>, falls_at: Vec<u64>, lowest: u64 },
}

/// Where the priority of a thread is kept.
fn priority_of(of: &mut Vec<u64>, thread: TaskId) -> &mut u64 {
    let number = usize::from(thread);
    of.resize(of.len().max(number + 1), 0);
    &mut of[number]
}

/// Runs seeds, one after the other.
#[derive(Debug)]
struct Seeds {
    next: u64,
    left: u64,
    by: u64,
    random: Random,
    choice: Choice,
    step: u64,
}

impl Seeds {
    fn choose(seed: u64, random: &mut Random) -> Choice {
        match random.below(4) {
            0 | 1 => {
                let falls = 1 + random.below(5);
                let steps = match is_of_sessions(seed) {
                    true => SESSION_STEPS,
                    false => Plan::short(seed).operations() as u64 * STEPS,
                };
                let falls_at = (0..falls).map(|_| random.below(steps)).collect();
                // High priorities are drawn from above; those that fell follow one another below.
                Choice::Priorities { of: Vec::new(), falls_at, lowest: 1 << 32 }
            }
            2 => Choice::Random(1),
            _ => Choice::Random(4 + random.below(30)),
        }
    }
}

impl Scheduler for Seeds {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.left == 0 {
            return None;
        }
        let seed = self.next;
        (self.next, self.left, self.step) = (seed + self.by, self.left - 1, 0);
        SEED.set(seed);
        self.random = Random::new(seed, 3);
        self.choice = Self::choose(seed, &mut self.random);
        Some(Schedule::new(seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        yields: bool,
    ) -> Option<TaskId> {
        let (random, step) = (&mut self.random, self.step);
        self.step += 1;
        match &mut self.choice {
            Choice::Random(one_in) => {
                let goes_on = runnable.iter().find(|task| Some(task.id()) == current);
                match goes_on {
                    Some(same) if !yields && !random.one_in(*one_in) => Some(same.id()),
                    _ => Some(random.choose(runnable).id()),
                }
            }
            Choice::Priorities { of, falls_at, lowest } => {
                if let Some(current) = current
                    && (yields || falls_at.contains(&step))
                {
                    *lowest -= 1;
                    *priority_of(of, current) = *lowest;
                }
                for task in runnable {
                    let priority = priority_of(of, task.id());
                    if *priority == 0 {
                        *priority = (1 << 32) + random.next() % (1 << 32);
                    }
                }
                runnable.iter().map(|task| task.id()).max_by_key(|id| of[usize::from(*id)])
            }
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next()
    }
}

/// Runs `count` seeds from `first` on, each `by`-th one: what came of them.
///
/// # Panics
/// If a rule is broken in one of them: [`seed`] says in which.
#[must_use]
pub fn run(first: u64, count: u64, by: u64) -> Outcome {
    let sum = Arc::new(Mutex::new(Outcome::default()));
    let (random, choice) = (Random::new(0, 0), Choice::Random(1));
    let seeds = Seeds { next: first, left: count, by, random, choice, step: 0 };
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    // The seed is enough to repeat it.
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let outcomes = sum.clone();
    Runner::new(seeds, config).run(move || {
        let mut random = Random::new(SEED.get(), 4);
        let epoch = if random.one_in(4) { Epoch::Real } else { Epoch::Model };
        begin(epoch, 1 + random.below(3));
        let outcome = match is_of_sessions(SEED.get()) {
            true => sessions::play(sessions::script(SEED.get())),
            false => play(&Plan::short(SEED.get())),
        };
        outcomes.lock().expect("no run has failed").add(&outcome);
    });
    let sum = sum.lock().expect("no run has failed");
    sum.clone()
}
