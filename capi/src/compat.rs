//! The quirks of OpenSSL and its kin, as bits: those of `halfshake::session::Compat::ALL`, in its
//! order.

use crate::result::{Failure, Outcome};
use halfshake::session::Compat;

/// No quirks: the manual page SSL_CTX_sess_set_get_cb(3) to the letter. The default.
pub const HALFSHAKE_COMPAT_STRICT: u32 = 0;
/// The remove callback is called for removals of what is not here, too: with an empty payload.
pub const HALFSHAKE_COMPAT_REMOVE_TELLS_OF_ABSENT: u32 = 0x1;
/// A new session that the new callback refuses stays where it was stored.
pub const HALFSHAKE_COMPAT_REFUSED_STAYS: u32 = 0x2;
/// What the get callback gives is stored whatever is found wrong with it.
pub const HALFSHAKE_COMPAT_EXTERNAL_STORED_UNCHECKED: u32 = 0x4;
/// A session that was made in the future is accepted.
pub const HALFSHAKE_COMPAT_ACCEPTS_THE_FUTURE: u32 = 0x8;
/// A session is still good while its age is its timeout, in whole seconds.
pub const HALFSHAKE_COMPAT_DEADLINE_INCLUSIVE: u32 = 0x10;
/// One id may name two sessions of two protocol versions: see `version` of halfshake_key.
pub const HALFSHAKE_COMPAT_KEY_INCLUDES_VERSION: u32 = 0x20;
/// The remove callback is not called for a session whose id was taken by another one.
pub const HALFSHAKE_COMPAT_REPLACEMENT_SILENT: u32 = 0x40;
/// Where the cache holds an expired session, the get callback is not asked.
pub const HALFSHAKE_COMPAT_EXPIRED_HIDES_EXTERNAL: u32 = 0x80;
/// A capacity of 0 is `max_capacity`.
pub const HALFSHAKE_COMPAT_CAPACITY_0_IS_THE_MOST: u32 = 0x100;
/// A capacity of N holds N - 1, but for 1.
pub const HALFSHAKE_COMPAT_CAPACITY_HOLDS_ONE_LESS: u32 = 0x200;
/// A timeout of 0 is two hours.
pub const HALFSHAKE_COMPAT_TIMEOUT_0_IS_THE_DEFAULT: u32 = 0x400;
/// The cache is looked at also while caching is off.
pub const HALFSHAKE_COMPAT_LOOKS_INSIDE_WHILE_OFF: u32 = 0x800;
/// halfshake_cache_connection_failed does nothing.
pub const HALFSHAKE_COMPAT_FAILED_CONNECTION_KEEPS: u32 = 0x1000;
/// Nothing is swept; every 256th accept that is noted as finished flushes what has expired.
pub const HALFSHAKE_COMPAT_FLUSHES_BY_ACCEPTS: u32 = 0x2000;
/// The same at every 255th new session.
pub const HALFSHAKE_COMPAT_FLUSHES_BY_NEW_SESSIONS: u32 = 0x4000;
/// halfshake_cache_remove_exact removes whatever session has the id.
pub const HALFSHAKE_COMPAT_EXACT_REMOVES_BY_ID: u32 = 0x8000;
/// HALFSHAKE_MODE_UPDATE_TIME renews a session when it is stored, not when it is used.
pub const HALFSHAKE_COMPAT_UPDATE_TIME_ON_STORE: u32 = 0x10000;
/// HALFSHAKE_MODE_UPDATE_TIME means nothing.
pub const HALFSHAKE_COMPAT_UPDATE_TIME_IGNORED: u32 = 0x20000;
/// All that OpenSSL 1.1.1 really does.
pub const HALFSHAKE_COMPAT_OPENSSL_1_1_1: u32 = 0x2adff;
/// All that OpenSSL 3 really does.
pub const HALFSHAKE_COMPAT_OPENSSL_3: u32 = 0x1afff;
/// All that LibreSSL really does.
pub const HALFSHAKE_COMPAT_LIBRESSL: u32 = 0x22dfe;
/// All that BoringSSL really does.
pub const HALFSHAKE_COMPAT_BORINGSSL: u32 = 0x25dc6;

/// Quirks from their bits.
pub(crate) fn quirks(bits: u32) -> Outcome<Compat> {
    let mut all = Compat::strict();
    let mut left = bits;
    for (bit, (quirk, _)) in Compat::ALL.iter().enumerate() {
        if bits & (1 << bit) != 0 {
            all = all.with(*quirk);
            left &= !(1 << bit);
        }
    }
    if left == 0 { Ok(all) } else { Err(Failure::meaningless("compat", bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_has_its_bit_and_name() {
        let source = include_str!("compat.rs");
        for (bit, (_, name)) in Compat::ALL.iter().enumerate() {
            let line = format!("pub const HALFSHAKE_COMPAT_{name}: u32 = {:#x};", 1 << bit);
            assert!(source.contains(&line), "{line}");
        }
    }

    #[test]
    fn presets_have_the_bits_of_the_library() {
        for (bits, quirks) in [
            (HALFSHAKE_COMPAT_STRICT, Compat::strict()),
            (HALFSHAKE_COMPAT_OPENSSL_1_1_1, Compat::openssl_1_1_1()),
            (HALFSHAKE_COMPAT_OPENSSL_3, Compat::openssl_3()),
            (HALFSHAKE_COMPAT_LIBRESSL, Compat::libressl()),
            (HALFSHAKE_COMPAT_BORINGSSL, Compat::boringssl()),
        ] {
            let named = |(bit, (quirk, _)): (usize, &(Compat, &str))| {
                if quirks.contains(*quirk) { 1 << bit } else { 0u32 }
            };
            let expected: u32 = Compat::ALL.iter().enumerate().map(named).sum();
            assert_eq!(bits, expected, "{quirks:?}: {bits:#x}, not {expected:#x}");
            assert_eq!(super::quirks(bits).unwrap(), quirks);
        }
        assert!(super::quirks(1 << Compat::ALL.len()).is_err());
        assert!(super::quirks(1 << 31).is_err());
    }
}
