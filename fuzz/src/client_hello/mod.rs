//! Any ClientHello into a server in memory, rustls's or OpenSSL's, with a session cache of ours.
//!
//! The harness lets each server negotiate sessions with a real client first. So a hello may propose
//! them, with binders that prove it; without that no input would ever be resumed. See `grammar.rs`
//! for what an input means.
//!
//! Asserted, after each hello:
//!
//! - the server asks for more, begins a full or a resumed handshake, or ends with an alert;
//! - what a client as it should be proposes is resumed if it is kept; nothing else is: nothing that
//!   has expired, is another namespace's, was not proposed, or has no right binder;
//! - a session of TLS 1.3 is resumed once: the same hello again is not;
//! - look-ups are within the budget of the connection;
//! - each session that was stored has one removal event or is there; `validate()`.

mod binder;
mod grammar;
mod message;
mod server;

use binder::message_hash;
pub use grammar::Script;
use grammar::{Binders, Hello, Kept, Who};
use halfshake::session::{Session, SessionCache, SessionStats};
use message::{ALERT, APPLICATION_DATA, Live, Message, build, records};
use server::{Connection, Place};

const SERVER_HELLO: u8 = 2;
const FATAL: u8 = 2;
/// Look-ups outside that OpenSSL's connections may cause with one hello.
const OPENSSL_BUDGET: u64 = 4;
/// The random of a ServerHello that asks for another hello (RFC 8446, 4.1.3), its beginning.
const ASKS_AGAIN: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

/// What comes of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is not whole.
    Waits,
    /// The server wants another one.
    AsksAgain,
    /// A handshake without a session.
    Full,
    /// A handshake that resumes a session of TLS 1.3, or an older one.
    Resumed {
        /// Whether of TLS 1.3.
        tls13: bool,
    },
    /// The server refuses, and says so.
    Alert,
    /// It refuses what is no TLS, or what the client ended itself, without a word.
    Dropped,
}

impl Script {
    /// Says all of it, and judges.
    pub fn run(self) {
        self.outcome();
    }

    /// As `run`; what came of the last hello.
    pub fn outcome(&self) -> Outcome {
        let place = Place::new(self.server, self.kept);
        let known = &place.negotiated.known;
        let before = place.cache.stats();
        let mut connection = place.connect(self.budget);
        let (mut outcome, mut said, mut heard) = (Outcome::Waits, Vec::new(), 0);
        for (nth, hello) in self.hellos.iter().enumerate() {
            if nth > 0 && outcome != Outcome::AsksAgain {
                break;
            }
            let message = build(hello, known, &said);
            said.extend(message_hash(&message.bytes));
            let (from, wire) = (connection.said.len(), records(hello, &message.bytes));
            say(&mut connection, hello, &wire);
            heard += 1;
            outcome = self.judge(&connection, from, nth);
            self.judge_resumption(&place, hello, &message, outcome);
            if nth == 0 {
                self.judge_plain(&place, hello, outcome);
            }
            if outcome == (Outcome::Resumed { tls13: true }) && nth == 0 {
                heard += self.say_again(&place, hello, &message, &wire);
            }
            said.extend(connection.messages());
        }
        self.judge_look_ups(&connection, heard, [&before, &place.cache.stats()]);
        drop(connection);
        judge_cache(&place.cache);
        outcome
    }

    /// What was resumed once is not again: each ticket of a hello is good for one. How often it
    /// was said.
    fn say_again(&self, place: &Place, hello: &Hello, message: &Message, wire: &[u8]) -> u64 {
        let offered = |ticket: &&Live| message.offers.contains(&ticket.id);
        let mut left = place.negotiated.known.tickets.iter().filter(offered).count();
        let times = left;
        for _ in 0..times {
            let mut again = place.connect(self.budget);
            say(&mut again, hello, wire);
            if again.resumes() {
                left -= 1;
            }
        }
        assert!(left > 0, "a ticket is good for two");
        times as u64
    }

    /// What a server has made of the latest hello.
    fn judge(&self, connection: &Connection, from: usize, nth: usize) -> Outcome {
        let has_spoken = connection.said.len() > from;
        let last = connection.records().last();
        let answer = server_hello(&connection.messages(), nth);
        if let Some(asks_again) = answer {
            let said = last.expect("a ServerHello").0;
            let rustls_is_silent = connection.scope.is_some() && connection.may_be_silent;
            let ends_well = matches!(said, ALERT | APPLICATION_DATA) || rustls_is_silent;
            assert!(!connection.has_failed || ends_well, "it fails after its hello without a word");
            return match (asks_again, connection.resumes()) {
                (true, _) if connection.has_failed => Outcome::Alert,
                (true, _) => Outcome::AsksAgain,
                (false, true) => Outcome::Resumed { tls13: is_tls13(&connection.messages(), nth) },
                (false, false) => Outcome::Full,
            };
        }
        if !connection.has_failed {
            assert!(!has_spoken, "neither a hello nor an alert");
            return Outcome::Waits;
        }
        let Some((kind, alert)) = last.filter(|_| has_spoken) else {
            // Of OpenSSL that depends on what comes: not all are records of a handshake.
            let is_tls = |hello: &Hello| hello.record_version >> 8 == 3 && hello.others.is_empty();
            let may_be = connection.scope.is_some() || !self.hellos.iter().all(is_tls);
            assert!(connection.may_be_silent && may_be, "it fails without a word");
            return Outcome::Dropped;
        };
        assert_eq!((kind, alert.len(), alert[0]), (ALERT, 2, FATAL), "no alert at its end");
        Outcome::Alert
    }

    /// Nothing is resumed but what it should.
    fn judge_resumption(&self, place: &Place, hello: &Hello, message: &Message, is: Outcome) {
        let Outcome::Resumed { tls13 } = is else { return };
        let may_be = matches!(self.kept, Kept::Inside | Kept::Outside | Kept::OutsideDamaged(..));
        assert!(may_be, "resumed: {:?}", self.kept);
        let has = |id: &[u8]| message.bytes.windows(id.len()).any(|bytes| bytes == id);
        if !tls13 {
            assert!(has(&place.negotiated.known.session.id), "not proposed, and resumed");
            return;
        }
        let tickets = &place.negotiated.known.tickets;
        assert!(tickets.iter().any(|ticket| has(&ticket.id)), "not proposed, and resumed");
        assert!(hello.binders == Binders::Right && message.is_bound, "without a right binder");
        let offered = |id: &Vec<u8>| tickets.iter().any(|ticket| ticket.id == *id);
        assert!(message.offers.iter().any(offered), "not offered, and resumed");
        for ticket in tickets {
            // Not a look-up, for those are counted.
            let is_it = |session: Session| session.id().as_bytes() == ticket.id;
            let is_there = place.cache.sessions().any(is_it);
            let asked = message.offers.contains(&ticket.id) && message.offers.len() == 1;
            assert!(!is_there || !asked, "resumed, and still there");
        }
    }

    /// A client as it should be is served, and resumes what is kept.
    fn judge_plain(&self, place: &Place, hello: &Hello, is: Outcome) {
        let is_kept = matches!(self.kept, Kept::Inside | Kept::Outside);
        let id = place.negotiated.known.id(&hello.id);
        let is_empty = |(who, _): &(Who, u16)| place.negotiated.known.id(who).is_empty();
        if id.len() > 32 || hello.offers.iter().any(is_empty) {
            return;
        }
        if !hello.is_plain() || matches!(self.kept, Kept::OutsideDamaged(..)) {
            return;
        }
        if !hello.tls13 {
            let resumes =
                is_kept && id == place.negotiated.known.session.id && hello.offers.is_empty();
            if hello.offers.is_empty() {
                let right = if resumes { Outcome::Resumed { tls13: false } } else { Outcome::Full };
                assert_eq!(is, right, "TLS 1.2, as it should be");
            }
            return;
        }
        let first = hello.offers.first().map(|(who, _)| who);
        match first {
            None => assert_eq!(is, Outcome::Full, "TLS 1.3, as it should be"),
            Some(Who::Ticket(_)) if is_kept => {
                assert_eq!(is, Outcome::Resumed { tls13: true }, "TLS 1.3, as it should be");
            }
            _ => {}
        }
    }

    fn judge_look_ups(
        &self,
        connection: &Connection,
        heard: u64,
        [before, after]: [&SessionStats; 2],
    ) {
        let asked = after.asked - before.asked;
        let sum = |stats: &SessionStats| {
            stats.internal_hits + stats.internal_misses + stats.internal_expired
        };
        let inside = sum(after) - sum(before);
        if let Some(scope) = &connection.scope {
            assert!(inside <= heard * self.budget, "{inside} look-ups inside");
            assert!(asked <= heard * self.budget, "{asked} look-ups outside");
            let allowed = scope.lookups() - scope.refused();
            assert!(allowed <= self.budget && scope.hits() <= allowed, "{allowed} look-ups");
        } else {
            assert!(asked <= heard * OPENSSL_BUDGET, "{asked} look-ups outside");
        }
        assert_eq!((after.get_panics, after.new_panics, after.in_flight), (0, 0, 0));
    }
}

fn say(connection: &mut Connection, hello: &Hello, wire: &[u8]) {
    let piece = if hello.piece == 0 { wire.len().max(1) } else { hello.piece.into() };
    wire.chunks(piece).for_each(|piece| connection.hears(piece));
}

/// Whether the `nth` ServerHello asks for another hello; `None`: there is none.
fn server_hello(messages: &[u8], nth: usize) -> Option<bool> {
    let hello = nth_message(messages, nth)?;
    Some(hello.get(6..14) == Some(&ASKS_AGAIN))
}

fn nth_message(mut messages: &[u8], nth: usize) -> Option<&[u8]> {
    for left in (0..=nth).rev() {
        let [SERVER_HELLO, high, middle, low, ..] = *messages else { return None };
        let len = 4 + usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
        if left == 0 {
            return messages.get(..len);
        }
        messages = messages.get(len..)?;
    }
    None
}

/// Whether a ServerHello is one of TLS 1.3: it says so in an extension.
fn is_tls13(messages: &[u8], nth: usize) -> bool {
    let hello = nth_message(messages, nth).unwrap_or_default();
    // Behind the session id: a suite, a compression, the length of the extensions.
    let id = hello.get(38).copied().unwrap_or(0);
    let mut extensions = hello.get(39 + usize::from(id) + 5..).unwrap_or_default();
    while let [high, low, len_high, len_low, rest @ ..] = extensions {
        if [*high, *low] == [0, 43] {
            return true;
        }
        let len = u16::from_be_bytes([*len_high, *len_low]);
        extensions = rest.get(usize::from(len)..).unwrap_or_default();
    }
    false
}

/// Each session that was stored is there, or has left with its event.
fn judge_cache(cache: &SessionCache<()>) {
    cache.run_maintenance(usize::MAX);
    let engine = cache.stats().engine;
    assert_eq!(engine.inserts, engine.removed_total() + cache.len(), "events");
    cache.validate();
}
