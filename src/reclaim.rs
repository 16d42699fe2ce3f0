//! Epochs: who may still be reading, and when what was unlinked may be used again.
//!
//! The only file that names `crossbeam_epoch`. Each cache has a [`Collector`] of its own, so that
//! nobody else's pinned thread holds its memory back. What is deferred here never runs user code:
//! the functions only hand a batch of retired ways on (see [`crate::table::retired`]), because
//! crossbeam runs them inside whatever `pin()` happens to come along, also a reader's.
//!
//! # Reclamation
//!
//! A [`Guard`] *pins* its thread: a function deferred while, or after, the guard was pinned runs
//! only after it is gone. `Guard::repin` starts a new pin without the full fence of `pin`; the
//! epoch that it loads relaxed is followed by an acquire fence, for without it the thread may adopt
//! an epoch and still read what was unlinked before that epoch began.
//!
//! That fence is enough where a store becomes visible to all other processors at once (x86-64,
//! aarch64): the read of the new epoch, then of what was unlinked before it. A machine without that
//! property would need a full fence.
//!
//! `repin` never collects; `Guard::flush` does, and so does every 128th outermost `pin`.
//!
//! Unsafe is checked by: `real::real_get_take`, `real::real_take_take`; model builds alone
//! have it.

#[cfg(not(any(halfshake_loom, halfshake_shuttle)))]
mod imp {
    pub(crate) use super::real::{Collector, Guard, Participant};

    /// Retired ways of one thread that are handed to the collector together.
    pub(crate) fn retire_batch() -> u64 {
        64
    }
}

mod real {
    //! crossbeam-epoch: what ships, and, behind a gate, what models explore.

    use crate::sync::{Ordering, fence};

    /// The participants of one cache, and their garbage.
    #[derive(Debug)]
    pub(crate) struct Collector(crossbeam_epoch::Collector);

    /// One thread's, or one reader's, membership. It stays on its thread.
    #[derive(Debug)]
    pub(crate) struct Participant(crossbeam_epoch::LocalHandle);

    /// Proof that its participant is pinned.
    #[derive(Debug)]
    pub(crate) struct Guard(crossbeam_epoch::Guard);

    impl Collector {
        pub(crate) fn new() -> Self {
            Self(crossbeam_epoch::Collector::new())
        }

        pub(crate) fn register(&self) -> Participant {
            Participant(self.0.register())
        }
    }

    impl Participant {
        #[inline]
        pub(crate) fn pin(&self) -> Guard {
            Guard(self.0.pin())
        }
    }

    impl Guard {
        /// Ends this pin and begins another; nothing may be borrowed under the old one, and no way
        /// claimed under the new one (`Set::recycle` goes by the fence of a whole pin).
        ///
        /// A no-op while the participant has a second guard.
        #[inline]
        pub(crate) fn repin(&mut self) {
            self.0.repin();
            // Acquire: pairs with the release of the epoch by whoever advanced it; what was
            // unlinked before the epoch that was just adopted must not be seen any more.
            fence(Ordering::Acquire);
        }

        /// Runs `f` once every guard pinned now is gone.
        #[inline]
        pub(crate) fn defer(&self, f: impl FnOnce() + Send + 'static) {
            self.0.defer(f);
        }

        /// Makes what was deferred visible to all, tries to advance the epoch, and runs some of
        /// what is due.
        pub(crate) fn flush(&self) {
            self.0.flush();
        }
    }
}

#[cfg(any(halfshake_loom, halfshake_shuttle))]
mod imp {
    //! Two back ends for models: the *model epoch*, which frees as early as the specification of
    //! an epoch allows, and the real crossbeam-epoch, fully explored.
    //!
    //! The *gate* is one explored word that every pin and every deferral touches first: fences are
    //! no scheduling points for loom, and without it pins and retires are not tried in every order.

    use super::real;
    use crate::sync::{AtomicU64, Ordering, unexplored};
    use std::cell::Cell;
    use std::mem::ManuallyDrop;
    use std::sync::{Arc, Mutex};

    thread_local! {
        /// What the model that runs on this thread asked for.
        static SET_UP: Cell<SetUp> = const { Cell::new(SetUp { real: false, batch: 1 }) };
    }

    /// What a model may choose.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SetUp {
        /// The real crossbeam-epoch, instead of the model epoch.
        pub(crate) real: bool,
        /// See [`retire_batch`].
        pub(crate) batch: u64,
    }

    pub(crate) fn set_up(set_up: SetUp) {
        SET_UP.set(set_up);
    }

    /// Retired ways of one thread that are handed to the collector together. One, as a rule: what
    /// is freed only after the model's joins is ordered by them.
    pub(crate) fn retire_batch() -> u64 {
        SET_UP.get().batch
    }

    /// Threads and readers of one execution, those that have ended included.
    const PARTICIPANTS: usize = if cfg!(halfshake_loom) { 8 } else { 16 };
    type Job = Box<dyn FnOnce() + Send>;

    #[derive(Debug)]
    pub(crate) enum Collector {
        Model(Arc<ModelEpoch>),
        Real(ManuallyDrop<real::Collector>, Arc<AtomicU64>),
    }

    #[derive(Debug)]
    pub(crate) enum Participant {
        Model(Arc<ModelEpoch>, usize),
        Real(ManuallyDrop<real::Participant>, Arc<AtomicU64>),
    }

    #[derive(Debug)]
    pub(crate) enum Guard {
        Model(Arc<ModelEpoch>, usize),
        Real(ManuallyDrop<real::Guard>, Arc<AtomicU64>),
    }

    /// The specification of an epoch, in plain state (all of a model runs on one OS thread).
    ///
    /// Its only edges: an unpin releases, whoever frees acquires every unpin; a retire releases,
    /// a later pin acquires it.
    pub(crate) struct ModelEpoch {
        state: Mutex<State>,
        unpins: [AtomicU64; PARTICIPANTS],
        retires: AtomicU64,
        gate: AtomicU64,
    }

    impl std::fmt::Debug for ModelEpoch {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("ModelEpoch")
        }
    }

    #[derive(Default)]
    struct State {
        participants: usize,
        pins: u64,
        pinned: [Option<u64>; PARTICIPANTS],
        garbage: Vec<(Vec<(usize, u64)>, Job)>,
    }

    impl ModelEpoch {
        fn state(&self) -> std::sync::MutexGuard<'_, State> {
            self.state.lock().expect("a model runs on one thread")
        }

        fn pin(&self, me: usize) {
            self.gate.store(0, Ordering::Relaxed);
            // Acquire: pairs with the Release in `defer`; a later guard sees what was unlinked.
            unexplored(|| self.retires.fetch_add(0, Ordering::Acquire));
            let mut state = self.state();
            state.pins += 1;
            let pin = state.pins;
            assert!(state.pinned[me].is_none(), "nested pin");
            state.pinned[me] = Some(pin);
        }

        fn unpin(&self, me: usize) {
            // Release: pairs with the Acquire in `free`.
            unexplored(|| self.unpins[me].fetch_add(1, Ordering::Release));
            let due: Vec<Job> = {
                let mut state = self.state();
                let pin = state.pinned[me].take().expect("pinned");
                for (waits_for, _) in &mut state.garbage {
                    waits_for.retain(|g| *g != (me, pin));
                }
                let (due, wait): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut state.garbage).into_iter().partition(|g| g.0.is_empty());
                state.garbage = wait;
                due.into_iter().map(|g| g.1).collect()
            };
            due.into_iter().for_each(|job| self.free(job));
        }

        fn free(&self, job: Job) {
            let participants = self.state().participants;
            unexplored(|| {
                for unpin in &self.unpins[..participants] {
                    // Acquire: pairs with the Release in `unpin`.
                    unpin.fetch_add(0, Ordering::Acquire);
                }
            });
            job();
        }

        fn defer(&self, job: Job) {
            self.gate.store(0, Ordering::Relaxed);
            // Release: pairs with the Acquire in `pin`.
            unexplored(|| self.retires.fetch_add(1, Ordering::Release));
            let mut state = self.state();
            let waits_for: Vec<_> =
                state.pinned.iter().enumerate().filter_map(|(i, p)| p.map(|p| (i, p))).collect();
            if waits_for.is_empty() {
                drop(state);
                self.free(job);
            } else {
                state.garbage.push((waits_for, job));
            }
        }
    }

    impl Collector {
        pub(crate) fn new() -> Self {
            if SET_UP.get().real {
                let collector = ManuallyDrop::new(real::Collector::new());
                return Self::Real(collector, Arc::new(AtomicU64::new(0)));
            }
            Self::Model(Arc::new(ModelEpoch {
                state: Mutex::default(),
                unpins: std::array::from_fn(|_| AtomicU64::new(0)),
                retires: AtomicU64::new(0),
                gate: AtomicU64::new(0),
            }))
        }

        pub(crate) fn register(&self) -> Participant {
            match self {
                Self::Model(epoch) => {
                    let mut state = epoch.state();
                    state.participants += 1;
                    Participant::Model(epoch.clone(), state.participants - 1)
                }
                Self::Real(collector, gate) => {
                    Participant::Real(ManuallyDrop::new(collector.register()), gate.clone())
                }
            }
        }
    }

    impl Participant {
        pub(crate) fn pin(&self) -> Guard {
            match self {
                Self::Model(epoch, me) => {
                    epoch.pin(*me);
                    Guard::Model(epoch.clone(), *me)
                }
                Self::Real(handle, gate) => {
                    gate.store(0, Ordering::Relaxed);
                    Guard::Real(ManuallyDrop::new(handle.pin()), gate.clone())
                }
            }
        }
    }

    impl Guard {
        pub(crate) fn repin(&mut self) {
            match self {
                Self::Model(epoch, me) => {
                    epoch.unpin(*me);
                    epoch.pin(*me);
                }
                Self::Real(guard, gate) => {
                    gate.store(0, Ordering::Relaxed);
                    guard.repin();
                }
            }
        }

        pub(crate) fn defer(&self, f: impl FnOnce() + Send + 'static) {
            match self {
                Self::Model(epoch, _) => epoch.defer(Box::new(f)),
                Self::Real(guard, gate) => {
                    gate.store(0, Ordering::Relaxed);
                    guard.defer(f);
                }
            }
        }

        pub(crate) fn flush(&self) {
            if let Self::Real(guard, _) = self {
                guard.flush();
            }
        }
    }

    // A destructor that takes a loom step while unwinding aborts the process: leak instead.
    impl Drop for Guard {
        fn drop(&mut self) {
            if std::thread::panicking() {
                return;
            }
            match self {
                Self::Model(epoch, me) => epoch.unpin(*me),
                Self::Real(guard, _) => {
                    // SAFETY: dropped here only, and the field is never touched again.
                    unsafe { ManuallyDrop::drop(guard) }
                }
            }
        }
    }

    impl Drop for Participant {
        fn drop(&mut self) {
            if let (Self::Real(handle, _), false) = (self, std::thread::panicking()) {
                // SAFETY: dropped here only, and the field is never touched again.
                unsafe { ManuallyDrop::drop(handle) }
            }
        }
    }

    impl Drop for Collector {
        fn drop(&mut self) {
            if let (Self::Real(collector, _), false) = (self, std::thread::panicking()) {
                // SAFETY: dropped here only, and the field is never touched again.
                unsafe { ManuallyDrop::drop(collector) }
            }
        }
    }
}

pub(crate) use imp::*;
