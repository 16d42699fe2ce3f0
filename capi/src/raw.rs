//! What C points to: the only file that follows a pointer which stands in a structure or comes with
//! a length.
//!
//! The header demands that such a pointer is NULL or good for the bytes that its length tells,
//! until the call is over; here that demand is all there is to lean on. Lengths are checked as far
//! as they can be: NULL with a length, and what no object can be as long as.
//!
//! Unsafe is checked by: `capi/tests/c/wrong.c`, `capi/tests/c/abi.c`, `capi/tests/c/walk.c`.

use crate::attach::options::AttachOptions;
use crate::result::{Code, Failure, Outcome};
use crate::session::{Key, Removed};
use halfshake::session::{Namespace, SessionId};
use std::ffi::c_void;
use std::mem::MaybeUninit;

/// The bytes of a pointer and a length.
///
/// # Safety
/// The pointer is NULL, or good for so many bytes that nobody writes for as long as `'a`.
pub(crate) unsafe fn bytes<'a>(
    what: &str,
    pointer: *const c_void,
    len: usize,
) -> Outcome<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Failure::null(what));
    }
    if isize::try_from(len).is_err() {
        let message = format!("{what}: no object has {len} bytes");
        return Err(Failure::new(Code::HALFSHAKE_BAD_ARGUMENT, message));
    }
    // SAFETY: it is not NULL, and the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), len) })
}

/// As `bytes`, to be written.
///
/// # Safety
/// The pointer is NULL, or good for so many bytes that nobody else touches for as long as `'a`.
pub(crate) unsafe fn room<'a>(
    pointer: *mut c_void,
    size: usize,
) -> Option<&'a mut [MaybeUninit<u8>]> {
    if pointer.is_null() || isize::try_from(size).is_err() {
        return None;
    }
    // SAFETY: it is not NULL, and the caller vouches for the rest; nobody need have written to it.
    Some(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), size) })
}

impl Key {
    /// The namespace, with the version that is proposed.
    pub(crate) fn namespace(&self) -> Outcome<Namespace> {
        // SAFETY: a key is C's, and the header demands it, or is made of two slices.
        let name = unsafe { bytes("key->ns", self.ns, self.ns_len) }?;
        let namespace = Namespace::new(name)?;
        Ok(if self.version == 0 { namespace } else { namespace.proposing(self.version) })
    }

    /// The id, of any length: whether it may be an id is the cache's question.
    pub(crate) fn id(&self) -> Outcome<&[u8]> {
        // SAFETY: as in `namespace`.
        unsafe { bytes("key->id", self.id, self.id_len) }
    }
}

impl AttachOptions {
    pub(crate) fn namespace(&self) -> Outcome<Namespace> {
        // SAFETY: the options are C's, and the header demands it.
        let name = unsafe { bytes("options->ns", self.ns, self.ns_len) }?;
        Ok(Namespace::new(name)?)
    }
}

impl Removed {
    /// A copy of the session.
    pub(crate) fn to_session(&self) -> Outcome<halfshake::session::Session> {
        // SAFETY: only `Removed::of` makes one; C has it for as long as what it was made of lives,
        // as the header demands.
        let payload = unsafe { bytes("payload", self.payload, self.payload_len) }?;
        let namespace = self.key.namespace()?;
        let id = SessionId::new(self.key.id()?)?;
        let (version, times) = (self.key.version, self.times.into());
        Ok(halfshake::session::Session::new(&namespace, id, version, times, payload))
    }
}

/// A structure that begins with its own size, so that later versions may be longer.
///
/// # Safety
/// It is `repr(C)`, its first field is the size as a `usize`, and any bytes are a value of it.
pub(crate) unsafe trait Versioned: Copy {
    /// Its name in the header.
    const NAME: &'static str;
}

// SAFETY: it is `repr(C)`, `size` is its first field, and the others are integers.
unsafe impl Versioned for crate::options::Options {
    const NAME: &'static str = "halfshake_options";
}

// SAFETY: as above.
unsafe impl Versioned for crate::statistics::Statistics {
    const NAME: &'static str = "halfshake_stats";
}

// SAFETY: as above.
unsafe impl Versioned for crate::statistics::NamespaceStatistics {
    const NAME: &'static str = "halfshake_namespace_stats";
}

// SAFETY: as above; the pointer is any word until it is followed.
unsafe impl Versioned for AttachOptions {
    const NAME: &'static str = "halfshake_attach_options";
}

/// Reads such a structure, if it is one of this version.
///
/// # Safety
/// The pointer is NULL, or good for a `size_t` and, if that is the structure's size, for the
/// structure.
pub(crate) unsafe fn read<T: Versioned>(what: &str, from: *const T) -> Outcome<T> {
    if from.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: the caller vouches for a `size_t`, which is the first field.
    let size = unsafe { from.cast::<usize>().read() };
    check_size::<T>(size, "set its size first")?;
    // SAFETY: the caller vouches for the structure.
    Ok(unsafe { from.read() })
}

/// Writes such a structure, if there is room for one of this version.
///
/// # Safety
/// The pointer is NULL, or good for `size` bytes.
pub(crate) unsafe fn write<T: Versioned>(what: &str, to: *mut T, size: usize, value: T) -> Outcome {
    if to.is_null() {
        return Err(Failure::null(what));
    }
    check_size::<T>(size, "pass its sizeof")?;
    // SAFETY: the caller vouches for so many bytes.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes such a structure whose `size` C has set.
///
/// # Safety
/// As for `read`.
pub(crate) unsafe fn fill<T: Versioned>(
    what: &str,
    to: *mut T,
    value: impl FnOnce() -> Outcome<T>,
) -> Outcome {
    if to.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: the caller vouches for a `size_t`, which is the first field.
    let size = unsafe { to.cast::<usize>().read() };
    check_size::<T>(size, "set its size to its sizeof")?;
    let value = value()?;
    // SAFETY: the caller vouches for the structure.
    unsafe { to.write(value) };
    Ok(())
}

fn check_size<T: Versioned>(size: usize, advice: &str) -> Outcome {
    if size == size_of::<T>() {
        return Ok(());
    }
    let (name, own) = (T::NAME, size_of::<T>());
    let version = env!("CARGO_PKG_VERSION");
    let message =
        format!("{name} has {own} bytes in version {version}, and yours has {size}: {advice}");
    Err(Failure::new(Code::HALFSHAKE_BAD_SIZE, message))
}
