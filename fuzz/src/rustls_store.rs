//! Any keys and values through the session store of rustls, against a map.
//!
//! Input: one call after another: a byte that says which, a namespace, an id, and for `put` a
//! value.

use arbitrary::{Arbitrary, Result, Unstructured};
use halfshake::rustls::{Namespace, SessionStore, session_store};
use halfshake::session::SessionCache;
use halfshake::{Maintenance, ManualClock};
use rustls_0_23::server::StoresServerSessions;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const ID_LEN: usize = 32;
const LIFETIME_MS: u64 = 100;
const LOOKUPS: u64 = 4;
/// More than there can be calls, so that nothing is evicted.
const CAPACITY: u64 = 1024;
const MOST_CALLS: usize = 256;

#[derive(Debug)]
enum Call {
    Put(u8, Vec<u8>, Vec<u8>),
    Get(u8, Vec<u8>),
    Take(u8, Vec<u8>),
    /// From now on through another connection.
    Connect,
    Advance(u8),
    Sweep,
}

/// An input.
#[derive(Debug)]
pub struct Script(Vec<Call>);

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let mut calls = Vec::new();
        while !input.is_empty() && calls.len() < MOST_CALLS {
            let which = u8::arbitrary(input)? % 8;
            calls.push(match which {
                0 | 1 => Call::Put(input.arbitrary()?, id(input)?, bytes(input)?),
                2 | 3 => Call::Get(input.arbitrary()?, id(input)?),
                4 => Call::Take(input.arbitrary()?, id(input)?),
                5 => Call::Connect,
                6 => Call::Advance(input.arbitrary()?),
                _ => Call::Sweep,
            });
        }
        Ok(Self(calls))
    }
}

/// As often as not one of a few good ones, so that calls meet; else any bytes.
fn id(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    match u8::arbitrary(input)? {
        few @ ..128 => Ok(vec![few % 8; ID_LEN]),
        128..192 => Ok(input.bytes(ID_LEN.min(input.len()))?.to_vec()),
        _ => bytes(input),
    }
}

fn bytes(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = usize::from(u8::arbitrary(input)?).min(input.len());
    Ok(input.bytes(len)?.to_vec())
}

/// Names of which some are beginnings of others.
fn namespace(which: u8) -> Vec<u8> {
    vec![b'n'; 1 + usize::from(which % 4)]
}

type Stores = Vec<Arc<SessionStore>>;
type Model = HashMap<(u8, Vec<u8>), (Vec<u8>, u64)>;

fn play(calls: Vec<Call>, cache: &SessionCache<()>, clock: &ManualClock) {
    let name = |which| Namespace::new(&namespace(which)).expect("short");
    let stores: Stores = (0..4).map(|which| session_store(cache, &name(which))).collect();
    let connect = || stores.iter().map(|store| store.connection(())).collect::<Vec<_>>();
    let (mut model, mut now) = (Model::new(), 0);
    let (mut scopes, mut asked) = (connect(), [0; 4]);
    for call in calls {
        match call {
            Call::Put(which, id, value) => {
                let which = which % 4;
                let good = id.len() == ID_LEN;
                let put = scopes[usize::from(which)].put(id.clone(), value.clone());
                assert_eq!(put, good, "put");
                if good {
                    model.insert((which, id), (value, now + LIFETIME_MS));
                }
            }
            Call::Get(which, id) | Call::Take(which, id)
                if asked[usize::from(which % 4)] == LOOKUPS =>
            {
                let scope = &scopes[usize::from(which % 4)];
                assert_eq!(scope.get(&id), None, "beyond the budget");
            }
            Call::Get(which, id) => {
                let which = which % 4;
                asked[usize::from(which)] += 1;
                let right = model.get(&(which, id.clone())).filter(|(_, until)| now < *until);
                let found = scopes[usize::from(which)].get(&id);
                assert_eq!(found.as_ref(), right.map(|(value, _)| value), "get");
            }
            Call::Take(which, id) => {
                let which = which % 4;
                asked[usize::from(which)] += 1;
                let right = model.remove(&(which, id.clone())).filter(|(_, until)| now < *until);
                let taken = scopes[usize::from(which)].take(&id);
                assert_eq!(taken, right.map(|(value, _)| value), "take");
            }
            Call::Connect => (scopes, asked) = (connect(), [0; 4]),
            Call::Advance(ms) => {
                clock.advance(Duration::from_millis(ms.into()));
                now += u64::from(ms);
            }
            Call::Sweep => {
                cache.run_maintenance(usize::MAX);
                model.retain(|_, (_, until)| now < *until);
                assert_eq!(cache.len(), model.len() as u64, "entries");
            }
        }
    }
}

impl Script {
    /// Makes the calls.
    pub fn run(self) {
        let clock = ManualClock::new();
        let cache = SessionCache::builder()
            .capacity(CAPACITY)
            .timeout(Duration::from_millis(LIFETIME_MS))
            .clock(clock.clone())
            .wall_clock(clock.clone())
            .maintenance(Maintenance::Embedder)
            .build()
            .expect("the configuration is fine");
        play(self.0, &cache, &clock);
        cache.validate();
    }
}
