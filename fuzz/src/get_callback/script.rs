//! What an input means: settings, and a script of operations, with what the callbacks do in them.
//!
//! Eight bytes of settings, then one operation after another: a byte that says which, and the bytes
//! that it needs (`Op::read`). An operation that a callback performs stands where that callback is
//! described. What an input has too little of is 0.

use arbitrary::{Arbitrary, Unstructured};
use halfshake::session::Modes;

/// Longer scripts find nothing that shorter ones do not. Those that callbacks perform count, too.
const MOST_OPERATIONS: usize = 100;
/// Operations in callbacks in operations in callbacks: no deeper.
const DEEPEST: u8 = 2;

/// Names of which some are beginnings of others.
pub(crate) const NAMES: [&[u8]; 3] = [b"n", b"nn", b"m"];
/// Ids of which some are beginnings of others, or parts of a name and an id.
const IDS: [&[u8]; 6] = [b"a", b"na", b"aa", &[7; 31], &[7; 32], &[7; 64]];
pub(crate) const LONGEST_ID: usize = 70_000;

#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) capacity: u64,
    pub(crate) id_max: usize,
    pub(crate) modes: Modes,
    pub(crate) timeout_ms: u64,
    /// Nobody waits for an answer that is not there at once.
    pub(crate) impatient: bool,
    /// Failures that open the breaker; 0: none do.
    pub(crate) failures: u64,
    pub(crate) unknown_ms: u64,
    pub(crate) getter: Getter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Getter {
    None,
    AtOnce,
    Later,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: usize,
    pub(crate) id: Vec<u8>,
}

/// What is right or wrong with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Fresh,
    /// The latest one of that id, again.
    Again,
    OtherId,
    OtherName,
    Expired,
    LastMoment,
    FromTheFuture,
    LatestCreated,
    TooLarge,
    Largest,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Borrowed,
    HandedOver,
    Serialised,
}

#[derive(Clone, Debug)]
pub(crate) enum Say {
    Unknown,
    Failed,
    Session(Shape, Form),
    /// A serialised session of which this byte is changed by this.
    Damaged(u8, u8),
    Garbage(Vec<u8>),
    Panic,
    Never,
}

/// What the get callback does: once, or polled so often, it performs these, and answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) say: Say,
    pub(crate) polls: u8,
    pub(crate) inside: Vec<Op>,
}

/// What a callback does beside noting that it was called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Does {
    pub(crate) panics: bool,
    pub(crate) inside: Vec<Op>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    LookUp {
        who: Who,
        takes: bool,
        reply: Reply,
    },
    /// As a future, polled once.
    Begin {
        who: Who,
        takes: bool,
        reply: Reply,
    },
    Poll(u8),
    Cancel(u8),
    /// Proposals of one client with a budget.
    Hello {
        name: usize,
        budget: u32,
        proposals: Vec<(Who, bool, Reply)>,
    },
    Add(Who, Shape),
    New {
        who: Who,
        shape: Shape,
        client: bool,
        refuses: bool,
        does: Does,
    },
    Remove(Who),
    Fail(Who),
    Identify(Who),
    RemoveExact(u8),
    FlushSessions(u8),
    FlushName(usize),
    FlushAll,
    SetModes(Modes),
    SetCapacity(u64),
    SetTimeout(u16),
    /// The monotonic clock, and the wall clock.
    Advance(u16, u16),
    StepBack(u8),
    Maintain(u8),
    SetGetter(Getter),
    OnRemoval(Does),
    SwitchNew(bool),
    Hold(Who),
    LetGo,
    Shutdown,
}

/// An input.
#[derive(Debug)]
pub struct Script {
    pub(crate) setup: Setup,
    pub(crate) ops: Vec<Op>,
}

impl<'b> Arbitrary<'b> for Script {
    fn arbitrary(input: &mut Unstructured<'b>) -> arbitrary::Result<Self> {
        let mut bytes = Bytes { input, count: 0 };
        Ok(Self { setup: bytes.setup(), ops: bytes.script() })
    }
}

/// The rest of an input.
struct Bytes<'a, 'b> {
    input: &'a mut Unstructured<'b>,
    /// Operations so far.
    count: usize,
}

impl Bytes<'_, '_> {
    fn byte(&mut self) -> u8 {
        u8::arbitrary(self.input).unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn setup(&mut self) -> Setup {
        let [capacity, ids, modes, timeout, wait, failures, unknown, getter] =
            std::array::from_fn(|_| self.byte());
        let impatient = wait % 4 == 3;
        Setup {
            capacity: 1 + u64::from(capacity % 64),
            id_max: [32, 64, 31, 16][usize::from(ids % 4)],
            modes: self::modes(modes),
            timeout_ms: u64::from(timeout) * 8,
            impatient,
            // How long an answer took is told by the system's clock.
            failures: if impatient { 0 } else { u64::from(failures % 4) },
            unknown_ms: u64::from(unknown % 4) * 500,
            getter: self::getter(getter),
        }
    }

    fn script(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        while !self.input.is_empty() && self.count < MOST_OPERATIONS {
            ops.push(self.op(0));
        }
        ops
    }

    fn name(&mut self) -> usize {
        usize::from(self.byte()) % NAMES.len()
    }

    fn who(&mut self) -> Who {
        let byte = self.byte();
        let name = usize::from(byte & 3) % NAMES.len();
        let id = match usize::from(byte >> 2) % 8 {
            few @ ..6 => IDS[few].to_vec(),
            6 => vec![self.byte(); 1 + usize::from(self.byte()) % 64],
            _ => vec![self.byte(); usize::from(self.word()).min(LONGEST_ID / 2) * 2],
        };
        Who { name, id }
    }

    fn shape(&mut self) -> Shape {
        use Shape::*;
        const SHAPES: [Shape; 10] = [
            Fresh,
            Again,
            OtherId,
            OtherName,
            Expired,
            LastMoment,
            FromTheFuture,
            LatestCreated,
            TooLarge,
            Largest,
        ];
        SHAPES[usize::from(self.byte()) % SHAPES.len()]
    }

    fn reply(&mut self, depth: u8) -> Reply {
        let byte = self.byte();
        let say = match byte % 8 {
            0 => Say::Unknown,
            1 => Say::Failed,
            2 => Say::Session(self.shape(), Form::Borrowed),
            3 => Say::Session(self.shape(), Form::HandedOver),
            4 => Say::Session(self.shape(), Form::Serialised),
            5 => match self.byte() {
                255 => Say::Garbage((0..self.byte()).map(|_| self.byte()).collect()),
                at => Say::Damaged(at, self.byte()),
            },
            6 => Say::Panic,
            _ => Say::Never,
        };
        Reply { say, polls: byte >> 3 & 3, inside: self.inside(depth, byte >> 5 & 3) }
    }

    /// As many operations, of which a callback consists.
    fn inside(&mut self, depth: u8, count: u8) -> Vec<Op> {
        let count = if depth < DEEPEST && self.count < MOST_OPERATIONS { count } else { 0 };
        (0..count).map(|_| self.op(depth + 1)).collect()
    }

    fn does(&mut self, depth: u8) -> Does {
        let byte = self.byte();
        Does { panics: byte & 1 != 0, inside: self.inside(depth, byte >> 1 & 3) }
    }

    fn look_up(&mut self, depth: u8) -> (Who, bool, Reply) {
        (self.who(), self.byte() & 1 != 0, self.reply(depth))
    }

    fn op(&mut self, depth: u8) -> Op {
        self.count += 1;
        match self.byte() % 32 {
            0..=2 => Op::LookUp { who: self.who(), takes: false, reply: self.reply(depth) },
            3 => Op::LookUp { who: self.who(), takes: true, reply: self.reply(depth) },
            4 | 5 => Op::Begin { who: self.who(), takes: false, reply: self.reply(depth) },
            6 => Op::Begin { who: self.who(), takes: true, reply: self.reply(depth) },
            7 | 8 => Op::Poll(self.byte()),
            9 => Op::Cancel(self.byte()),
            10 => {
                let (name, byte) = (self.name(), self.byte());
                let proposals = (0..byte >> 3 & 7).map(|_| self.look_up(depth)).collect();
                Op::Hello { name, budget: u32::from(byte & 7), proposals }
            }
            11 | 12 => Op::Add(self.who(), self.shape()),
            13 | 14 => {
                let (who, shape, byte) = (self.who(), self.shape(), self.byte());
                let (client, refuses) = (byte & 1 != 0, byte & 2 != 0);
                Op::New { who, shape, client, refuses, does: self.does(depth) }
            }
            15 => Op::Remove(self.who()),
            16 => Op::Fail(self.who()),
            17 => Op::Identify(self.who()),
            18 => Op::RemoveExact(self.byte()),
            19 => Op::FlushSessions(self.byte()),
            20 => Op::FlushName(self.name()),
            21 => Op::FlushAll,
            22 => Op::SetModes(modes(self.byte())),
            23 => Op::SetCapacity(self.byte().into()),
            24 => Op::SetTimeout(self.word()),
            25 => Op::Advance(self.word() % 4096, self.word() % 4096),
            26 => Op::StepBack(self.byte()),
            27 => Op::Maintain(self.byte()),
            28 => Op::SetGetter(getter(self.byte())),
            29 => Op::OnRemoval(self.does(depth)),
            30 => match self.byte() % 4 {
                0 => Op::SwitchNew(self.byte() & 1 != 0),
                1 | 2 => Op::Hold(self.who()),
                _ => Op::LetGo,
            },
            _ => match self.byte() {
                255 => Op::Shutdown,
                ms => Op::Advance(ms.into(), ms.into()),
            },
        }
    }
}

/// Five bits of them; a cache for the server's side as often as all others together.
fn modes(byte: u8) -> Modes {
    let side = [Modes::SERVER, Modes::OFF, Modes::SERVER, Modes::CLIENT, Modes::SERVER]
        .get(usize::from(byte & 7))
        .copied()
        .unwrap_or(Modes::BOTH);
    let bits = [Modes::NO_INTERNAL_LOOKUP, Modes::NO_INTERNAL_STORE, Modes::NO_AUTO_CLEAR];
    let set = bits.iter().enumerate().filter(|(i, _)| byte >> (3 + i) & 1 != 0);
    set.fold(side, |modes, (_, bit)| modes | *bit)
}

fn getter(byte: u8) -> Getter {
    [Getter::AtOnce, Getter::Later, Getter::AtOnce, Getter::Later, Getter::None]
        [usize::from(byte % 5)]
}
