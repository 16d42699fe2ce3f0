//! Session caches: the scripts of the fuzz target `operations_threads`, of a seed's making.

use crate::kinds::{Meetings, Numbered};
use crate::operations_threads::Script;
use crate::outcome::Outcome;
use crate::random::Random;
use arbitrary::{Arbitrary, Unstructured};

pub(crate) use crate::operations_threads::Kind;

impl Numbered for Kind {
    const ALL: &'static [Self] = &Self::ALL;

    fn number(self) -> usize {
        self as usize
    }
}

/// Operations of a script, 3 or 4 threads of which have so many each.
const EACH: u64 = 7;

/// 3 or 4 threads, 21 to 48 operations, half of which are two of the API.
pub(crate) fn script(seed: u64) -> Script {
    let mut random = Random::new(seed, 5);
    let focus = (random.choose(&Kind::ALL), random.choose(&Kind::ALL));
    let threads = 3 + random.below(2);
    let mut byte = || random.next().to_le_bytes()[7];
    // Those that make so many threads.
    let second = (0..).map(|_| byte()).find(|byte| 2 + u64::from(byte % 3) == threads);
    let settings = [byte(), second.unwrap_or_default(), byte()];
    let operations = threads * (EACH + random.below(6));
    let kinds: Vec<_> = (0..operations)
        .map(|n| {
            // They are dealt out by turns.
            let own = if (n % threads).is_multiple_of(2) { focus.0 } else { focus.1 };
            let may_be_own = match own {
                // Nothing much happens after it.
                Kind::Shutdown => n + threads >= operations,
                _ => random.one_in(2),
            };
            if may_be_own { own } else { random.choose(OFTEN) }
        })
        .collect();
    let input = Script::input(settings, &kinds, || random.next().to_le_bytes()[7]);
    Script::arbitrary_take_rest(Unstructured::new(&input)).expect("any input is a script")
}

/// What changes what others see.
const OFTEN: &[Kind] = &[
    Kind::Add,
    Kind::Add,
    Kind::Add,
    Kind::New,
    Kind::New,
    Kind::Find,
    Kind::Resume,
    Kind::Resume,
    Kind::Take,
    Kind::Take,
    Kind::Remove,
    Kind::Maintain,
];

/// Plays a script, and judges what came of it.
pub(crate) fn play(script: Script) -> Outcome {
    let played = script.run();
    let spans = played.spans.iter().map(|spans| &spans[..]);
    Outcome {
        operations: played.operations,
        events: played.events,
        meetings_of_sessions: Meetings::of(spans),
        ..Outcome::default()
    }
}
