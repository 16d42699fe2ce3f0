//! Inserts measured one by one, in processor time: what the slowest takes. The list's first, who
//! does nothing, shows what interrupts and reading the clock add.

use super::{Scale, Work, fresh_salt, writes};
use crate::clock::{Watch, thread_time};
use crate::contestants::{Contestant, Operations};
use crate::keys::{key, value};
use crate::rounds::{Entrant, Sample, Tail};

pub(super) struct Tails {
    pub(super) scale: Scale,
    /// At the limit; else from empty.
    pub(super) full: bool,
}

impl Work for Tails {
    fn enter<C: Contestant>(
        &self,
        name: &str,
        slowness: u64,
        make: impl Fn() -> C + 'static,
    ) -> Entrant {
        let Scale { entries, operations } = self.scale;
        if !self.full {
            let round = move |_| one_by_one(&mut make().handle(), fresh_salt(), entries);
            return Entrant::new(name, || round);
        }
        Entrant::new(name, move || {
            let (contestant, salt) = (make(), fresh_salt());
            let mut next = salt + entries + entries / 4;
            writes::age(&mut contestant.handle(), entries);
            writes::insert(&mut contestant.handle(), salt, next - salt);
            move |_| {
                next += operations / slowness;
                one_by_one(&mut contestant.handle(), next, operations / slowness)
            }
        })
    }
}

fn one_by_one(handle: &mut impl Operations, first: u64, operations: u64) -> Sample {
    let mut single = Vec::with_capacity(usize::try_from(operations).unwrap_or(0));
    let watch = Watch::start();
    let mut before = thread_time();
    for n in first..first + operations {
        handle.insert(key(n), value(n));
        let after = thread_time();
        single.push(after - before);
        before = after;
    }
    let spent = watch.spent();
    Sample { operations, spent, tail: Some(Tail::of(single)), ..Sample::default() }
}
