//! The session cache mode: which of its parts are on.

/// What a session cache does: `SSL_CTX_set_session_cache_mode(3)`, with OpenSSL's numbers.
///
/// A set of flags that is replaced whole. The default is [`SERVER`](Self::SERVER).
///
/// ```
/// use halfshake::session::Modes;
///
/// let modes = Modes::SERVER | Modes::NO_INTERNAL_STORE;
/// assert!(modes.contains(Modes::SERVER) && !modes.contains(Modes::NO_INTERNAL));
/// assert_eq!(modes.bits(), 0x202);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modes(u32);

impl Modes {
    /// No caching: nothing is stored, nothing is looked up in the internal cache, and the new
    /// callback is not called. The get callback is still asked, as the manual page says; what it
    /// answers is used, and not stored.
    pub const OFF: Self = Self(0);
    /// Sessions of clients are cached: handles made by
    /// [`for_clients`](super::SessionCache::for_clients) store.
    pub const CLIENT: Self = Self(0x1);
    /// Sessions of servers are cached.
    pub const SERVER: Self = Self(0x2);
    /// Both.
    pub const BOTH: Self = Self(0x3);
    /// Expired sessions are not removed by the way (each 255th new session removes some): only by
    /// the sweeper, if the cache has one, and by `flush_sessions`.
    pub const NO_AUTO_CLEAR: Self = Self(0x80);
    /// The internal cache is not asked: every look-up goes to the get callback.
    pub const NO_INTERNAL_LOOKUP: Self = Self(0x100);
    /// Nothing is stored in the internal cache, neither new sessions nor what the get callback
    /// answers. `add` still does: it asks for exactly that.
    pub const NO_INTERNAL_STORE: Self = Self(0x200);
    /// Neither.
    pub const NO_INTERNAL: Self = Self(0x300);
    /// What the get callback answers is renewed when it is stored: it then lives for a whole
    /// timeout from now, but never past its `auth_not_after`.
    pub const UPDATE_TIME: Self = Self(0x400);

    const ALL: u32 = 0x783;

    /// The flags with these bits of OpenSSL's; `None` if there are others.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::ALL == 0 { Some(Self(bits)) } else { None }
    }

    /// OpenSSL's number of the set.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of these flags are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// What comes out of [`bits`](Self::bits), which is all that is ever stored.
    pub(super) fn of_stored(bits: u64) -> Self {
        Self(u32::try_from(bits).unwrap_or(0) & Self::ALL)
    }
}

impl Default for Modes {
    fn default() -> Self {
        Self::SERVER
    }
}

impl std::ops::BitOr for Modes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_openssl() {
        let all = [
            (Modes::OFF, 0x0),
            (Modes::CLIENT, 0x1),
            (Modes::SERVER, 0x2),
            (Modes::BOTH, 0x3),
            (Modes::NO_AUTO_CLEAR, 0x80),
            (Modes::NO_INTERNAL_LOOKUP, 0x100),
            (Modes::NO_INTERNAL_STORE, 0x200),
            (Modes::NO_INTERNAL, 0x300),
            (Modes::UPDATE_TIME, 0x400),
        ];
        for (modes, bits) in all {
            assert_eq!((modes.bits(), Modes::from_bits(bits)), (bits, Some(modes)));
        }
        assert_eq!(Modes::from_bits(0x4), None);
        assert_eq!(Modes::CLIENT | Modes::SERVER, Modes::BOTH);
    }
}
