//! Which processors threads run on: two that are to run at the same time must not share one while
//! another is free, and the scheduler does not promise that.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of this process in two parts: the last one, for whoever is measured, and those
/// before it, for whoever works besides.
#[derive(Clone)]
pub struct Apart {
    all: CpuSet,
    last: CpuSet,
    others: CpuSet,
}

/// The calling thread stays where it was put for as long as this lives.
pub struct Stay<'a>(&'a Apart);

impl Apart {
    /// `None` if there is but one processor, or if nobody says which there are.
    #[must_use]
    pub fn new() -> Option<Self> {
        let all = sched_getaffinity(None).ok()?;
        let number = (0..CpuSet::MAX_CPU).rev().find(|number| all.is_set(*number))?;
        let (mut last, mut others) = (CpuSet::new(), all);
        last.set(number);
        others.unset(number);
        (others.count() != 0).then_some(Self { all, last, others })
    }

    /// Puts the calling thread on the one processor. Threads that it starts meanwhile begin there.
    #[must_use]
    pub fn measured(&self) -> Stay<'_> {
        put(&self.last);
        Stay(self)
    }

    /// Puts the calling thread on the others.
    #[must_use]
    pub fn besides(&self) -> Stay<'_> {
        put(&self.others);
        Stay(self)
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        put(&self.0.all);
    }
}

fn put(on: &CpuSet) {
    sched_setaffinity(None, on).expect("the process may use them");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_are_kept_apart_and_let_go_again() {
        let Some(apart) = Apart::new() else { return };
        let now = || sched_getaffinity(None).expect("it was asked before");
        let before = now();
        let stay = apart.measured();
        let mine = now();
        let theirs = std::thread::scope(|scope| {
            let besides = scope.spawn(|| {
                let _stay = apart.besides();
                now()
            });
            besides.join().expect("nothing here panics")
        });
        assert_eq!(mine.count(), 1);
        assert_eq!(mine.count() + theirs.count(), before.count());
        assert!((0..CpuSet::MAX_CPU).all(|n| !(mine.is_set(n) && theirs.is_set(n))));
        drop(stay);
        assert_eq!(now(), before);
    }
}
