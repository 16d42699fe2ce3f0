//! What look-ups outside come to: who may ask, what an answer is good for, what is remembered.

use super::super::script::Getter;
use super::{
    Arrival, BREAK_MS, Doing, Flight, Is, Key, MOST_PAYLOAD, Model, ROUGHLY_MS, SKEW_MS, copy,
    key_of, looks_inside, stores_answers,
};
use halfshake::session::{Purpose, Session};

impl Model {
    /// The get callback is called; the number of the look-up.
    pub(crate) fn ask(&mut self, key: &Key, purpose: Purpose) -> usize {
        assert!(key.1.len() <= self.setup.id_max && !key.1.is_empty(), "an impossible id");
        assert_ne!(self.remembers(key), Is::Yes, "asked for what was just unknown");
        assert!(!self.is_inside_of(key), "asked for what it is being asked for");
        assert!(self.would_let_through(), "asked, though the breaker is open");
        let looks = looks_inside(self.modes);
        assert!(!looks || self.visible(key).contains(&None), "asked for what is inside");
        if let Some(until) = &mut self.open_until {
            *until = self.now + BREAK_MS;
        }
        let takes = purpose == Purpose::Take;
        let stores = !takes && stores_answers(self.modes);
        self.asked += 1;
        let (number, key) = (self.flights.len(), key.clone());
        self.flights.push(Flight {
            key,
            takes,
            stores,
            marked: Is::No,
            void: Is::No,
            is_inside: true,
            is_over: false,
            outcome: None,
        });
        self.frame().asks.push(number);
        number
    }

    /// The thread goes into, or comes out of, the callback of a look-up.
    pub(crate) fn set_inside(&mut self, flight: usize, is_inside: bool) {
        self.flights[flight].is_inside = is_inside;
    }

    /// A look-up is over, in whatever way.
    pub(crate) fn leave(&mut self, flight: usize) {
        let flight = &mut self.flights[flight];
        (flight.is_over, flight.is_inside) = (true, false);
        let taken = flight.takes.then(|| flight.key.clone());
        // A take marks the others when it leaves.
        taken.into_iter().for_each(|key| self.mark(Is::Yes, |other| *other == key));
    }

    pub(crate) fn is_inside_of(&self, key: &Key) -> bool {
        self.flights.iter().any(|f| f.is_inside && f.key == *key)
    }

    /// The get callback has failed, or panicked.
    pub(crate) fn failed(&mut self) {
        self.failures += 1;
        if self.setup.failures != 0 && self.failures >= self.setup.failures {
            self.open_until = Some(self.now + BREAK_MS);
        }
    }

    pub(crate) fn would_let_through(&self) -> bool {
        self.open_until.is_none_or(|until| self.now >= until)
    }

    /// It answers: that it does not know the id.
    pub(crate) fn answers_unknown(&mut self, flight: usize) {
        (self.failures, self.open_until) = (0, None);
        let (key, marked) = (self.flights[flight].key.clone(), self.flights[flight].marked);
        if marked != Is::Yes {
            self.unknown.insert(key.clone(), (self.now, marked == Is::No));
        }
        self.arrives(flight, Arrival { key, session: None, sure: true });
    }

    /// It answers: that it has failed.
    pub(crate) fn answers_failed(&mut self, flight: usize) {
        self.failed();
        let key = self.flights[flight].key.clone();
        self.arrives(flight, Arrival { key, session: None, sure: true });
    }

    /// The thread leaves the callback with it: what is told of afterwards may ask for the same id.
    fn arrives(&mut self, flight: usize, arrival: Arrival) {
        self.flights[flight].outcome.clone_from(&arrival.session);
        self.flights[flight].is_inside = false;
        let frame = self.frame();
        frame.arrivals.push(arrival);
        frame.landed.push(flight);
    }

    /// It answers: with a session, or what is none.
    pub(crate) fn answers(&mut self, flight: usize, session: Option<&Session>) {
        (self.failures, self.open_until) = (0, None);
        let key = self.flights[flight].key.clone();
        let good = session.filter(|session| self.is_acceptable(session, &key));
        self.rejected += u64::from(good.is_none());
        let flies = &self.flights[flight];
        let of_key = |f: &&Flight| !f.is_over && f.key == key;
        let taking = self.flights.iter().filter(of_key).any(|f| f.takes);
        let (takes, void) = (flies.takes, flies.void);
        let may_land =
            flies.stores && !taking && flies.marked != Is::Yes && self.closed() != Is::Yes;
        // Nothing lands while what was taken inside is told of.
        let telling =
            self.frames.iter().any(|frame| matches!(&frame.doing, Doing::Take(k) if *k == key));
        let sure = flies.marked == Is::No && self.closed() == Is::No && !telling;
        let must = may_land && sure && self.visible(&key) == [None];
        let given = good.filter(|_| void != Is::Yes).map(copy);
        if takes && given.is_some() {
            // It claims it when the removal of what lies inside was told of, and not if that
            // panics.
            self.claim(&key, Is::Maybe);
        }
        if let Some(session) = good.filter(|_| may_land && self.visible(&key).contains(&None)) {
            self.put(&key, session, must);
        }
        self.arrives(flight, Arrival { key, session: given, sure: void == Is::No });
    }

    /// Whether an answer that was good has expired by now. One who has waited for it is given
    /// nothing then, which is counted; the caller says that this has happened.
    pub(crate) fn came_too_late(&mut self, answer: Option<&Session>) -> bool {
        let late = answer.is_some_and(|session| self.has_ended(session));
        self.rejected += u64::from(late);
        late
    }

    pub(crate) fn has_ended(&self, session: &Session) -> bool {
        session.times().not_after().as_millis() <= u128::from(self.wall)
    }

    /// Everything that is asked of what comes from outside.
    fn is_acceptable(&self, session: &Session, key: &Key) -> bool {
        let times = session.times();
        let ms = |time: std::time::Duration| time.as_millis();
        key_of(session) == Some(key.clone())
            && u128::from(self.wall) < ms(times.not_after())
            && ms(times.created()) <= u128::from(self.wall + SKEW_MS)
            && session.payload().len() <= MOST_PAYLOAD
    }

    // What was said to be unknown.

    pub(crate) fn remembers(&self, key: &Key) -> Is {
        let Some((since, sure)) = self.unknown.get(key) else { return Is::No };
        let (age, keeps) = (self.now - since, self.setup.unknown_ms);
        match () {
            () if age >= keeps => Is::No,
            () if *sure && age + ROUGHLY_MS < keeps => Is::Yes,
            () => Is::Maybe,
        }
    }

    pub(crate) fn forget(&mut self, key: &Key) {
        self.unknown.remove(key);
    }

    // Single use.

    pub(crate) fn claims(&self, key: &Key) -> u64 {
        self.claims.get(key).copied().unwrap_or(0)
    }

    /// Taken, or told of as new: the others who are taking it get nothing.
    pub(crate) fn void(&mut self, key: &Key) {
        self.claim(key, Is::Yes);
    }

    fn claim(&mut self, key: &Key, is: Is) {
        *self.claims.entry(key.clone()).or_default() += 1;
        self.set_void(key, is);
    }

    /// One who takes it has it: the others get nothing.
    pub(crate) fn has_taken(&mut self, key: &Key) {
        self.set_void(key, Is::Yes);
    }

    /// Another taker has what this take is out for.
    pub(crate) fn is_taken(&self, flight: usize) -> bool {
        self.flights[flight].void == Is::Yes
    }

    /// The same of a take that the innermost operation has asked for.
    pub(crate) fn asked_in_vain(&mut self) -> bool {
        let asked = self.frame().asks.last().copied();
        asked.is_some_and(|flight| self.is_taken(flight))
    }

    fn set_void(&mut self, key: &Key, is: Is) {
        let taking = |f: &&mut Flight| f.takes && !f.is_over && f.key == *key;
        self.flights.iter_mut().filter(taking).for_each(|f| f.void = f.void.max(is));
    }

    /// The new callback will be told of such a session, or has been.
    pub(crate) fn tell(&mut self, key: &Key, begins: bool) {
        if begins {
            self.void(key);
            self.told.push(key.clone());
        } else if let Some(at) = self.told.iter().position(|told| told == key) {
            self.told.swap_remove(at);
        }
    }

    /// Whether a look-up that asks now would join another one.
    pub(crate) fn joins(&self, key: &Key) -> Is {
        let inside = self.flights.iter().any(|f| f.is_inside);
        let of_key = self.flights.iter().filter(|f| !f.is_over && !f.takes && f.key == *key);
        let is_landing = self.is_landing(key).is_some();
        match of_key.map(|f| f.marked).min() {
            Some(Is::No) if !inside && !is_landing => Is::Yes,
            Some(Is::No | Is::Maybe) => Is::Maybe,
            _ => Is::No,
        }
    }

    /// What the innermost operation, a look-up, may find inside, and whether it asks outside.
    pub(crate) fn expects(
        &self,
        key: &Key,
        takes: bool,
        may_spend: bool,
    ) -> (Vec<Option<Session>>, Is) {
        if key.1.is_empty() || key.1.len() > self.setup.id_max {
            return (vec![None], Is::No);
        }
        if takes && self.told.contains(key) {
            return (vec![None], Is::No);
        }
        let inside = if looks_inside(self.modes) { self.visible(key) } else { vec![None] };
        let joins = if takes { Is::No } else { self.joins(key) };
        let never = !inside.contains(&None)
            || self.getter == Getter::None
            || !may_spend
            || self.is_inside_of(key)
            || self.remembers(key) == Is::Yes
            || joins == Is::Yes
            || !self.would_let_through();
        let doubt = inside.iter().any(Option::is_some)
            || joins == Is::Maybe
            || self.remembers(key) == Is::Maybe
            || self.is_landing(key).is_some();
        (
            inside,
            if never {
                Is::No
            } else if doubt {
                Is::Maybe
            } else {
                Is::Yes
            },
        )
    }
}
