//! The bytes of a hello: the message, with right binders if it is to have them, and its records.

use super::binder::{BINDER_LEN, binder};
use super::grammar::{Binders, Damage, Hello, KeyShare, Who};

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;
const PRE_SHARED_KEY: u16 = 41;
/// More does not fit into the extensions of one hello.
const MOST: usize = 65_000;
/// An X25519 key: that of whose secret is 1.
const POINT: u8 = 9;

/// A session that a server keeps, and what proves that a client has it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: Vec<u8>,
    pub(crate) secret: Vec<u8>,
}

/// What a client knows: two tickets, and a session of TLS 1.2.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) tickets: [Live; 2],
    pub(crate) session: Live,
}

impl Known {
    pub(crate) fn id(&self, who: &Who) -> Vec<u8> {
        match who {
            Who::Ticket(which) => self.tickets[*which].id.clone(),
            Who::Session => self.session.id.clone(),
            Who::Made(len, byte) => vec![*byte; (*len).into()],
            Who::Altered(at, by) => {
                let mut id = self.tickets[0].id.clone();
                let at = usize::from(*at) % id.len();
                id[at] ^= by;
                id
            }
            Who::Bytes(bytes) => bytes.clone(),
        }
    }
}

pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    /// The identities.
    pub(crate) offers: Vec<Vec<u8>>,
    /// Whether what the binders are made of is as it was then.
    pub(crate) is_bound: bool,
}

/// Builds a hello, after what was said before.
pub(crate) fn build(hello: &Hello, known: &Known, before: &[u8]) -> Message {
    let mut offers = Vec::new();
    let mut left = MOST;
    for (who, count) in &hello.offers {
        let id = known.id(who);
        let fit = left / (id.len() + 7 + BINDER_LEN);
        let count = fit.min((*count).into());
        left -= count * (id.len() + 7 + BINDER_LEN);
        offers.extend(std::iter::repeat_n(id, count));
    }
    let bodies = [usual(hello), own(hello, left)].concat();
    let behind = usize::from(hello.behind).min(bodies.len());
    let (first, last) = bodies.split_at(bodies.len() - behind);
    let shape = |binders: &[Vec<u8>]| {
        let offer = offer(&offers, binders);
        let offer: &[_] = if offers.is_empty() { &[] } else { &[(PRE_SHARED_KEY, offer)] };
        message(hello, known, &[first, offer, last].concat())
    };
    let empty = binders_like(hello.binders, offers.len());
    let mut bytes = shape(&empty);
    // Of the usual form: nothing behind the offers. Another one has no right binders anyway.
    let list = 2 + empty.iter().map(|binder| 1 + binder.len()).sum::<usize>();
    let hashed = bytes.len().saturating_sub(list);
    if matches!(hello.binders, Binders::Right | Binders::Wrong) {
        let flip = u8::from(hello.binders == Binders::Wrong);
        let secret = |id: &Vec<u8>| {
            let ticket = known.tickets.iter().find(|ticket| ticket.id == *id);
            ticket.map(|ticket| ticket.secret.as_slice())
        };
        let right = offers.iter().map(|id| {
            let mut binder = secret(id)
                .map_or([0; BINDER_LEN], |secret| binder(secret, before, &bytes[..hashed]));
            binder[0] ^= flip;
            binder.to_vec()
        });
        let right: Vec<_> = right.collect();
        bytes = shape(&right);
    }
    let undamaged = bytes.clone();
    hello.damage.iter().for_each(|damage| apply(*damage, &mut bytes));
    let is_bound = bytes.get(..hashed) == Some(&undamaged[..hashed]);
    Message { bytes, offers, is_bound }
}

fn binders_like(binders: Binders, offers: usize) -> Vec<Vec<u8>> {
    let (count, len) = match binders {
        Binders::Right | Binders::Wrong => (offers, BINDER_LEN),
        Binders::Long(len) => (offers, usize::from(len).min(BINDER_LEN + 7)),
        Binders::OneFewer => (offers.saturating_sub(1), BINDER_LEN),
        Binders::OneMore => (offers + 1, BINDER_LEN),
    };
    vec![vec![0; len]; count]
}

/// The body of the extension that offers sessions.
fn offer(offers: &[Vec<u8>], binders: &[Vec<u8>]) -> Vec<u8> {
    let identities = offers.iter().flat_map(|id| [&long(id)[..], &[0; 4]].concat());
    let binders = binders.iter().flat_map(|binder| short(binder));
    [long(&identities.collect::<Vec<_>>()), long(&binders.collect::<Vec<_>>())].concat()
}

/// Bytes with their length before them.
fn long(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&len.to_be_bytes()[..], bytes].concat()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    [&[len][..], bytes].concat()
}

/// The extensions that clients send.
fn usual(hello: &Hello) -> Vec<(u16, Vec<u8>)> {
    let words =
        |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    let share = |group: u16, point: &[u8]| long(&[&group.to_be_bytes()[..], &long(point)].concat());
    let mut point = [0; 32];
    point[0] = POINT;
    let all = [
        (0, long(&[&[0][..], &long(b"localhost")].concat())),
        (10, long(&words(&[0x001d, 0x0017]))),
        (11, short(&[0])),
        (13, long(&words(&[0x0403, 0x0804, 0x0807]))),
        (23, Vec::new()),
        (0xff01, short(&[])),
        (43, short(&words(&[0x0304, 0x0303]))),
        (45, short(&[1])),
        (
            51,
            match hello.share {
                KeyShare::Good => share(0x001d, &point),
                KeyShare::None => long(&[]),
                KeyShare::Zeros => share(0x001d, &[0; 32]),
                KeyShare::OtherGroup => share(0x0018, &[4; 97]),
            },
        ),
    ];
    let of_tls13 = [43, 45, 51];
    let is_left = |(at, (kind, _)): &(usize, (u16, Vec<u8>))| {
        (hello.tls13 || !of_tls13.contains(kind)) && hello.without >> at & 1 == 0
    };
    all.into_iter().enumerate().filter(is_left).map(|(_, extension)| extension).collect()
}

/// Those of the script, as many as fit.
fn own(hello: &Hello, left: usize) -> Vec<(u16, Vec<u8>)> {
    let mut sum = 0;
    let fits = |(_, body): &&(u16, Vec<u8>)| {
        sum += 4 + body.len();
        sum <= left
    };
    hello.extensions.iter().take_while(fits).cloned().collect()
}

fn message(hello: &Hello, known: &Known, extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let suites: Vec<u8> = hello.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let extensions = extensions
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &long(body)].concat())
        .collect::<Vec<_>>();
    let body = [
        &[3, 3][..],
        &[hello.random; 32],
        &short(&known.id(&hello.id)),
        &long(&suites),
        &short(&[0]),
        &long(&extensions),
    ]
    .concat();
    let len = u32::try_from(body.len()).expect("a hello is small").to_be_bytes();
    [&[1][..], &len[1..], &body].concat()
}

fn apply(damage: Damage, bytes: &mut Vec<u8>) {
    match damage {
        Damage::Change(at, by) => {
            let len = bytes.len();
            if let Some(byte) = bytes.get_mut(usize::from(at).checked_rem(len).unwrap_or(0)) {
                *byte ^= by;
            }
        }
        Damage::CutOff(by) => bytes.truncate(bytes.len().saturating_sub(by.into())),
        Damage::Length(by) => {
            if let Some(low) = bytes.get_mut(3) {
                *low = low.wrapping_add_signed(by);
            }
        }
    }
}

/// The message in records.
pub(crate) fn records(hello: &Hello, message: &[u8]) -> Vec<u8> {
    /// As long as a record may be.
    const LONGEST: u16 = 16_384;
    let record = |kind: u8, body: &[u8]| {
        [&[kind][..], &hello.record_version.to_be_bytes(), &long(body)].concat()
    };
    let others = |at: usize| {
        let here = hello.others.iter().filter(move |(before, ..)| usize::from(*before) == at);
        here.flat_map(|(_, kind, body)| record(*kind, body)).collect::<Vec<_>>()
    };
    let (mut wire, mut rest, mut at) = (Vec::new(), message, 0);
    while !rest.is_empty() {
        wire.extend(others(at));
        let len = hello.records.get(at % hello.records.len().max(1)).copied();
        let len = usize::from(len.unwrap_or(LONGEST).clamp(1, LONGEST)).min(rest.len());
        let (body, behind) = rest.split_at(len);
        wire.extend(record(HANDSHAKE, body));
        (rest, at) = (behind, at + 1);
    }
    wire.extend(others(at));
    wire
}
