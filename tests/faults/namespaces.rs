//! Class 22: two configurations, one store, the same ids.

use crate::tried::{Random, amount, tried};
use halfshake::session::{Answer, Namespace, Rejection, Session, SessionCache, SessionId, Side};

const IDS: u64 = 64;
const NAMES: [&[u8]; 2] = [b"a", b"b"];

fn name(of: u64) -> Namespace {
    Namespace::new(NAMES[usize::try_from(of % 2).unwrap()]).unwrap()
}

fn id(of: u64) -> [u8; 32] {
    [of.to_le_bytes()[0]; 32]
}

fn session(cache: &SessionCache<u64>, whose: u64, of: u64) -> Session {
    let id = SessionId::new(&id(of)).unwrap();
    cache.make(&name(whose), id, 0x0303, NAMES[usize::try_from(whose % 2).unwrap()])
}

#[test]
fn sessions_never_cross_from_one_configuration_to_another_whatever_the_store_gives() {
    let operations = amount(20_000, 1_000_000);
    // The store knows no namespaces: by the connection's number it gives one or the other.
    let cache = SessionCache::<u64>::builder()
        .capacity(50)
        .remember_unknown(0, std::time::Duration::ZERO)
        .get_callback(|random, asked| {
            let of = u64::from(asked.id()[0]);
            match random % 3 {
                0 => Answer::unknown(),
                1 => Answer::handed_over(session(asked.cache(), random / 3, of)),
                _ => Answer::serialised(session(asked.cache(), random / 3, of).to_bytes().to_vec()),
            }
        })
        .build()
        .unwrap();
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let cache = &cache;
                scope.spawn(move || {
                    let (mut random, mut found) = (Random(thread), 0);
                    for _ in 0..operations / 2 {
                        let (whose, of, connection) =
                            (random.below(2), random.below(IDS), random.next() / 2);
                        let right = NAMES[usize::try_from(whose).unwrap()];
                        let got = match random.below(8) {
                            0 => {
                                let new = session(cache, whose, of);
                                cache.new_session(&connection, Side::Server, &new);
                                continue;
                            }
                            1 => {
                                cache.remove(&name(whose), &id(of));
                                continue;
                            }
                            2 => cache.take(&connection, &name(whose), &id(of)),
                            3 => cache.find(&name(whose), &id(of)),
                            _ => cache.resume(&connection, &name(whose), &id(of)),
                        };
                        if let Some(got) = got {
                            assert_eq!(got.payload(), right, "a session of the other one");
                            found += 1;
                        }
                    }
                    found
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
    });
    let rejected = cache.stats().rejected_for(Rejection::Namespace);
    assert!(found > operations / 10 && rejected > operations / 50, "{found}, {rejected}");
    cache.validate();
    tried(
        "22",
        "two configurations with the same ids, over a store that mixes them up",
        &format!("{operations} operations, {found} found, {rejected} rejected"),
        "none crosses",
    );
}
