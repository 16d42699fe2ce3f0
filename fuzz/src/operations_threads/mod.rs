//! Any scripts of operations, of two to four threads at once on one cache of sessions: of all that
//! was done to an id there is an order in which every answer is right.
//!
//! Input: three bytes of settings (see `Settings::read`), then one operation after another, dealt
//! out to the threads by turns: a byte that says which and of which id, and one more where it needs
//! that. What an input has too little of is 0.
//!
//! Asserted (`judge.rs`), after each script: an order explains the history of each id
//! (`tests/history/`), also by the clock; what left is not found again, wherever it lay; none was
//! taken twice, nor while the new callback was told of it; each session that was stored has exactly
//! one removal event, of a cause that the operation may have which told of it; nothing lands while
//! storing is switched off; a ClientHello asks outside no more often than it may; counters agree;
//! `validate()`. Where the remove callback is cleared for a while, no order: what left, or was
//! taken, does not come back, and none has two events.
//!
//! Which threads meet is not in the input, so a finding may need many runs to come again. What
//! helps: tables of one set, where all ids share a control word, and threads that begin each
//! operation at the same moment. On shuttle's threads (`shuttle-tests/`) a seed says who goes on.

mod judge;
mod perform;
mod threads;
mod world;

use arbitrary::{Arbitrary, Unstructured};
use std::sync::Arc;

pub(super) const MAX_CAPACITY: u64 = 8;
pub(super) const MOST_IDS: u8 = 8;
const MOST_OPERATIONS: usize = 48;

/// An operation, and what may be told of during it: see [`Kind::tells_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Add,
    New,
    /// The new callback refuses it.
    NewRefused,
    Find,
    Resume,
    /// As a future, which may be dropped before it is ready.
    ResumeAsync,
    Take,
    /// The same.
    TakeAsync,
    /// Look-ups of one ClientHello, which may ask outside once.
    Hello,
    Remove,
    /// `remove_exact`, of what the thread has found last.
    RemoveExact,
    ConnectionFailed,
    FlushAll,
    FlushNamespace,
    FlushSessions,
    SetCapacity,
    /// Of sessions that are made from now on.
    SetTimeout,
    /// Other modes for a while.
    Modes,
    /// A callback is set, cleared or replaced.
    Callbacks,
    /// The remove callback is cleared for a while: not all is told of then.
    Deafen,
    /// By milliseconds.
    Advance,
    Maintain,
    /// `sessions`, and what is read of counters.
    Walk,
    /// What an adapter has counted.
    Count,
    /// Lets other threads go on.
    Wait,
    Shutdown,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 26] = [
        Self::Add,
        Self::New,
        Self::NewRefused,
        Self::Find,
        Self::Resume,
        Self::ResumeAsync,
        Self::Take,
        Self::TakeAsync,
        Self::Hello,
        Self::Remove,
        Self::RemoveExact,
        Self::ConnectionFailed,
        Self::FlushAll,
        Self::FlushNamespace,
        Self::FlushSessions,
        Self::SetCapacity,
        Self::SetTimeout,
        Self::Modes,
        Self::Callbacks,
        Self::Deafen,
        Self::Advance,
        Self::Maintain,
        Self::Walk,
        Self::Count,
        Self::Wait,
        Self::Shutdown,
    ];

    /// Bytes with a meaning of their own. Nothing much happens after the one, little can be said
    /// after the other: so they are rare.
    const RARE: [(u8, Self); 2] = [(0xff, Self::Shutdown), (0xdf, Self::Deafen)];
    /// What the lower bits of another byte mean: some more often than others.
    const OF_BYTE: [Self; 32] = [
        Self::Add,
        Self::Add,
        Self::Add,
        Self::Hello,
        Self::New,
        Self::New,
        Self::NewRefused,
        Self::Find,
        Self::Find,
        Self::Count,
        Self::Resume,
        Self::Resume,
        Self::Resume,
        Self::Take,
        Self::Take,
        Self::SetTimeout,
        Self::TakeAsync,
        Self::Remove,
        Self::Remove,
        Self::RemoveExact,
        Self::ConnectionFailed,
        Self::FlushAll,
        Self::FlushNamespace,
        Self::FlushSessions,
        Self::SetCapacity,
        Self::Modes,
        Self::Callbacks,
        Self::Advance,
        Self::Maintain,
        Self::Walk,
        Self::Wait,
        Self::ResumeAsync,
    ];

    /// A byte that means it.
    fn byte(self) -> u8 {
        let rare = Self::RARE.iter().find(|(_, kind)| *kind == self).map(|(byte, _)| *byte);
        let mut bytes = (0..32).filter(|byte| Self::of(*byte) == self);
        rare.or_else(|| bytes.next()).expect("each kind has a byte")
    }

    fn of(byte: u8) -> Self {
        let rare = Self::RARE.iter().find(|(rare, _)| *rare == byte);
        rare.map_or(Self::OF_BYTE[usize::from(byte % 32)], |(_, kind)| *kind)
    }

    fn has_more(self) -> bool {
        use Kind::{
            Advance, Callbacks, Deafen, Hello, Modes, ResumeAsync, SetCapacity, SetTimeout, Wait,
        };
        matches!(
            self,
            Advance
                | Callbacks
                | Deafen
                | Hello
                | Modes
                | ResumeAsync
                | SetCapacity
                | SetTimeout
                | Wait
        )
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    kind: Kind,
    id: u8,
    /// What it needs besides.
    more: u8,
}

/// What the store outside answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// A new session of any id.
    Knows,
    /// The same, two times of three.
    KnowsSome,
    /// It holds what the new callback has put into it, and the remove callback has not deleted.
    Keeps,
    Unknown,
    /// There is no get callback.
    Nobody,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    capacity: u64,
    /// A limit in bytes, too: of some sessions.
    has_few_bytes: bool,
    sets: u64,
    shards: usize,
    threads: usize,
    /// Every so many operations all threads begin at the same moment; 0: never.
    meets: usize,
    ids: u8,
    outside: Outside,
    has_new_callback: bool,
    /// A session that is used is renewed.
    renews: bool,
}

impl Settings {
    fn read(bytes: [u8; 3]) -> Self {
        const OUTSIDE: [Outside; 5] =
            [Outside::Knows, Outside::KnowsSome, Outside::Unknown, Outside::Nobody, Outside::Keeps];
        let [first, second, third] = bytes;
        let pick = |byte: u8, of: u8| usize::from(byte % of);
        Self {
            capacity: 1 + u64::from(first) % MAX_CAPACITY,
            has_few_bytes: second >= 192,
            // With one set, all ids share a control word; with many, none do.
            sets: [1, 1, 2, 256][pick(first >> 3, 4)],
            shards: if first < 192 { 1 } else { 4 },
            threads: 2 + pick(second, 3),
            meets: [1, 1, 3, 0][pick(second >> 2, 4)],
            ids: [1, 2, 3, MOST_IDS][pick(second >> 4, 4)],
            outside: OUTSIDE[pick(third, 5)],
            has_new_callback: third < 192,
            renews: third & 32 != 0,
        }
    }
}

/// How often an input is played again where no fuzzer does it: who meets whom is another question
/// each time.
pub const TIMES: usize = 20;

/// An input.
#[derive(Debug)]
pub struct Script {
    settings: Settings,
    threads: Vec<Vec<Op>>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self::read(input, MOST_OPERATIONS))
    }
}

/// In long scripts more than two threads begin at the same moment so many times more rarely: they
/// may be more than there are processors, and to wait for all takes long.
const RARELY: usize = 10;

impl Script {
    /// As many operations as the input has.
    #[must_use]
    pub fn long(input: &[u8]) -> Self {
        let mut script = Self::read(&mut Unstructured::new(input), usize::MAX);
        if script.threads.len() > 2 {
            script.settings.meets *= RARELY;
        }
        script
    }

    fn read(input: &mut Unstructured<'_>, most: usize) -> Self {
        let mut byte = || u8::arbitrary(input).unwrap_or(0);
        let settings = Settings::read([byte(), byte(), byte()]);
        let count = settings.threads;
        let mut threads = vec![Vec::new(); count];
        for n in 0..most {
            if input.is_empty() {
                break;
            }
            let mut byte = || u8::arbitrary(input).unwrap_or(0);
            // The id stands in the upper bits.
            let which = byte();
            let kind = Kind::of(which);
            let more = if kind.has_more() { byte() } else { 0 };
            threads[n % count].push(Op { kind, id: (which >> 5) % settings.ids, more });
        }
        Self { settings, threads }
    }

    fn has(&self, kinds: &[Kind]) -> bool {
        self.threads.iter().flatten().any(|op| kinds.contains(&op.kind))
    }

    /// An input that means operations of these kinds, each with any id and what it needs besides:
    /// `any` gives bytes.
    #[must_use]
    pub fn input(settings: [u8; 3], kinds: &[Kind], mut any: impl FnMut() -> u8) -> Vec<u8> {
        let mut input = settings.to_vec();
        for kind in kinds {
            let byte = kind.byte() | any() & 0xe0;
            // An id may make one of the rare operations of it.
            input.push(if Kind::of(byte) == *kind { byte } else { kind.byte() });
            if kind.has_more() {
                input.push(any());
            }
        }
        input
    }

    /// How many threads play.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Plays all of it, and judges.
    ///
    /// # Panics
    /// If a rule is broken.
    pub fn run(self) -> Played {
        self.run_pausing(|_, _| {})
    }

    /// The same. `pause` is called before each operation, with whose it is, and which of his.
    ///
    /// # Panics
    /// If a rule is broken.
    pub fn run_pausing(self, pause: impl Fn(usize, usize) + Send + Sync + 'static) -> Played {
        let world = Arc::new(world::World::new(&self));
        let (players, script) = (world.clone(), Arc::new(self));
        let (count, meets) = (script.settings.threads, script.settings.meets);
        let _ends = Ends(&world);
        let played = script.clone();
        threads::play(count, move |player, meeting| {
            let (mut spans, mut known) = (Vec::new(), None);
            for (n, op) in played.threads[player].iter().enumerate() {
                // Dealt out by turns: nobody has more than the last one, but for the last of his.
                let all_have_it = played.threads.iter().all(|ops| n < ops.len());
                if meets != 0 && n % meets == 0 && all_have_it {
                    meeting.meet();
                }
                pause(player, n);
                spans.push(players.perform(*op, &mut known));
            }
            players.log.notes().spans.push(spans);
        });
        judge::judge(&world, &script)
    }
}

/// A cache waits at its end for events that are under way, also for such as got lost: one that has
/// broken a rule is not ended.
struct Ends<'w>(&'w world::World);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.cache.clone());
        }
    }
}

/// What came of a script.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Operations that were checked, on one id each.
    pub operations: u64,
    /// Removal events.
    pub events: u64,
    /// What each thread did, one after the other: from when until when.
    pub spans: Vec<Vec<Span>>,
}

/// An operation, when it began, and when it had ended.
pub type Span = (Kind, u64, u64);

#[cfg(test)]
mod tests;
