//! Cache modes: a bit set that is replaced whole.

use std::fmt::{Debug, Formatter};
use std::ops::BitOr;

/// What a session cache does by itself: `SSL_CTX_set_session_cache_mode(3)`, with its bits.
///
/// A set of bits. Setting a cache's modes replaces the whole set, and an operation goes by the set
/// that it saw when it began.
///
/// ```
/// use halfshake::session::Modes;
///
/// let modes = Modes::SERVER | Modes::NO_INTERNAL_STORE;
/// assert!(modes.contains(Modes::SERVER) && !modes.contains(Modes::NO_INTERNAL));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modes(u32);

impl Modes {
    /// Nothing is cached: no store, no internal look-up, no new callback. The get callback is
    /// asked all the same, as the page says; its session is used, and not stored.
    pub const OFF: Self = Self(0);
    /// Sessions of the client side are cached.
    ///
    /// A client has no ids to be asked for: it finds its sessions with
    /// [`SessionCache::find`](super::SessionCache::find) under an id of its own making (the
    /// server's name, say). The get callback is never called for it.
    pub const CLIENT: Self = Self(0x1);
    /// Sessions of the server side are cached. The default.
    pub const SERVER: Self = Self(0x2);
    /// Both sides.
    pub const BOTH: Self = Self(0x3);
    /// What has expired stays until `flush_sessions`, until it is replaced or removed, or until it
    /// has to make room. It is never found all the same.
    pub const NO_AUTO_CLEAR: Self = Self(0x80);
    /// The internal cache is not looked at when a session is to be resumed.
    pub const NO_INTERNAL_LOOKUP: Self = Self(0x100);
    /// Sessions are not stored by themselves: neither new ones nor what the get callback finds.
    /// [`SessionCache::add`](super::SessionCache::add) stores.
    pub const NO_INTERNAL_STORE: Self = Self(0x200);
    /// Both.
    pub const NO_INTERNAL: Self = Self(0x300);

    /// A session is renewed when it is used: its timeout applies to the last use, rather than to
    /// its creation.
    ///
    /// A resumption that the internal cache answers replaces the entry by one whose timeout begins
    /// now (remove callback: [`Replaced`](crate::RemovalCause::Replaced), which is no end of the
    /// session: its id lives on), never past its `auth_not_after`, and only once an eighth of the
    /// timeout has gone by: not each use costs a replacement. A session that left meanwhile does
    /// not come back. What the get callback gives keeps its own times until it is used again.
    pub const UPDATE_TIME: Self = Self(0x400);

    const KNOWN: u32 = 0x783;
    /// The cache's own, and in no set of the embedder's: hits are renewed.
    pub(super) const RENEWS: Self = Self(1 << 31);
    /// The same: the internal cache is looked at also while caching is off.
    pub(super) const LOOKS_WHILE_OFF: Self = Self(1 << 30);

    /// The set with the cache's own bits.
    pub(super) const fn with_own(self, own: Self) -> Self {
        Self(self.0 | own.0)
    }

    /// The modes in the cache's word.
    pub(super) const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The modes as the embedder has them.
    pub(super) const fn without_own(self) -> Self {
        Self(self.0 & Self::KNOWN)
    }

    /// Whether all bits of the other set are in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set without the bits of the other one.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether a server's look-ups are answered by the internal cache.
    pub(super) fn look_inside(self) -> bool {
        (self.contains(Self::SERVER) || self.contains(Self::LOOKS_WHILE_OFF))
            && !self.contains(Self::NO_INTERNAL_LOOKUP)
    }

    /// Whether what the internal cache answers is renewed.
    pub(super) fn renews(self) -> bool {
        self.contains(Self::RENEWS)
    }

    /// Whether a server's sessions are stored by themselves: new ones, and what a look-up outside
    /// brings.
    pub(super) fn store_inside(self) -> bool {
        self.contains(Self::SERVER) && !self.contains(Self::NO_INTERNAL_STORE)
    }

    /// The bits, as the C header has them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// A set from bits; `None` if one of them means nothing.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }
}

impl Default for Modes {
    fn default() -> Self {
        Self::SERVER
    }
}

impl BitOr for Modes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Debug for Modes {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        const NAMES: [(Modes, &str); 6] = [
            (Modes::CLIENT, "CLIENT"),
            (Modes::SERVER, "SERVER"),
            (Modes::NO_AUTO_CLEAR, "NO_AUTO_CLEAR"),
            (Modes::NO_INTERNAL_LOOKUP, "NO_INTERNAL_LOOKUP"),
            (Modes::NO_INTERNAL_STORE, "NO_INTERNAL_STORE"),
            (Modes::UPDATE_TIME, "UPDATE_TIME"),
        ];
        let named = NAMES.iter().filter(|(bit, _)| self.contains(*bit));
        let names: Vec<&str> = named.map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "OFF" } else { "" })?;
        f.write_str(&names.join("|"))
    }
}
