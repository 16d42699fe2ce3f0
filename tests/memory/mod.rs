//! The process's own memory, and whether a secret lies in it.
#![cfg(target_os = "linux")]

use std::io::{BufRead, Read, Seek, SeekFrom};
use zeroize::{Zeroize, Zeroizing};

pub(crate) const LEN: usize = 48;
/// A larger mapping is address space that is only reserved, such as a sanitizer's shadow.
const MOST_MAPPED: u64 = 1 << 32;

/// Byte `i` of secret number `which`: computed, so that it lies nowhere.
fn byte(which: u64, i: usize) -> u8 {
    let mixed = (which * 1_000 + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_le_bytes()[7]
}

/// Lends a secret, in one place that is wiped afterwards: a value that is moved leaves copies.
pub(crate) fn with<T>(which: u64, use_it: impl FnOnce(&[u8]) -> T) -> T {
    let mut secret = vec![0; LEN];
    secret.iter_mut().enumerate().for_each(|(i, b)| *b = byte(which, i));
    let used = use_it(&secret);
    secret.zeroize();
    used
}

fn copies_in(mut rest: &[u8], which: u64) -> usize {
    let mut found = 0;
    while !rest.is_empty() {
        // To behind the next byte that may be the first; the standard library is quick at it.
        rest.skip_until(byte(which, 0)).unwrap();
        let goes_on = |(i, b): (usize, &u8)| *b == byte(which, i + 1);
        let is_whole = rest.len() >= LEN - 1;
        found += usize::from(is_whole && rest[..LEN - 1].iter().enumerate().all(goes_on));
    }
    found
}

/// How many copies of a secret there are in the process's writable memory.
pub(crate) fn copies(which: u64) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut piece = Zeroizing::new(vec![0; 1 << 20]);
    let own = piece.as_ptr().addr() as u64..piece.as_ptr().addr() as u64 + piece.len() as u64;
    let mut found = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") || rest.ends_with("[vvar]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let mut at = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        if end - at > MOST_MAPPED {
            continue;
        }
        while at < end {
            // Not what was read just before.
            if own.contains(&at) {
                at = own.end;
                continue;
            }
            let next_stop = if at < own.start { end.min(own.start) } else { end };
            let len = usize::try_from(next_stop - at).unwrap().min(piece.len());
            memory.seek(SeekFrom::Start(at)).unwrap();
            let Ok(read) = memory.read(&mut piece[..len]) else { break };
            found += copies_in(&piece[..read], which);
            // A secret may lie across two pieces: the next one begins before the end of this.
            let advance =
                if read == len && at + (len as u64) < next_stop { len - LEN } else { len };
            at += advance as u64;
        }
    }
    found
}
