//! How a model is run: a cache, a few threads that race on it, and what must hold afterwards.
//!
//! loom executes the body of a model again and again, once for each order of the threads' steps (of
//! those with at most `LOOM_MAX_PREEMPTIONS` preemptions). Each model runs with its roles on the
//! threads in the given order and in the reverse one, for loom treats the first thread differently,
//! and bugs have been seen to show in one order only. A model says how many executions it expects
//! at least, and which outcomes it must have seen: one that explored too little has proved nothing.

#[cfg(not(halfshake_loom))]
compile_error!("models are built with RUSTFLAGS=\"--cfg halfshake_loom\": run ci/loom");

use halfshake::model::{self, Member, Model};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

pub use halfshake::model::Epoch;

/// What one thread of a model does.
pub type Role<T> = Box<dyn FnOnce(&Model, &Member) -> T>;

/// The same, without a membership.
pub type LoneRole<T> = Box<dyn FnOnce() -> T>;

/// A role, boxed.
pub fn role<T>(f: impl FnOnce(&Model, &Member) -> T + 'static) -> Role<T> {
    Box::new(f)
}

/// Which thread plays which role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last role runs on the first thread, the others are spawned in order.
    Given,
    /// The other way round.
    Swapped,
}

/// What `ci/loom` asks for, unless it is told otherwise.
const DEFAULT_PREEMPTIONS: usize = 2;

/// How a model is explored.
#[derive(Clone, Debug)]
pub struct Plan {
    name: &'static str,
    order: Order,
    epoch: Epoch,
    least: u64,
    preemptions: Option<usize>,
    retire_batch: u64,
    outcomes: &'static [&'static str],
}

impl Plan {
    /// Fewer executions than `least` are a failure.
    pub fn new(name: &'static str, order: Order, epoch: Epoch, least: u64) -> Self {
        Self { name, order, epoch, least, preemptions: None, retire_batch: 1, outcomes: &[] }
    }

    /// Another number than the default. The environment may ask for more, as of all models.
    #[must_use]
    pub fn with_preemptions(self, preemptions: usize) -> Self {
        Self { preemptions: Some(preemptions), ..self }
    }

    /// Retired ways go to the collector when there are so many; one is the rule.
    #[must_use]
    pub fn with_retire_batch(self, retire_batch: u64) -> Self {
        Self { retire_batch, ..self }
    }

    /// Outcomes that must be among those that [`Race::saw`] notes.
    #[must_use]
    pub fn that_sees(self, outcomes: &'static [&'static str]) -> Self {
        Self { outcomes, ..self }
    }

    /// How many preemptions are explored, where `given` are asked for.
    fn preemptions(&self, given: Option<usize>) -> Option<usize> {
        match (self.preemptions, given) {
            (Some(own), Some(given)) if given > DEFAULT_PREEMPTIONS => Some(own.max(given)),
            (own, given) => own.or(given),
        }
    }
}

/// One execution of a model.
#[derive(Debug)]
pub struct Race {
    order: Order,
    preemptions: Option<usize>,
    seen: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Race {
    /// Runs the roles at the same time and joins them. The answers are in the order of the roles.
    pub fn run<T: 'static, const N: usize>(&self, cache: &Model, roles: [Role<T>; N]) -> [T; N] {
        self.run_as(cache, self.members(cache), roles)
    }

    /// Memberships for the roles of `run_as`, each of which was pinned once: the first pin of each
    /// on the real collector tries to advance the epoch.
    pub fn members<const N: usize>(&self, cache: &Model) -> [Member; N] {
        std::array::from_fn(|_| {
            let me = cache.member();
            cache.observe(&me);
            me
        })
    }

    /// As `run`, with the memberships of the roles. They begin before the threads and end after
    /// them: these steps are many on the real collector, and of no interest here.
    pub fn run_as<T: 'static, const N: usize>(
        &self,
        cache: &Model,
        members: [Member; N],
        roles: [Role<T>; N],
    ) -> [T; N] {
        let mut roles: Vec<_> = roles.into_iter().zip(members).collect();
        if self.order == Order::Swapped {
            roles.reverse();
        }
        let before = cache.recycled();
        let (here, me) = roles.pop().expect("a model has roles");
        let spawned: Vec<_> = roles
            .into_iter()
            .map(|(role, me)| {
                let cache = cache.clone();
                loom::thread::spawn(move || (role(&cache, &me), me))
            })
            .collect();
        let own = here(cache, &me);
        let mut ended: Vec<_> =
            spawned.into_iter().map(|t| t.join().expect("a role panicked")).collect();
        ended.push((own, me));
        if cache.recycled() > before {
            self.saw("freed before the joins");
        }
        if self.order == Order::Swapped {
            ended.reverse();
        }
        let answers: Vec<T> = ended.into_iter().map(|(answer, _)| answer).collect();
        answers.try_into().unwrap_or_else(|_| unreachable!("one answer for each role"))
    }

    /// As `run`; then checks the law of removal and all structural invariants.
    pub fn check<T: 'static, const N: usize>(&self, cache: &Model, roles: [Role<T>; N]) -> [T; N] {
        let answers = self.run(cache, roles);
        cache.check_law(&cache.member());
        answers
    }

    /// Runs roles that need no membership at the same time and joins them: those of a cache whose
    /// threads have memberships of their own.
    pub fn run_alone<T: 'static, const N: usize>(&self, roles: [LoneRole<T>; N]) -> [T; N] {
        let mut roles: Vec<_> = roles.into_iter().collect();
        if self.order == Order::Swapped {
            roles.reverse();
        }
        let here = roles.pop().expect("a model has roles");
        let spawned: Vec<_> = roles.into_iter().map(loom::thread::spawn).collect();
        let own = here();
        let mut answers: Vec<T> =
            spawned.into_iter().map(|t| t.join().expect("a role panicked")).collect();
        answers.push(own);
        if self.order == Order::Swapped {
            answers.reverse();
        }
        answers.try_into().unwrap_or_else(|_| unreachable!("one answer for each role"))
    }

    /// How many preemptions are explored; `None`: all.
    pub fn preemptions(&self) -> Option<usize> {
        self.preemptions
    }

    /// Notes an outcome: see [`Plan::that_sees`].
    pub fn saw(&self, outcome: &'static str) {
        *self.seen.lock().expect("one thread").entry(outcome).or_default() += 1;
    }
}

/// Explores a model, and says how much was explored.
///
/// # Panics
/// If an assertion of the model fails in any execution, or too little was explored.
pub fn explore(plan: &Plan, body: fn(&Race)) {
    let executions = Arc::new(AtomicU64::new(0));
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let mut builder = loom::model::Builder::new();
    builder.max_branches = builder.max_branches.max(20_000);
    let preemptions = plan.preemptions(builder.preemption_bound);
    builder.preemption_bound = preemptions;
    let begun = std::time::Instant::now();
    let (counter, outcomes) = (executions.clone(), seen.clone());
    let Plan { name, order, epoch, least, retire_batch, .. } = *plan;
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        model::begin(epoch, retire_batch);
        body(&Race { order, preemptions, seen: outcomes.clone() });
    });
    let executions = executions.load(Relaxed);
    let seen = seen.lock().expect("the model is done").clone();
    println!(
        "MODEL {name} {order:?} {epoch:?}: {executions} executions, {:.2} s, saw {seen:?}",
        begun.elapsed().as_secs_f64()
    );
    for outcome in plan.outcomes {
        assert!(seen.contains_key(outcome), "{name}: never saw {outcome:?}, but {seen:?}");
    }
    assert!(executions >= least, "{name}: {executions} executions, at least {least} expected");
}

/// Declares the two tests of a model, one for each order: a module of its name. `real`: on
/// crossbeam-epoch.
#[macro_export]
macro_rules! model {
    ($name:ident, real, $($rest:tt)*) => {
        $crate::model!(@ $name, $crate::Epoch::Real, $($rest)*);
    };
    (@ $name:ident, $epoch:expr, least $least:literal $(, preemptions $most:literal)?
        $(, batch $batch:literal)? $(, sees [$($seen:literal),*])?) => {
        mod $name {
            fn explore(order: $crate::Order) {
                let plan = $crate::Plan::new(stringify!($name), order, $epoch, $least);
                $(let plan = plan.with_preemptions($most);)?
                $(let plan = plan.with_retire_batch($batch);)?
                $(let plan = plan.that_sees(&[$($seen),*]);)?
                $crate::explore(&plan, super::$name);
            }

            #[test]
            fn given() {
                explore($crate::Order::Given);
            }

            #[test]
            fn swapped() {
                explore($crate::Order::Swapped);
            }
        }
    };
    ($name:ident, $($rest:tt)*) => {
        $crate::model!(@ $name, $crate::Epoch::Model, $($rest)*);
    };
}
