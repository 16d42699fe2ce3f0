//! Class 20: the allocator fails at the n-th allocation, for every n. What cannot be had is an
//! error where the contract says so (the table, and memory ahead); elsewhere the process ends as
//! Rust programs do, by an abort that says why: never by anything else, and no operation goes on
//! half-done.
//!
//! Not under the harness: each n is tried in a child, and the parent has no other thread.
#![expect(unsafe_code, reason = "fork, and an allocator that fails")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

mod space;
mod tried;

use halfshake::session::{Answer, Namespace, SessionCache, SessionId, Side};
use halfshake::{BadSetting, BytesCache, Cache, Maintenance, ManualClock, RemovalCause};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read as _;
use std::os::fd::FromRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tried::tried;

/// Counts allocations, and fails the one that it is told to.
struct Failing;

static CALLS: AtomicU64 = AtomicU64::new(0);
/// 0: none.
static FAILS_AT: AtomicU64 = AtomicU64::new(0);

fn fails() -> bool {
    let call = CALLS.fetch_add(1, Relaxed) + 1;
    call == FAILS_AT.load(Relaxed)
}

// SAFETY: the system's allocator, or null, which is a failure.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; it came from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Whether building failed for want of memory: the only error that there may be.
fn is_for_memory(settings: &[BadSetting]) -> bool {
    matches!(settings, [BadSetting::Memory { .. }])
}

fn use_pairs() {
    let builder = Cache::<u64, Vec<u8>>::builder().capacity(20).maintenance(Maintenance::Embedder);
    let cache = match builder.removal_listener(|gone| assert!(gone.value().len() < 100)).build() {
        Ok(cache) => cache,
        Err(error) => return assert!(is_for_memory(error.settings()), "{error}"),
    };
    for n in 0..60 {
        cache.insert(n % 30, vec![7; 50]).expect("there is room");
    }
    cache.insert_many((0..10).map(|n| (n, vec![1]))).into_iter().for_each(|done| {
        done.expect("there is room");
    });
    assert!(cache.get(&5).is_some() && cache.get_many(&[&5, &6]).iter().count() == 2);
    assert!(cache.reader().get(&5).is_some());
    assert!(cache.take(&5).is_some() && cache.remove(&6) && !cache.remove(&6));
    cache.get_or_insert_with(40, || vec![9; 9]);
    cache.set_removal_listener(Some(|_: &halfshake::Removal<'_, u64, Vec<u8>>| ()));
    cache.set_capacity(10).expect("it is allowed");
    cache.run_maintenance(usize::MAX);
    cache.validate();
    cache.clear();
    cache.shutdown();
    assert!(cache.is_empty());
}

fn use_bytes() {
    let clock = ManualClock::new();
    let builder = BytesCache::builder().capacity(20_000).clock(clock.clone());
    let cache = match builder.maintenance(Maintenance::Embedder).build() {
        Ok(cache) => cache,
        Err(error) => return assert!(is_for_memory(error.settings()), "{error}"),
    };
    for n in 0..300u64 {
        let timeout = Duration::from_millis(1 + n % 3);
        cache.insert_with_timeout(&n.to_le_bytes(), &[7; 100], timeout).expect("there is room");
    }
    cache.insert(b"large", &[7; 9_000]).expect("there is room");
    clock.advance(Duration::from_millis(2));
    assert!(cache.run_maintenance(usize::MAX).expired > 100);
    assert!(cache.take_copied(&b"large"[..]).is_some());
    cache.retain(|_, value| value.len() > 1_000);
    assert_eq!(cache.len(), 0);
    cache.validate();
}

fn use_sessions() {
    let name = Namespace::new(b"www").expect("short");
    let of = name.clone();
    let built = SessionCache::<u64>::builder()
        .capacity(20)
        .maintenance(Maintenance::Embedder)
        .get_callback(move |_, asked| {
            let id = SessionId::new(asked.id()).expect("it was asked for");
            Answer::handed_over(asked.cache().make(&of, id, 0x0303, b"outside"))
        })
        .remove_callback(|gone| assert!(gone.cause() != RemovalCause::Faulty))
        .build();
    let cache = match built {
        Ok(cache) => cache,
        Err(error) => return assert!(is_for_memory(error.settings()), "{error}"),
    };
    for n in 0..40u8 {
        let session = cache.make(&name, SessionId::new(&[n; 32]).expect("32"), 0x0303, &[n; 80]);
        cache.new_session(&1, Side::Server, &session);
        assert!(cache.resume(&1, &name, &[n; 32]).is_some());
    }
    assert!(cache.resume(&1, &name, &[99; 32]).is_some_and(|found| found.is_external()));
    assert!(cache.take(&1, &name, &[39; 32]).is_some());
    assert_eq!(cache.sessions().count() as u64, cache.len());
    cache.flush_all();
    cache.validate();
}

const USES: [(&str, fn()); 3] =
    [("pairs", use_pairs), ("bytes", use_bytes), ("sessions", use_sessions)];

/// How a child has ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All was done, or an error said that there was no memory.
    Well,
    /// Aborted, and said that memory was what it lacked.
    NoMemory,
    Badly(String),
}

/// A child that does it, with an allocator that fails at its `at`-th call (0: never); and how many
/// calls there were.
fn child(part: impl FnOnce(), at: u64) -> (End, u64) {
    let mut pipe = [0; 2];
    // SAFETY: there is room for two.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it ends a child that hangs.
        unsafe { libc::alarm(60) };
        // SAFETY: both are open. What the child says in its end goes to the parent.
        unsafe { libc::dup2(pipe[1], 2) };
        CALLS.store(0, Relaxed);
        FAILS_AT.store(at, Relaxed);
        part();
        FAILS_AT.store(0, Relaxed);
        eprintln!("calls {}", CALLS.load(Relaxed));
        // SAFETY: always.
        unsafe { libc::_exit(0) }
    }
    assert!(child > 0, "no process");
    // SAFETY: the child has an end of its own.
    unsafe { libc::close(pipe[1]) };
    // SAFETY: it is open, and nobody else's.
    let mut errors = unsafe { std::fs::File::from_raw_fd(pipe[0]) };
    let mut said = String::new();
    errors.read_to_string(&mut said).expect("text");
    let mut status = 0;
    // SAFETY: `status` is written to.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    let calls = said.lines().find_map(|line| line.strip_prefix("calls ")?.parse().ok());
    let aborted = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT;
    let end = if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        End::Well
    } else if aborted && said.contains("memory allocation of") {
        End::NoMemory
    } else {
        End::Badly(format!("status {status}: {said}"))
    };
    (end, calls.unwrap_or(0))
}

/// A child that may have so much more address space than it has, and no more.
fn poor_child(more: u64, part: impl FnOnce()) -> End {
    let bounded = || {
        space::limit(Some(more));
        part();
    };
    child(bounded, 0).0
}

fn every_allocation_that_fails_is_an_error_or_a_clean_abort() {
    let (mut tried_so_far, mut errors, mut aborts) = (0, 0, 0);
    for (name, part) in USES {
        let (end, calls) = child(part, 0);
        assert_eq!(end, End::Well, "{name}");
        assert!(calls > 20, "{name}: {calls} allocations");
        for at in 1..=calls {
            match child(part, at).0 {
                End::Well => errors += 1,
                End::NoMemory => aborts += 1,
                End::Badly(how) => panic!("{name}, allocation {at} of {calls}: {how}"),
            }
            tried_so_far += 1;
        }
    }
    tried(
        "20",
        "the allocator fails at the n-th allocation",
        &format!("every n: {tried_so_far} children, of which {aborts} aborted, {errors} did not"),
        "they go on, have an error, or abort with Rust's message",
    );
}

fn address_space_that_ends_is_an_error_when_building_and_no_harm_afterwards() {
    // The table itself cannot be had.
    let end = poor_child(32 << 20, || {
        let error = BytesCache::builder().capacity(10_000_000).build().expect_err("no memory");
        assert!(is_for_memory(error.settings()), "{error}");
        // What is smaller is built all the same, and used.
        use_pairs();
    });
    assert_eq!(end, End::Well, "a table that cannot be had is an error");
    // It can, but not the chunks of entries that come later.
    let end = poor_child(48 << 20, || {
        let builder = BytesCache::builder().capacity(400_000).maintenance(Maintenance::Embedder);
        let cache = builder.build().expect("32 MiB will do");
        for n in 0..400_000u64 {
            cache.insert(&n.to_le_bytes(), &[7; 200]).expect("there is room");
        }
        cache.validate();
    });
    assert_eq!(end, End::NoMemory, "80 MB do not fit");
    tried(
        "20",
        "address space ends (RLIMIT_AS)",
        "while building, and while inserting",
        "a `ConfigError` with the bytes; Rust's abort",
    );
}

fn main() {
    // Hundreds abort, and where is not the question: a backtrace takes longer than all the rest.
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("RUST_BACKTRACE", "0") };
    every_allocation_that_fails_is_an_error_or_a_clean_abort();
    if space::ENDS {
        address_space_that_ends_is_an_error_when_building_and_no_harm_afterwards();
    }
    println!("faults_allocation: ok");
}
