//! Random scripts against the sequential model, under a matrix of configurations.

use crate::sequential::{Bytes, Config, Op, Pairs, Timeout, run};
use halfshake::Delivery;
use proptest::collection::vec;
use proptest::prelude::*;

fn keys() -> impl Strategy<Value = u8> {
    // Few keys meet often, many fill a cache.
    prop_oneof![3 => 0..6u8, 2 => 0..40u8, 1 => any::<u8>()]
}

fn sizes() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0..30u8, 1 => any::<u8>()]
}

fn timeouts() -> impl Strategy<Value = Timeout> {
    prop_oneof![
        Just(Timeout::Zero),
        Just(Timeout::Nanosecond),
        (0..40u8).prop_map(Timeout::Milliseconds),
        Just(Timeout::Huge),
    ]
}

fn inserts() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (keys(), sizes()).prop_map(|(key, size)| Op::Insert { key, size }),
        3 => (keys(), sizes(), timeouts())
            .prop_map(|(key, size, timeout)| Op::InsertWithTimeout { key, size, timeout }),
        2 => (keys(), sizes()).prop_map(|(key, size)| Op::InsertIfAbsent { key, size }),
        2 => (keys(), sizes()).prop_map(|(key, size)| Op::Replace { key, size }),
        1 => vec((keys(), sizes()), 0..20).prop_map(Op::InsertMany),
        1 => (keys(), sizes()).prop_map(|(key, size)| Op::GetOrInsert { key, size }),
        1 => (keys(), sizes()).prop_map(|(key, size)| Op::ReaderInsert { key, size }),
    ]
}

fn look_ups() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => keys().prop_map(Op::Get),
        1 => vec(keys(), 0..40).prop_map(Op::GetMany),
        1 => keys().prop_map(Op::Contains),
        2 => keys().prop_map(Op::Identify),
        1 => Just(Op::Iterate),
        2 => keys().prop_map(Op::ReaderGet),
        1 => vec(keys(), 0..40).prop_map(Op::ReaderGetMany),
        1 => keys().prop_map(Op::ReaderContains),
        1 => Just(Op::Unpin),
    ]
}

fn removals() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => keys().prop_map(Op::Take),
        2 => keys().prop_map(Op::Remove),
        2 => any::<u8>().prop_map(Op::RemoveExact),
        1 => keys().prop_map(Op::ReaderTake),
        1 => keys().prop_map(Op::ReaderRemove),
        1 => (1..5u8, 0..5u8).prop_map(|(modulus, rest)| Op::Retain { modulus, rest }),
        1 => (0..60u8).prop_map(|ahead_ms| Op::Flush { ahead_ms }),
    ]
}

fn changes() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any::<u8>().prop_map(Op::SetCapacity),
        6 => (0..30u8).prop_map(|ms| Op::Advance { ms }),
        1 => any::<u8>().prop_map(|ms| Op::StepBack { ms }),
        3 => any::<u8>().prop_map(|budget| Op::Maintain { budget }),
        1 => Just(Op::Clear),
    ]
}

fn scripts() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![8 => inserts(), 6 => look_ups(), 4 => removals(), 1 => changes()];
    vec(op, 1..200)
}

fn small() -> impl Strategy<Value = Config> {
    let limits = prop_oneof![
        (1..=8u64).prop_map(|capacity| (capacity, None)),
        (1..=8u64, 10..200u64).prop_map(|(capacity, bytes)| (capacity, Some(bytes))),
        (90..=110u64).prop_map(|capacity| (capacity, None)),
        (90..=110u64, 200..1000u64).prop_map(|(capacity, bytes)| (capacity, Some(bytes))),
    ];
    let timeouts = prop_oneof![Just(None), (0..60u64).prop_map(Some)];
    let shards = prop_oneof![Just(1usize), Just(2), Just(8)];
    let few_sets = proptest::bool::weighted(0.25);
    (limits, timeouts, shards, 0..4u64, any::<bool>(), few_sets).prop_map(
        |((capacity, bytes), timeout_ms, shards, more, one_set, few_sets)| Config {
            capacity,
            max_capacity: capacity + more * 20,
            bytes,
            shards,
            timeout_ms,
            delivery: Delivery::Caller,
            one_set,
            few_sets,
        },
    )
}

/// As `small`, for a delivery thread: nothing may expire (see the driver).
fn delivered_elsewhere() -> impl Strategy<Value = Config> {
    small().prop_map(|config| Config { delivery: Delivery::Thread, timeout_ms: None, ..config })
}

fn cases(of: u32) -> ProptestConfig {
    ProptestConfig { cases: of, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn a_cache_of_pairs_does_what_the_model_does(config in small(), ops in scripts()) {
        run::<Pairs>(&config, &ops);
    }

    #[test]
    fn a_cache_of_bytes_does_what_the_model_does(config in small(), ops in scripts()) {
        run::<Bytes>(&config, &ops);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn with_a_delivery_thread_it_does_the_same(
        config in delivered_elsewhere(),
        ops in scripts(),
        bytes in any::<bool>(),
    ) {
        if bytes {
            run::<Bytes>(&config, &ops);
        } else {
            run::<Pairs>(&config, &ops);
        }
    }
}
