//! Words that most models leave alone, and those that are about them explore. Model builds only.
//!
//! Each operation counts, and looks at the time and at gauges: if loom stepped before each of these
//! accesses, every model would have many times its executions. So these words are plain, but for
//! those that are made within [`exploring_words`].

use super::{AtomicU64, Ordering, PlainU64, current_model_thread};
use std::cell::RefCell;

thread_local! {
    /// Those of loom's threads whose words are explored now: they run on one thread of the system.
    static EXPLORING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Tells the model's threads apart: they run on one thread of the system, and share its locals.
pub(crate) fn model_thread() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    current_model_thread().id().hash(&mut hasher);
    hasher.finish()
}

/// Words that this thread makes within `make` are explored.
pub(crate) fn exploring_words<R>(make: impl FnOnce() -> R) -> R {
    let me = model_thread();
    EXPLORING.with_borrow_mut(|threads| threads.push(me));
    let made = make();
    EXPLORING.with_borrow_mut(|threads| {
        let at = threads.iter().rposition(|thread| *thread == me).expect("pushed above");
        threads.remove(at);
    });
    made
}

fn are_explored() -> bool {
    EXPLORING.with_borrow(|threads| !threads.is_empty() && threads.contains(&model_thread()))
}

/// Whether other threads' writes of this word are seen as late as its orderings allow.
pub(crate) fn is_explored(word: &Word) -> bool {
    matches!(word, Word::Explored(_))
}

/// A number: a counter, a gauge, a time.
#[derive(Debug)]
pub(crate) enum Word {
    Plain(PlainU64),
    Explored(AtomicU64),
}

impl Word {
    pub(crate) fn new(value: u64) -> Self {
        match are_explored() {
            true => Self::Explored(AtomicU64::new(value)),
            false => Self::Plain(PlainU64::new(value)),
        }
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        match self {
            Self::Plain(word) => word.load(order),
            Self::Explored(word) => word.load(order),
        }
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        match self {
            Self::Plain(word) => word.store(value, order),
            Self::Explored(word) => word.store(value, order),
        }
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Self::Plain(word) => word.fetch_add(value, order),
            Self::Explored(word) => word.fetch_add(value, order),
        }
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Self::Plain(word) => word.fetch_sub(value, order),
            Self::Explored(word) => word.fetch_sub(value, order),
        }
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Self::Plain(word) => word.fetch_max(value, order),
            Self::Explored(word) => word.fetch_max(value, order),
        }
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Self::Plain(word) => word.swap(value, order),
            Self::Explored(word) => word.swap(value, order),
        }
    }

    pub(crate) fn compare_exchange(
        &self,
        old: u64,
        new: u64,
        ok: Ordering,
        failed: Ordering,
    ) -> Result<u64, u64> {
        match self {
            Self::Plain(word) => word.compare_exchange(old, new, ok, failed),
            Self::Explored(word) => word.compare_exchange(old, new, ok, failed),
        }
    }
}

/// Yes or no: whether a block is owned, whether the threads have to stop.
#[derive(Debug)]
pub(crate) struct Flag(Word);

impl Flag {
    pub(crate) fn new(value: bool) -> Self {
        Self(Word::new(value.into()))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order) != 0
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.store(value.into(), order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value.into(), order) != 0
    }

    pub(crate) fn compare_exchange(
        &self,
        old: bool,
        new: bool,
        ok: Ordering,
        failed: Ordering,
    ) -> Result<bool, bool> {
        let changed = self.0.compare_exchange(old.into(), new.into(), ok, failed);
        changed.map(|found| found != 0).map_err(|found| found != 0)
    }
}
