//! What may cross threads, and what may not: checked when this file compiles.

use halfshake::{
    Batch, BytesCache, Cache, ConfigError, Handle, PinnedRef, Reader, Ref, Refused, Stats, Taken,
};
use std::cell::Cell;

const fn sends<T: Send>() {}
const fn shares<T: Sync>() {}

const _: () = {
    sends::<Cache<u64, String>>();
    shares::<Cache<u64, String>>();
    sends::<BytesCache>();
    shares::<BytesCache>();
    // The one that has taken an entry may hand it on.
    sends::<Taken<'static, u64, String>>();
    sends::<Handle>();
    shares::<Handle>();
    sends::<Refused<u64, Cell<u8>>>();
    sends::<Stats>();
    sends::<ConfigError>();
};

/// Two implementations for what has the trait, one for what has it not: naming the only one
/// compiles for what has it not.
macro_rules! is_not {
    ($trait:ident: $($type:ty),* $(,)?) => {
        const _: () = {
            trait OnlyOne<Which> {
                const NAMED: () = ();
            }
            impl<T: ?Sized> OnlyOne<()> for T {}
            impl<T: ?Sized + $trait> OnlyOne<u8> for T {}
            $(let () = <$type as OnlyOne<_>>::NAMED;)*
        };
    };
}

// A pin belongs to its thread.
is_not!(Send:
    Reader<u64, u64>, PinnedRef<'static, u64, u64>, Batch<'static, u64, u64>,
    Reader<[u8], [u8]>, PinnedRef<'static, [u8], [u8]>,
);
is_not!(Sync: Reader<u64, u64>, PinnedRef<'static, u64, u64>, Batch<'static, u64, u64>);
// (The check itself, on a type that is known not to be.)
is_not!(Sync: Cell<u8>);

#[test]
fn what_a_reader_lends_is_read_in_place() {
    // `Ref` is a pointer: no allocation, no count.
    assert_eq!(size_of::<Option<Ref<'static, u64, u64>>>(), size_of::<usize>());
    assert_eq!(size_of::<Cache<u64, u64>>(), size_of::<usize>());
}
