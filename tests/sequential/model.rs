//! The sequential model: what is stored, until when, and what every look-up must answer.

use halfshake::RemovalCause;
use std::collections::BTreeMap;

/// A deadline that no clock reaches.
pub(crate) const NEVER: u64 = u64::MAX;

/// An entry that has not had its event yet; it may be past its deadline.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) key: u8,
    pub(crate) deadline: u64,
    pub(crate) weight: u64,
}

/// Answers to look-ups, as the statistics count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) hits: u64,
    pub(crate) unknown: u64,
    pub(crate) expired: u64,
    pub(crate) inserts: u64,
    pub(crate) too_large: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    /// By identity. Between operations each key is there at most once.
    pub(crate) stored: BTreeMap<u64, Stored>,
    pub(crate) now: u64,
    pub(crate) limit: u64,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) counted: Counted,
    pub(crate) removed: BTreeMap<RemovalCause, u64>,
}

/// What an operation must, and may, tell.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Entries that go in any case, with the causes that are right.
    pub(crate) must: BTreeMap<u64, Vec<RemovalCause>>,
    /// Whether others may be evicted, or found expired, besides.
    pub(crate) others: bool,
}

impl Model {
    pub(crate) fn is_expired(&self, stored: &Stored) -> bool {
        self.now >= stored.deadline
    }

    /// The entry that holds a key, expired or not; not one that `expected` knows to go.
    pub(crate) fn holder(&self, key: u8, expected: &Expected) -> Option<u64> {
        let mut of_key = self.stored.iter().filter(|(_, s)| s.key == key);
        of_key.find(|(id, _)| !expected.must.contains_key(id)).map(|(id, _)| *id)
    }

    /// The entry that a look-up of a key must find.
    pub(crate) fn live(&self, key: u8) -> Option<u64> {
        let id = self.holder(key, &Expected::default())?;
        (!self.is_expired(&self.stored[&id])).then_some(id)
    }

    /// As `live`, counted.
    pub(crate) fn look_up(&mut self, key: u8) -> Option<u64> {
        let found = self.live(key);
        match (found, self.holder(key, &Expected::default())) {
            (Some(_), _) => self.counted.hits += 1,
            (None, Some(_)) => self.counted.expired += 1,
            (None, None) => self.counted.unknown += 1,
        }
        found
    }

    /// All that look-ups would find: keys and identities.
    pub(crate) fn all_live(&self) -> Vec<(u8, u64)> {
        let live = self.stored.iter().filter(|(_, s)| !self.is_expired(s));
        let mut all: Vec<_> = live.map(|(id, s)| (s.key, *id)).collect();
        all.sort_unstable();
        all
    }

    /// That an entry goes, for this cause if it has not expired.
    pub(crate) fn goes(&self, id: u64, causes: &[RemovalCause], expected: &mut Expected) {
        let expired = self.is_expired(&self.stored[&id]);
        let causes = if expired { vec![RemovalCause::Expired] } else { causes.to_vec() };
        expected.must.insert(id, causes);
    }

    /// Takes an event in: the entry must be there, and the cause be right. The answer is the entry,
    /// if it went to make room.
    pub(crate) fn told(
        &mut self,
        (key, id, cause): (u8, u64, RemovalCause),
        expected: &mut Expected,
    ) -> Option<Stored> {
        let gone = self.stored.remove(&id);
        let gone = gone.unwrap_or_else(|| panic!("an event of {id}, which is not there: {cause}"));
        assert_eq!(gone.key, key, "the event of {id} has another key");
        *self.removed.entry(cause).or_default() += 1;
        if let Some(causes) = expected.must.remove(&id) {
            assert!(causes.contains(&cause), "{id} went as {cause}, not as {causes:?}");
            return None;
        }
        assert!(expected.others, "{id} went ({cause}), and should have stayed");
        let right =
            if self.is_expired(&gone) { RemovalCause::Expired } else { RemovalCause::Evicted };
        assert_eq!(cause, right, "{id} went to make room");
        Some(gone)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.stored.values().map(|s| s.weight).sum()
    }
}
