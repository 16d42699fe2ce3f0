//! Session caches: the scripts of the fuzz target `operations_threads`, of a seed's making.

use crate::kinds::{Meetings, Numbered};
use crate::operations_threads::{Played, Script};
use crate::outcome::Outcome;
use crate::random::Random;
use crate::threads;
#[cfg(halfshake_shuttle)]
use arbitrary::{Arbitrary, Unstructured};

pub(crate) use crate::operations_threads::Kind;

impl Numbered for Kind {
    const ALL: &'static [Self] = &Self::ALL;

    fn number(self) -> usize {
        self as usize
    }
}

/// Those that change what others see.
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

/// Operations of a short script, 3 or 4 threads of which have so many each.
#[cfg(halfshake_shuttle)]
const EACH: u64 = 7;

/// For shuttle: 3 or 4 threads, 21 to 48 operations, half of which are two of the API.
#[cfg(halfshake_shuttle)]
pub(crate) fn script(seed: u64) -> Script {
    let mut random = Random::new(seed, 5);
    let focus = (random.choose(&Kind::ALL), random.choose(&Kind::ALL));
    let threads = 3 + random.below(2);
    let mut byte = || any_byte(&mut random);
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
    let input = Script::input(settings, &kinds, || any_byte(&mut random));
    Script::arbitrary_take_rest(Unstructured::new(&input)).expect("any input is a script")
}

/// Plays a short script, and judges what came of it.
#[cfg(halfshake_shuttle)]
pub(crate) fn play(script: Script) -> Outcome {
    outcome(&script.run())
}

/// One of as many operations at the end of a long script is a shutdown, or two are.
const TAIL: u64 = 32;

/// For real threads: so many operations in all, of 2 to 4 of them.
fn long_script(seed: u64, operations: u64) -> Script {
    let mut random = Random::new(seed, 6);
    let settings = [0; 3].map(|_| any_byte(&mut random));
    let has_all = random.one_in(2);
    let has = |kind: &Kind| match kind {
        // Nothing much happens after it.
        Kind::Shutdown => false,
        // The less of these, the more can be said of answers.
        Kind::New
        | Kind::NewRefused
        | Kind::SetTimeout
        | Kind::Modes
        | Kind::Callbacks
        | Kind::Advance => has_all || random.one_in(2),
        // Less is judged of a script that has it.
        Kind::Deafen => random.one_in(16),
        _ => true,
    };
    let all: Vec<_> = Kind::ALL.into_iter().filter(has).collect();
    let often: Vec<_> = OFTEN.iter().copied().filter(|kind| all.contains(kind)).collect();
    let tail = if random.one_in(2) { TAIL } else { 0 };
    let mut kinds: Vec<_> = (0..operations)
        .map(|n| {
            let from = if n + tail >= operations || random.one_in(4) { &all } else { &often };
            random.choose(from)
        })
        .collect();
    if tail > 0 {
        // They are dealt out by turns: two may shut down at the same time.
        let end = operations.saturating_sub(1 + random.below(tail)) as usize;
        let other = if random.one_in(2) { end ^ 1 } else { end };
        for end in [end, other] {
            kinds.get_mut(end).into_iter().for_each(|kind| *kind = Kind::Shutdown);
        }
    }
    Script::long(&Script::input(settings, &kinds, || any_byte(&mut random)))
}

/// Plays a long script, with random pauses, and judges what came of it.
pub(crate) fn play_long(seed: u64, operations: u64) -> Outcome {
    let pause = move |player: usize, n: usize| {
        threads::pause(&mut Random::new(seed, (16 + player as u64) << 32 | n as u64));
    };
    outcome(&long_script(seed, operations).run_pausing(pause))
}

fn any_byte(random: &mut Random) -> u8 {
    random.next().to_le_bytes()[7]
}

fn outcome(played: &Played) -> Outcome {
    let spans = played.spans.iter().map(|spans| &spans[..]);
    Outcome {
        operations: played.operations,
        events: played.events,
        meetings_of_sessions: Meetings::of(spans),
        ..Outcome::default()
    }
}
