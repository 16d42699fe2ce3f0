//! Any get callback, in any order with all else that a session cache does, against a model of what
//! the contract says.
//!
//! One thread, clocks that stand still unless told otherwise, and callbacks that answer, panic, are
//! late, are cancelled, and operate on the cache themselves. See `script.rs` for what an input
//! means, `model.rs` for what is asserted.

mod found;
mod model;
mod play;
mod player;
mod script;
mod world;

use halfshake::session::SessionCache;
use halfshake::{Maintenance, ManualClock};
use player::Player;
pub use script::Script;
use script::{Op, Setup};
use std::sync::Arc;
use std::time::Duration;
use world::World;

pub(crate) type Cache = SessionCache<u32>;

pub(crate) const MOST_SESSIONS: u64 = 64;
const MAX_LIFETIME: Duration = Duration::from_secs(1);
const UPTIME: Duration = Duration::from_secs(10_000);
const TODAY: Duration = Duration::from_secs(1_800_000_000);
const AN_HOUR: Duration = Duration::from_secs(3600);

fn build(setup: &Setup, clock: &Arc<ManualClock>, wall: &Arc<ManualClock>) -> Cache {
    let ms = Duration::from_millis;
    SessionCache::builder()
        .capacity(setup.capacity)
        .max_capacity(MOST_SESSIONS)
        .max_id_bytes(setup.id_max)
        .max_payload_bytes(model::MOST_PAYLOAD)
        .modes(setup.modes)
        .timeout(ms(setup.timeout_ms))
        .max_lifetime(MAX_LIFETIME)
        .clock_skew(ms(model::SKEW_MS))
        .lookup_timeout(if setup.impatient { Duration::ZERO } else { AN_HOUR })
        .remember_unknown(1024, ms(setup.unknown_ms))
        .breaker(setup.failures, ms(model::BREAK_MS))
        .clock(clock.clone())
        .wall_clock(wall.clone())
        .maintenance(Maintenance::Embedder)
        .build()
        .expect("good settings")
}

fn run(setup: Setup, ops: &[Op]) {
    let (clock, wall) = (ManualClock::new(), ManualClock::new());
    clock.set(UPTIME);
    wall.set(TODAY);
    let cache = build(&setup, &clock, &wall);
    let getter = setup.getter;
    let world = World::new(setup, clock, wall);
    world.set_get(&cache, getter);
    world.set_others(&cache);
    let mut player = Player::new(&world, &cache);
    ops.iter().for_each(|op| player.play(op));
    player.end();
    cache.validate();
    // The end of the last handle: a panic of a callback does not leave it.
    world.model().begin(model::Doing::Shutdown);
    drop(cache);
    let mut model = world.model();
    model.end();
    assert!(model.is_settled() && model.entries().count() == 0, "a session has no removal event");
    drop(model);
    assert!(world.is_balanced(), "references are not balanced");
    assert_eq!(Arc::strong_count(&world), 1, "a callback outlives its cache");
}

impl Script {
    /// Plays it.
    pub fn run(self) {
        run(self.setup, &self.ops);
    }
}
