//! Address space that ends.
#![expect(unsafe_code, reason = "limits of a process")]

/// Not under the address sanitizer, which takes address space of its own, and ends where it finds
/// none. (`ci/asan` sets the cfg.)
pub(crate) const ENDS: bool = !cfg!(crossbeam_sanitize);

/// Lets this process have so much more address space than it has; `None`: as much as it may.
pub(crate) fn limit(more: Option<u64>) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    // SAFETY: it asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = u64::try_from(page).expect("some thousand bytes");
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes the structure.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) }, 0);
    limit.rlim_cur = more.map_or(limit.rlim_max, |more| pages * page + more);
    // SAFETY: it reads the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}
