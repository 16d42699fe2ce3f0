//! Processor time, which preemption by other programs does not touch, and wall time, which it does.

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// What a measured piece of work took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Processor time of the measuring thread.
    pub thread: u64,
    /// Processor time of the whole process: more than `thread` if a contestant has threads.
    pub process: u64,
    /// Time on the wall.
    pub wall: u64,
}

/// A running measurement.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    thread: u64,
    process: u64,
    wall: Instant,
}

impl Watch {
    /// Starts to measure.
    #[must_use]
    pub fn start() -> Self {
        let process = read(ClockId::ProcessCPUTime);
        let wall = Instant::now();
        Self { thread: thread_time(), process, wall }
    }

    /// What was spent since the start.
    #[must_use]
    pub fn spent(self) -> Spent {
        let thread = thread_time() - self.thread;
        let wall = u64::try_from(self.wall.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Spent { thread, process: read(ClockId::ProcessCPUTime) - self.process, wall }
    }
}

/// Processor time of the calling thread so far.
#[must_use]
pub fn thread_time() -> u64 {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let at = clock_gettime(clock);
    let (seconds, rest) = (u64::try_from(at.tv_sec), u64::try_from(at.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + rest.unwrap_or(0)
}
