//! Any script of operations, on a cache of pairs and on one of bytes, against the sequential model
//! that the property tests use.
//!
//! Input: seven bytes of configuration, then one operation after another: a byte that says which,
//! and the bytes that it needs. So seeds can be written by hand, and mutations keep most of a
//! script.

use super::sequential::{Bytes, Config, Op, Pairs, Timeout, run};
use arbitrary::{Arbitrary, Result, Unstructured};
use halfshake::Delivery;

/// Longer scripts find nothing that shorter ones do not.
const MOST_OPERATIONS: usize = 250;

/// An input.
#[derive(Debug)]
pub struct Script {
    config: Config,
    bytes: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let [capacity, more, bytes, shards, timeout, flags, keys]: [u8; 7] = input.arbitrary()?;
        // A quarter has few sets, which fill, and which the listener walks several times faster.
        let few_sets = flags & 0x60 == 0x60;
        let config = Config {
            // 0 and 1 are small caches as often as all else together is anything.
            capacity: if flags & 1 == 0 {
                1 + u64::from(capacity % 8)
            } else {
                1 + u64::from(if few_sets { capacity % 16 } else { capacity })
            },
            max_capacity: if few_sets { 16 + u64::from(more % 64) } else { 256 + u64::from(more) },
            bytes: (flags & 2 != 0).then_some(1 + u64::from(bytes) * 4),
            shards: 1 << (shards % 4),
            timeout_ms: (flags & 4 != 0).then_some(timeout.into()),
            delivery: Delivery::Caller,
            one_set: flags & 8 != 0,
            few_sets,
        };
        let keys = 1 + keys % 64;
        let mut ops = Vec::new();
        while !input.is_empty() && ops.len() < MOST_OPERATIONS {
            ops.push(operation(input, keys)?);
        }
        Ok(Self { config, bytes: flags & 16 != 0, ops })
    }
}

/// Up to seven of something.
fn some<T>(
    input: &mut Unstructured<'_>,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = u8::arbitrary(input)? % 8;
    (0..count).map(|_| one(input)).collect()
}

fn operation(input: &mut Unstructured<'_>, keys: u8) -> Result<Op> {
    let key = |input: &mut Unstructured<'_>| Ok(u8::arbitrary(input)? % keys);
    let pair = |input: &mut Unstructured<'_>| Ok((key(input)?, u8::arbitrary(input)?));
    Ok(match u8::arbitrary(input)? % 30 {
        0 | 28 | 29 => {
            let (key, size) = pair(input)?;
            Op::Insert { key, size }
        }
        1 => {
            let (key, size) = pair(input)?;
            Op::InsertWithTimeout { key, size, timeout: timeout(input)? }
        }
        2 => {
            let (key, size) = pair(input)?;
            Op::InsertIfAbsent { key, size }
        }
        3 => {
            let (key, size) = pair(input)?;
            Op::Replace { key, size }
        }
        4 => Op::InsertMany(some(input, pair)?),
        5 => {
            let (key, size) = pair(input)?;
            Op::GetOrInsert { key, size }
        }
        6 => Op::Get(key(input)?),
        7 => Op::GetMany(some(input, key)?),
        8 => Op::Contains(key(input)?),
        9 => Op::Take(key(input)?),
        10 => Op::Remove(key(input)?),
        11 => Op::Identify(key(input)?),
        12 => Op::RemoveExact(input.arbitrary()?),
        13 => {
            Op::Retain { modulus: 1 + u8::arbitrary(input)? % 8, rest: u8::arbitrary(input)? % 8 }
        }
        14 => Op::Clear,
        15 => Op::Flush { ahead_ms: input.arbitrary()? },
        16 => Op::SetCapacity(input.arbitrary()?),
        17 => Op::Advance { ms: input.arbitrary()? },
        18 => Op::StepBack { ms: input.arbitrary()? },
        19 => Op::Maintain { budget: input.arbitrary()? },
        20 => Op::Iterate,
        21 => Op::ReaderGet(key(input)?),
        22 => Op::ReaderGetMany(some(input, key)?),
        23 => Op::ReaderContains(key(input)?),
        24 => {
            let (key, size) = pair(input)?;
            Op::ReaderInsert { key, size }
        }
        25 => Op::ReaderTake(key(input)?),
        26 => Op::ReaderRemove(key(input)?),
        _ => Op::Unpin,
    })
}

fn timeout(input: &mut Unstructured<'_>) -> Result<Timeout> {
    Ok(match u8::arbitrary(input)? % 4 {
        0 => Timeout::Zero,
        1 => Timeout::Nanosecond,
        2 => Timeout::Milliseconds(input.arbitrary()?),
        _ => Timeout::Huge,
    })
}

impl Script {
    /// Plays it.
    pub fn run(self) {
        if self.bytes {
            run::<Bytes>(&self.config, &self.ops);
        } else {
            run::<Pairs>(&self.config, &self.ops);
        }
    }
}
