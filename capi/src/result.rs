//! What an export answers: a code, and for this thread a message.

use halfshake::Refusal;
use halfshake::session::{IdLength, Malformed, NamespaceLength, NotStored};
use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// cbindgen:rename-all=None
/// What most functions return. 0: done. Above 0: the call was right, and this is why it did not do
/// what it is for, or not all of it. Below 0: the call was wrong, or failed; nothing has changed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names are those of the header")]
pub enum Code {
    /// Done.
    HALFSHAKE_OK = 0,
    /// There is no such session. Sets no message: it is the daily bread of a server.
    HALFSHAKE_MISS = 1,
    /// The new callback refused the session.
    HALFSHAKE_REFUSED = 2,
    /// Caching is off for this side.
    HALFSHAKE_OFF = 3,
    /// The modes say that new sessions are not stored inside. The new callback was told.
    HALFSHAKE_NOT_INTERNAL = 4,
    /// The session has expired, and was not stored.
    HALFSHAKE_EXPIRED = 5,
    /// The session is not one that this cache accepts: its id or its payload is too long.
    HALFSHAKE_REJECTED = 6,
    /// The place for this id waits for somebody: try again.
    HALFSHAKE_NO_ROOM = 7,
    /// The last places are held by calls under way: try again.
    HALFSHAKE_FULL = 8,
    /// The session is larger than the whole cache may be.
    HALFSHAKE_TOO_LARGE = 9,
    /// The cache is shut down.
    HALFSHAKE_CLOSED = 10,
    /// The visitor stopped the walk.
    HALFSHAKE_STOPPED = 11,
    /// There is more to do: call again.
    HALFSHAKE_MORE = 12,
    /// An argument is NULL that must not be, or has a value that means nothing.
    HALFSHAKE_BAD_ARGUMENT = -1,
    /// The `size` of a structure is not the one of this library.
    HALFSHAKE_BAD_SIZE = -2,
    /// The cache was freed.
    HALFSHAKE_BAD_CACHE = -3,
    /// A session id has no bytes, or more than the cache accepts (32, unless it was set up for
    /// more).
    HALFSHAKE_BAD_ID = -4,
    /// A namespace has no bytes, or more than 32.
    HALFSHAKE_BAD_NAMESPACE = -5,
    /// A cache can't be built with these options, or not be given this capacity.
    HALFSHAKE_BAD_SETTING = -6,
    /// The bytes are no session.
    HALFSHAKE_BAD_BYTES = -7,
    /// The buffer is too small.
    HALFSHAKE_SHORT_BUFFER = -8,
    /// A bug in halfshake. What the call was to do may be done or not; the cache is as it should
    /// be, and goes on.
    HALFSHAKE_PANIC = -9,
    /// There is no TLS library in sight of this program, or one that lacks a function.
    HALFSHAKE_NO_LIBRARY = -10,
    /// The TLS library failed.
    HALFSHAKE_LIBRARY_FAILED = -11,
}

impl Code {
    /// Every code with its name.
    pub(crate) const ALL: [(Self, &'static CStr); 24] = [
        (Self::HALFSHAKE_OK, c"ok"),
        (Self::HALFSHAKE_MISS, c"miss"),
        (Self::HALFSHAKE_REFUSED, c"refused"),
        (Self::HALFSHAKE_OFF, c"off"),
        (Self::HALFSHAKE_NOT_INTERNAL, c"not_internal"),
        (Self::HALFSHAKE_EXPIRED, c"expired"),
        (Self::HALFSHAKE_REJECTED, c"rejected"),
        (Self::HALFSHAKE_NO_ROOM, c"no_room"),
        (Self::HALFSHAKE_FULL, c"full"),
        (Self::HALFSHAKE_TOO_LARGE, c"too_large"),
        (Self::HALFSHAKE_CLOSED, c"closed"),
        (Self::HALFSHAKE_STOPPED, c"stopped"),
        (Self::HALFSHAKE_MORE, c"more"),
        (Self::HALFSHAKE_BAD_ARGUMENT, c"bad_argument"),
        (Self::HALFSHAKE_BAD_SIZE, c"bad_size"),
        (Self::HALFSHAKE_BAD_CACHE, c"bad_cache"),
        (Self::HALFSHAKE_BAD_ID, c"bad_id"),
        (Self::HALFSHAKE_BAD_NAMESPACE, c"bad_namespace"),
        (Self::HALFSHAKE_BAD_SETTING, c"bad_setting"),
        (Self::HALFSHAKE_BAD_BYTES, c"bad_bytes"),
        (Self::HALFSHAKE_SHORT_BUFFER, c"short_buffer"),
        (Self::HALFSHAKE_PANIC, c"panic"),
        (Self::HALFSHAKE_NO_LIBRARY, c"no_library"),
        (Self::HALFSHAKE_LIBRARY_FAILED, c"library_failed"),
    ];
}

/// Anything but "done", with what to say about it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: Cow<'static, str>,
}

/// What an export's body answers.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn miss() -> Self {
        Self::new(Code::HALFSHAKE_MISS, "")
    }

    /// Of a setting.
    pub(crate) fn meaningless(setting: &str, value: u32) -> Self {
        let message = format!("{setting}: {value:#x} means nothing to this version of the library");
        Self::new(Code::HALFSHAKE_BAD_SETTING, message)
    }

    pub(crate) fn null(argument: &str) -> Self {
        let message = format!("{argument} is NULL: this function needs it");
        Self::new(Code::HALFSHAKE_BAD_ARGUMENT, message)
    }

    /// Leaves the message for this thread.
    fn tell(self) -> c_int {
        if self.code != Code::HALFSHAKE_MISS {
            say(&self.message);
        }
        self.code as c_int
    }
}

impl From<IdLength> for Failure {
    fn from(wrong: IdLength) -> Self {
        Self::new(Code::HALFSHAKE_BAD_ID, wrong.to_string())
    }
}

impl From<NamespaceLength> for Failure {
    fn from(wrong: NamespaceLength) -> Self {
        Self::new(Code::HALFSHAKE_BAD_NAMESPACE, wrong.to_string())
    }
}

impl From<Malformed> for Failure {
    fn from(wrong: Malformed) -> Self {
        let message = format!("{wrong}: only what halfshake_session_to_bytes made can be read");
        Self::new(Code::HALFSHAKE_BAD_BYTES, message)
    }
}

impl From<NotStored> for Failure {
    fn from(why: NotStored) -> Self {
        let code = match why {
            NotStored::Off => Code::HALFSHAKE_OFF,
            NotStored::NoInternalStore => Code::HALFSHAKE_NOT_INTERNAL,
            NotStored::Expired => Code::HALFSHAKE_EXPIRED,
            NotStored::Refused(Refusal::NoRoom) => Code::HALFSHAKE_NO_ROOM,
            NotStored::Refused(Refusal::Full) => Code::HALFSHAKE_FULL,
            NotStored::Refused(Refusal::TooLarge { .. }) => Code::HALFSHAKE_TOO_LARGE,
            NotStored::Refused(Refusal::Closed) => Code::HALFSHAKE_CLOSED,
            _ => Code::HALFSHAKE_REJECTED,
        };
        Self::new(code, why.to_string())
    }
}

thread_local! {
    /// With its NUL.
    static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn say(message: &str) {
    // A thread that is about to end has no messages any more.
    let _ended = MESSAGE.try_with(|last| {
        let mut last = last.borrow_mut();
        last.clear();
        // A NUL inside would hide the rest.
        last.extend(message.bytes().filter(|byte| *byte != 0));
        last.push(0);
    });
}

/// The message that this thread has; it stays where it is until the next one.
pub(crate) fn message() -> *const c_char {
    let said = |last: &RefCell<Vec<u8>>| {
        let last = last.borrow();
        if last.is_empty() { c"".as_ptr() } else { last.as_ptr().cast() }
    };
    MESSAGE.try_with(said).unwrap_or(c"".as_ptr())
}

/// Runs the body of an export: no panic leaves it.
pub(crate) fn guard(body: impl FnOnce() -> Outcome) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Code::HALFSHAKE_OK as c_int,
        Ok(Err(failure)) => failure.tell(),
        Err(payload) => {
            let message = format!("a bug in halfshake, please report it: {}", text(&*payload));
            discard(payload);
            Failure::new(Code::HALFSHAKE_PANIC, message).tell()
        }
    }
}

/// As `guard`, for an export that answers otherwise.
pub(crate) fn guard_or<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        discard(payload);
        otherwise
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// The end of a payload may panic, too; what that one carries is left alone.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> String {
        MESSAGE.with(|last| String::from_utf8(last.borrow().clone()).unwrap())
    }

    #[test]
    fn a_panic_becomes_a_code_and_a_message() {
        struct Mean;
        impl Drop for Mean {
            fn drop(&mut self) {
                panic!("and again");
            }
        }
        let code = Code::HALFSHAKE_PANIC as c_int;
        assert_eq!(guard(|| panic!("{}", "broken")), code);
        assert_eq!(said(), "a bug in halfshake, please report it: broken\0");
        assert_eq!(guard(|| std::panic::panic_any(Mean)), code);
        assert_eq!(said(), "a bug in halfshake, please report it: a panic without words\0");
        assert_eq!(guard_or(7, || panic!("broken")), 7);
        assert_eq!(guard_or(7, || std::panic::panic_any(Mean)), 7);
    }

    #[test]
    fn a_miss_leaves_the_message_alone() {
        assert_eq!(guard(|| Err(Failure::null("key"))), Code::HALFSHAKE_BAD_ARGUMENT as c_int);
        assert_eq!(guard(|| Err(Failure::miss())), Code::HALFSHAKE_MISS as c_int);
        assert_eq!(guard(|| Ok(())), 0);
        assert_eq!(said(), "key is NULL: this function needs it\0");
    }

    #[test]
    fn a_message_has_one_end() {
        let _code = guard(|| Err(Failure::new(Code::HALFSHAKE_CLOSED, "a\0b")));
        assert_eq!(said(), "ab\0");
    }

    #[test]
    fn every_code_has_its_own_name() {
        for (i, (code, name)) in Code::ALL.into_iter().enumerate() {
            let number = code as c_int;
            let expected = if number < 0 { 12 - number } else { number };
            assert_eq!(c_int::try_from(i), Ok(expected), "{name:?}");
            assert_eq!(Code::ALL.iter().filter(|(_, other)| *other == name).count(), 1);
        }
    }
}
