//! The board of a stripe: which flights are out, and what for. `flights.rs` says what that is for,
//! and holds its lock.

use super::id::split;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Board<T> {
    flights: Vec<Flight<T>>,
    /// Flights that have departed, ever.
    departed: u64,
}

#[derive(Debug)]
pub(super) struct Flight<T> {
    pub(super) key: Box<[u8]>,
    /// Its key was changed while it was out.
    pub(super) marked: bool,
    /// Another taker has claimed its key: what this one got must not be used.
    pub(super) void: bool,
    pub(super) number: FlightNumber,
    pub(super) errand: Errand<T>,
}

/// What a flight is out for.
#[derive(Debug)]
pub(super) enum Errand<T> {
    /// To look up, and with what its joiners share.
    Resume(Arc<T>),
    Take,
    /// Not for anything: the new callback is told of a session.
    Tell,
    /// To remove what has landed while its key was changed.
    Remove,
    /// The same for a flush of a namespace, which is in place of the key.
    FlushNamespace,
    /// The same for a flush of everything.
    FlushAll,
}

/// Which keys a change is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'k> {
    Key(&'k [u8]),
    Namespace(&'k [u8]),
    All,
}

impl<'k> Scope<'k> {
    pub(super) fn names(self, key: &[u8]) -> bool {
        match self {
            Self::Key(name) => key == name,
            Self::Namespace(name) => split(key).0 == name,
            Self::All => true,
        }
    }

    /// What removes what has landed while these were changed, and what it has for a key.
    pub(super) fn removal<T>(self) -> (&'k [u8], Errand<T>) {
        match self {
            Self::Key(name) => (name, Errand::Remove),
            Self::Namespace(name) => (name, Errand::FlushNamespace),
            Self::All => (&[], Errand::FlushAll),
        }
    }
}

/// Which flight of its stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlightNumber(u64);

impl<T> Flight<T> {
    pub(super) fn is_taker(&self) -> bool {
        matches!(self.errand, Errand::Take)
    }

    pub(super) fn is_told(&self) -> bool {
        matches!(self.errand, Errand::Tell)
    }

    /// Whether it is out for an answer.
    pub(super) fn is_look_up(&self) -> bool {
        matches!(self.errand, Errand::Resume(_) | Errand::Take)
    }

    /// What nothing of lands while it is out, nor what is out when it leaves.
    fn closes(&self) -> Option<Scope<'_>> {
        match self.errand {
            Errand::Resume(_) | Errand::Tell => None,
            Errand::Take | Errand::Remove => Some(Scope::Key(&self.key)),
            Errand::FlushNamespace => Some(Scope::Namespace(&self.key)),
            Errand::FlushAll => Some(Scope::All),
        }
    }
}

impl<T> Default for Board<T> {
    fn default() -> Self {
        Self { flights: Vec::new(), departed: 0 }
    }
}

impl<T> Board<T> {
    pub(super) fn flights(&self) -> &[Flight<T>] {
        &self.flights
    }

    pub(super) fn of_key(&mut self, key: &[u8]) -> impl Iterator<Item = &mut Flight<T>> {
        self.flights.iter_mut().filter(move |flight| *flight.key == *key)
    }

    pub(super) fn numbered(&self, number: FlightNumber) -> Option<&Flight<T>> {
        self.flights.iter().find(|flight| flight.number == number)
    }

    pub(super) fn depart(&mut self, key: &[u8], errand: Errand<T>) -> FlightNumber {
        let number = FlightNumber(self.departed);
        self.departed += 1;
        self.flights.push(Flight { key: key.into(), marked: false, void: false, number, errand });
        number
    }

    pub(super) fn mark(&mut self, scope: Scope<'_>) {
        let named = self.flights.iter_mut().filter(|flight| scope.names(&flight.key));
        named.for_each(|flight| flight.marked = true);
    }

    /// Whether nothing of a key may land now.
    pub(super) fn is_closed(&self, key: &[u8]) -> bool {
        self.flights.iter().filter_map(Flight::closes).any(|scope| scope.names(key))
    }

    /// A flight leaves.
    pub(super) fn leave(&mut self, number: FlightNumber) -> Option<Flight<T>> {
        let at = self.flights.iter().position(|flight| flight.number == number)?;
        let gone = self.flights.swap_remove(at);
        if let Some(scope) = gone.closes() {
            self.mark(scope);
        }
        Some(gone)
    }
}
