//! The threads that play: the system's, which pause at random, or shuttle's, which a scheduler
//! lets go on one step at a time.

pub(crate) use imp::*;

#[cfg(not(halfshake_shuttle))]
mod imp {
    use crate::random::Random;
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    pub(crate) use std::thread::JoinHandle;

    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// How often the cache's own threads are given way to before that is in vain.
    pub(crate) const PATIENCE: u32 = 1_000_000;

    /// A player, with its number, from 1 on.
    pub(crate) fn spawn<T: Send + 'static>(
        number: usize,
        play: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        std::thread::spawn(move || {
            NUMBER.set(Some(number));
            play()
        })
    }

    /// The number of the calling player; none of the cache's own threads, and of whoever judges.
    pub(crate) fn number() -> Option<usize> {
        NUMBER.get()
    }

    /// Lets the cache's own threads go on.
    pub(crate) fn give_way() {
        std::thread::yield_now();
    }

    /// Where two players wait for one another, so that they go on at the same moment: short
    /// operations would rarely be under way together. They spin, for who is woken comes late.
    #[derive(Debug, Default)]
    pub(crate) struct Meeting(AtomicU64);

    const SPINS: u32 = 200;

    impl Meeting {
        pub(crate) fn meet(&self) {
            let both = self.0.fetch_add(1, SeqCst) / 2 * 2 + 2;
            let mut spins = 0;
            while self.0.load(SeqCst) < both {
                spins += 1;
                if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
    }

    /// Lets others go on, sometimes.
    pub(crate) fn pause(random: &mut Random) {
        match random.below(8) {
            0 => std::thread::yield_now(),
            1 => (0..random.below(300)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

#[cfg(halfshake_shuttle)]
mod imp {
    use crate::random::Random;
    pub(crate) use shuttle::thread::JoinHandle;
    use std::cell::Cell;
    use std::time::Duration;

    shuttle::thread_local! {
        static NUMBER: Cell<Option<usize>> = Cell::new(None);
    }

    /// How often the cache's own threads are given way to before that is in vain.
    pub(crate) const PATIENCE: u32 = 200;

    /// A player, with its number, from 1 on.
    pub(crate) fn spawn<T: Send + 'static>(
        number: usize,
        play: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        shuttle::thread::spawn(move || {
            NUMBER.with(|own| own.set(Some(number)));
            play()
        })
    }

    /// The number of the calling player; none of the cache's own threads, and of whoever judges.
    pub(crate) fn number() -> Option<usize> {
        NUMBER.with(Cell::get)
    }

    /// Lets the cache's own threads go on.
    pub(crate) fn give_way() {
        shuttle::thread::yield_now();
    }

    /// The scheduler lets players meet.
    #[derive(Debug, Default)]
    pub(crate) struct Meeting(());

    impl Meeting {
        pub(crate) fn meet(&self) {}
    }

    /// A step.
    pub(crate) fn pause(_random: &mut Random) {
        shuttle::thread::sleep(Duration::ZERO);
    }
}
