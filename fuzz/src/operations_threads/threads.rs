//! The threads that play a script: the system's, which meet at some operations, or shuttle's, which
//! a scheduler lets go on one step at a time.

use super::Kind;

pub(super) use imp::*;

/// What a thread is at.
#[derive(Clone, Copy, Debug)]
pub(super) struct During {
    pub(super) kind: Kind,
    pub(super) called: u64,
    /// The clock's, then.
    pub(super) tick: u64,
    /// Events that it has told so far.
    pub(super) told: u64,
    /// How often it has asked outside so far.
    pub(super) asked: u64,
}

impl During {
    pub(super) fn begun(kind: Kind, called: u64, tick: u64) -> Self {
        Self { kind, called, tick, told: 0, asked: 0 }
    }
}

#[cfg(not(halfshake_shuttle))]
mod imp {
    use super::During;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    thread_local! {
        static AT: Cell<Option<During>> = const { Cell::new(None) };
    }

    pub(in super::super) fn during() -> Option<During> {
        AT.get()
    }

    pub(in super::super) fn set_during(during: Option<During>) {
        AT.set(during);
    }

    /// Where all threads wait for one another. They spin: threads that are woken begin one after
    /// the other.
    #[derive(Debug)]
    pub(in super::super) struct Meeting {
        came: AtomicUsize,
        /// One has panicked, and comes no more.
        is_off: AtomicBool,
        players: usize,
    }

    const SPINS: u32 = 2_000;

    impl Meeting {
        pub(in super::super) fn meet(&self) {
            let number = self.came.fetch_add(1, SeqCst) / self.players;
            let mut spins = 0;
            let all = (number + 1) * self.players;
            while self.came.load(SeqCst) < all && !self.is_off.load(SeqCst) {
                spins += 1;
                if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
    }

    /// Whoever panics keeps nobody waiting.
    struct Leaves(Arc<Meeting>);

    impl Drop for Leaves {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.is_off.store(true, SeqCst);
            }
        }
    }

    pub(in super::super) fn play(
        players: usize,
        play: impl Fn(usize, &Meeting) + Send + Sync + 'static,
    ) {
        let meeting =
            Meeting { came: AtomicUsize::new(0), is_off: AtomicBool::new(false), players };
        let meeting = Arc::new(meeting);
        let play = Arc::new(play);
        let all: Vec<_> = (0..players)
            .map(|player| {
                let (meeting, play) = (Leaves(meeting.clone()), play.clone());
                std::thread::spawn(move || {
                    meeting.0.meet();
                    play(player, &meeting.0);
                })
            })
            .collect();
        let ended: Vec<_> = all.into_iter().map(std::thread::JoinHandle::join).collect();
        for end in ended {
            end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }

    /// Waits for a future. One that nobody wakes hangs.
    pub(in super::super) fn block_on<T>(future: impl Future<Output = T>) -> T {
        pollster::block_on(future)
    }

    /// Some moments, or, from 32 on, gives the processor away.
    pub(in super::super) fn pause(times: u8) {
        match times.checked_sub(32) {
            None => (0..u32::from(times) * 4).for_each(|_| std::hint::spin_loop()),
            Some(times) => (0..=times).for_each(|_| std::thread::yield_now()),
        }
    }
}

#[cfg(halfshake_shuttle)]
mod imp {
    use super::During;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::time::Duration;

    shuttle::thread_local! {
        static AT: Cell<Option<During>> = Cell::new(None);
    }

    pub(in super::super) fn during() -> Option<During> {
        AT.with(Cell::get)
    }

    pub(in super::super) fn set_during(during: Option<During>) {
        AT.with(|at| at.set(during));
    }

    /// The scheduler lets threads meet.
    #[derive(Debug)]
    pub(in super::super) struct Meeting;

    impl Meeting {
        pub(in super::super) fn meet(&self) {}
    }

    pub(in super::super) fn play(
        players: usize,
        play: impl Fn(usize, &Meeting) + Send + Sync + 'static,
    ) {
        let play = Arc::new(play);
        let all: Vec<_> = (0..players)
            .map(|player| {
                let play = play.clone();
                shuttle::thread::spawn(move || play(player, &Meeting))
            })
            .collect();
        all.into_iter().for_each(|player| player.join().expect("no player panics"));
    }

    /// Waits for a future. One that nobody wakes is a deadlock, which fails.
    pub(in super::super) fn block_on<T>(future: impl Future<Output = T>) -> T {
        shuttle::future::block_on(future)
    }

    /// Some steps.
    pub(in super::super) fn pause(times: u8) {
        (0..=times % 8).for_each(|_| shuttle::thread::sleep(Duration::ZERO));
    }
}
