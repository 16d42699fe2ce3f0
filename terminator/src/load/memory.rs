//! The sessions that one worker remembers, and whether it offers one.
//!
//! rustls decides alone when to offer a session: whenever its store has one. So a connection that
//! is to offer none gets a store that remembers and never tells.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Tickets beyond it push out the oldest: a server decides how many it sends.
const MOST_TICKETS: usize = 8;

/// One worker's memory, for the one server that it talks to.
#[derive(Default)]
pub(super) struct Memory(Mutex<Held>);

#[derive(Default)]
struct Held {
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
    group: Option<NamedGroup>,
    offered: u64,
}

impl Memory {
    pub(super) fn holds_session(&self) -> bool {
        let held = self.held();
        held.tls12.is_some() || !held.tls13.is_empty()
    }

    /// How often a session was handed to rustls to offer it.
    pub(super) fn offered(&self) -> u64 {
        self.held().offered
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// A view of a memory for one kind of connection.
#[derive(Debug)]
pub(super) struct View {
    memory: Arc<Memory>,
    offers: bool,
}

impl View {
    pub(super) fn new(memory: &Arc<Memory>, offers: bool) -> Self {
        Self { memory: Arc::clone(memory), offers }
    }
}

impl ClientSessionStore for View {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.memory.held().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.memory.held().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.memory.held().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        if !self.offers {
            return None;
        }
        let mut held = self.memory.held();
        held.offered += u64::from(held.tls12.is_some());
        held.tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.memory.held().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut held = self.memory.held();
        if held.tls13.len() == MOST_TICKETS {
            held.tls13.pop_front();
        }
        held.tls13.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        if !self.offers {
            return None;
        }
        let mut held = self.memory.held();
        let ticket = held.tls13.pop_back();
        held.offered += u64::from(ticket.is_some());
        ticket
    }
}
