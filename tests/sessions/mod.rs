//! A session cache on clocks that the test moves, and a log of its removals.
#![allow(dead_code, reason = "each test program uses a part")]

use halfshake::session::{
    Established, Namespace, NewSession, Session, SessionCache, SessionId, Times,
};
use halfshake::{Maintenance, ManualClock, RemovalCause};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Wall time at the start of each test.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// A connection has a number.
pub(crate) type Cache = SessionCache<u32>;
pub(crate) type Removals = Arc<Mutex<Vec<(Vec<u8>, RemovalCause)>>>;

pub(crate) struct World {
    pub(crate) cache: Cache,
    /// Both clocks: the monotonic one starts at 0, the other at [`EPOCH`].
    clocks: [Arc<ManualClock>; 2],
    removals: Removals,
}

impl World {
    pub(crate) fn new() -> Self {
        let clocks = [ManualClock::new(), ManualClock::new()];
        clocks[1].set(EPOCH);
        let cache = Cache::builder()
            .capacity(100)
            .timeout(SECOND * 300)
            .clock(clocks[0].clone())
            .wall_clock(clocks[1].clone())
            .maintenance(Maintenance::Embedder)
            .build(Namespace::new(b"www").unwrap())
            .unwrap();
        let removals = Removals::default();
        let log = removals.clone();
        cache.set_remove_callback(move |gone| {
            log.lock().unwrap().push((gone.session().id().to_vec(), gone.cause()));
        });
        Self { cache, clocks, removals }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clocks.iter().for_each(|clock| clock.advance(by));
    }

    pub(crate) fn removals(&self) -> Vec<(Vec<u8>, RemovalCause)> {
        std::mem::take(&mut self.removals.lock().unwrap())
    }

    pub(crate) fn negotiate(&self, id: &[u8]) -> Established {
        self.cache.new_session(&1, &new(id)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cache.validate();
        }
    }
}

pub(crate) fn new(id: &[u8]) -> NewSession {
    NewSession::new(SessionId::new(id).unwrap(), 0x0303, b"payload".to_vec())
}

pub(crate) fn times(created: u64, not_after: u64) -> Times {
    let at = |seconds| EPOCH + SECOND * u32::try_from(seconds).unwrap();
    Times { created: at(created), not_after: at(not_after), auth_not_after: at(1000) }
}

/// A session of an external cache.
pub(crate) fn session(namespace: &[u8], id: &[u8], times: Times) -> Session {
    let (namespace, id) = (Namespace::new(namespace).unwrap(), SessionId::new(id).unwrap());
    Session::new(namespace, id, 0x0303, times, b"from elsewhere".to_vec())
}
