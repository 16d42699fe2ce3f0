//! A cache of pairs and a cache of bytes, as one: keys are numbers, and so are the names of
//! entries, each of which is used once.

use halfshake::{Builder, Cache, Reader, Refusal, Stored, Taken};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Entries that are alive: clones of one of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alive(Arc<()>);

impl Alive {
    /// How many, but for this one.
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// A new entry.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) key: u64,
    pub(crate) name: u64,
    pub(crate) _alive: Alive,
}

/// How an entry is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Insert,
    WithTimeout(Duration),
    IfAbsent,
    Replace,
}

pub(crate) type CacheOf<S> = Cache<<S as Subject>::Key, <S as Subject>::Value, Place>;
pub(crate) type TakenOf<'c, S> = Taken<'c, <S as Subject>::Key, <S as Subject>::Value, Place>;
pub(crate) type ReaderOf<S> = Reader<<S as Subject>::Key, <S as Subject>::Value, Place>;

/// The shape of the entries.
pub(crate) trait Subject: 'static + Sized {
    type Key: ?Sized + Stored<Self::Value> + Hash + Eq + Send + Sync;
    type Value: ?Sized + Send + Sync + 'static;
    /// A key that can be looked up.
    type Asked: std::borrow::Borrow<Self::Key>;
    /// Whether what is alive can be counted.
    const HOLDS: bool;

    fn asked(key: u64) -> Self::Asked;
    /// The number of a key, and the name of an entry; checks that they belong together.
    fn read(key: &Self::Key, value: &Self::Value) -> (u64, u64);
    fn name(value: &Self::Value) -> u64;
    /// Whether it was stored.
    fn insert(cache: &CacheOf<Self>, new: New, mode: Mode) -> Result<bool, Refusal>;
    fn insert_many(cache: &CacheOf<Self>, new: Vec<New>) -> Vec<Result<(), Refusal>>;
    fn insert_by(reader: &mut ReaderOf<Self>, new: New) -> Result<bool, Refusal>;
    /// The name of what is there now; none if there is no such operation.
    fn get_or_insert(cache: &CacheOf<Self>, new: New) -> Option<u64>;
    /// `get` and `take` as a copy: the name of what was found.
    fn get_copy(cache: &CacheOf<Self>, key: u64) -> Option<u64>;
    fn take_copy(cache: &CacheOf<Self>, key: u64) -> Option<u64>;
}

#[derive(Debug)]
pub(crate) struct Pairs;

impl Subject for Pairs {
    type Key = u64;
    type Value = New;
    type Asked = u64;
    const HOLDS: bool = true;

    fn asked(key: u64) -> u64 {
        key
    }

    fn read(key: &u64, value: &New) -> (u64, u64) {
        assert_eq!(*key, value.key, "an entry of another key");
        (*key, value.name)
    }

    fn name(value: &New) -> u64 {
        value.name
    }

    fn insert(cache: &CacheOf<Self>, new: New, mode: Mode) -> Result<bool, Refusal> {
        let (key, name) = (new.key, new.name);
        let back = match mode {
            Mode::Insert => cache.insert(key, new).map(|()| None),
            Mode::WithTimeout(timeout) => {
                cache.insert_with_timeout(key, new, timeout).map(|()| None)
            }
            Mode::IfAbsent => cache.insert_if_absent(key, new),
            Mode::Replace => cache.replace(key, new),
        };
        let own = |key: &u64, value: &New| {
            assert_eq!((*key, value.key, value.name), (value.key, *key, name), "not handed back");
        };
        match back {
            Ok(None) => Ok(true),
            Ok(Some((key, value))) => {
                own(&key, &value);
                Ok(false)
            }
            Err(refused) => {
                own(&refused.key, &refused.value);
                Err(refused.refusal)
            }
        }
    }

    fn insert_many(cache: &CacheOf<Self>, new: Vec<New>) -> Vec<Result<(), Refusal>> {
        let answers = cache.insert_many(new.into_iter().map(|new| (new.key, new)));
        answers.into_iter().map(|answer| answer.map_err(|refused| refused.refusal)).collect()
    }

    fn insert_by(reader: &mut ReaderOf<Self>, new: New) -> Result<bool, Refusal> {
        reader.insert(new.key, new).map(|()| true).map_err(|refused| refused.refusal)
    }

    fn get_or_insert(cache: &CacheOf<Self>, new: New) -> Option<u64> {
        let made = cache.get_or_insert_with(new.key, || new.clone());
        assert_eq!(made.key, new.key, "an entry of another key");
        Some(made.name)
    }

    fn get_copy(cache: &CacheOf<Self>, key: u64) -> Option<u64> {
        cache.get_cloned(&key).map(|value| Self::read(&key, &value).1)
    }

    fn take_copy(cache: &CacheOf<Self>, key: u64) -> Option<u64> {
        cache.take_cloned(&key).map(|value| Self::read(&key, &value).1)
    }
}

#[derive(Debug)]
pub(crate) struct Bytes;

/// The value tells the key, too.
fn bytes(new: &New) -> Vec<u8> {
    [new.name.to_le_bytes(), new.key.to_le_bytes()].concat()
}

impl Subject for Bytes {
    type Key = [u8];
    type Value = [u8];
    type Asked = [u8; 8];
    const HOLDS: bool = false;

    fn asked(key: u64) -> [u8; 8] {
        key.to_le_bytes()
    }

    fn read(key: &[u8], value: &[u8]) -> (u64, u64) {
        assert_eq!(key, &value[8..], "an entry of another key, or one that was wiped");
        (u64::from_le_bytes(key.try_into().expect("eight bytes")), Self::name(value))
    }

    fn name(value: &[u8]) -> u64 {
        u64::from_le_bytes(value[..8].try_into().expect("eight bytes"))
    }

    fn insert(cache: &CacheOf<Self>, new: New, mode: Mode) -> Result<bool, Refusal> {
        let (key, value) = (&Self::asked(new.key), &bytes(&new));
        match mode {
            Mode::Insert => cache.insert(key, value).map(|()| true),
            Mode::WithTimeout(timeout) => {
                cache.insert_with_timeout(key, value, timeout).map(|()| true)
            }
            Mode::IfAbsent => cache.insert_if_absent(key, value),
            Mode::Replace => cache.replace(key, value),
        }
    }

    fn insert_many(cache: &CacheOf<Self>, new: Vec<New>) -> Vec<Result<(), Refusal>> {
        let all: Vec<_> = new.iter().map(|new| (Self::asked(new.key), bytes(new))).collect();
        let all: Vec<_> = all.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        if all.len() % 2 == 0 {
            return cache.insert_many(&all);
        }
        let mut answers = Vec::new();
        cache.insert_each(&all, |answer| answers.push(answer));
        answers
    }

    fn insert_by(reader: &mut ReaderOf<Self>, new: New) -> Result<bool, Refusal> {
        reader.insert(&Self::asked(new.key), &bytes(&new)).map(|()| true)
    }

    fn get_or_insert(_cache: &CacheOf<Self>, _new: New) -> Option<u64> {
        None
    }

    fn get_copy(cache: &CacheOf<Self>, key: u64) -> Option<u64> {
        let key = Self::asked(key);
        cache.get_copied(&key[..]).map(|value| Self::read(&key, &value).1)
    }

    fn take_copy(cache: &CacheOf<Self>, key: u64) -> Option<u64> {
        let key = Self::asked(key);
        cache.take_copied(&key[..]).map(|value| Self::read(&key, &value).1)
    }
}

/// Hashes so that keys meet: all in one set or not, and two of them with one tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) one_set: bool,
}

impl Place {
    pub(crate) fn builder<S: Subject>(self) -> Builder<S::Key, S::Value, Self> {
        Cache::builder_with_hasher(self)
    }
}

impl BuildHasher for Place {
    type Hasher = Placer;

    fn build_hasher(&self) -> Placer {
        Placer { one_set: self.one_set, key: 0 }
    }
}

#[derive(Debug)]
pub(crate) struct Placer {
    one_set: bool,
    key: u64,
}

impl Hasher for Placer {
    fn finish(&self) -> u64 {
        // The set is taken from the high bits, the tag from the low ones.
        let set = if self.one_set { 0 } else { self.key.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        set & !0xffff | (self.key / 2)
    }

    fn write(&mut self, bytes: &[u8]) {
        // A number, or the bytes of one; a slice's length comes as a number of its own.
        if let Ok(key) = bytes.try_into() {
            self.key = u64::from_le_bytes(key);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.key = key;
    }

    /// The length of a slice.
    fn write_usize(&mut self, _length: usize) {}
}
