//! The file of the keys that sessions are sealed with.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use halfshake::session::{KeyRing, SealKey};
use ring::digest::{Context, SHA256};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::owner;
use crate::setup_error::SetupError;

const SECRET_LEN: usize = 32;
/// More than anybody has keys.
const MOST_BYTES: u64 = 1 << 20;

/// Whoever is not the owner.
const OTHERS: u32 = 0o077;

/// One key a line, the newest first: it seals, and all of them open. A key that is in the ring
/// before, too, goes on counting what it has sealed.
pub(super) fn read(path: &Path, before: Option<&KeyRing>) -> Result<KeyRing, SetupError> {
    let unreadable = |source| SetupError::SealKeyUnreadable { path: path.into(), source };
    // A pipe would be waited for.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let mut file = opened.map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    if !owner::is_trusted(metadata.uid()) {
        return Err(SetupError::SealKeyOwner { path: path.into() });
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(SetupError::SealKeyOpen { path: path.into() });
    }
    let text = read_text(&mut file, metadata.len()).map_err(unreadable)?;
    parse(&text, before).map_err(|(line, reason)| SetupError::SealKey {
        path: path.into(),
        line,
        reason,
    })
}

fn read_text(file: &mut File, length: u64) -> io::Result<Zeroizing<String>> {
    // Allocated once: a string that grows leaves unwiped copies behind.
    let length = usize::try_from(length.min(MOST_BYTES)).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(length + 1));
    file.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The line that is wrong, counted from 1, and how.
fn parse(text: &str, before: Option<&KeyRing>) -> Result<KeyRing, (usize, &'static str)> {
    let mut keys = Vec::new();
    let mut last = 1;
    for (number, line) in (1..).zip(text.lines()) {
        last = number;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let secret = secret(line).ok_or((number, "a key has 64 hexadecimal digits"))?;
        let key = SealKey::new(number_of(&secret), &secret);
        let key = match before {
            Some(before) => key.counting_on(before),
            None => key,
        };
        keys.push((number, key));
    }
    let most = keys.len();
    let mut oldest_first = keys.into_iter().rev();
    let (_, oldest) = oldest_first.next().ok_or((last, "there is no key"))?;
    let ring = KeyRing::new(oldest, most);
    for (number, key) in oldest_first {
        ring.rotate(key).map_err(|_| (number, "this key stands there twice"))?;
    }
    Ok(ring)
}

fn secret(line: &str) -> Option<Zeroizing<[u8; SECRET_LEN]>> {
    let mut secret = Zeroizing::new([0; SECRET_LEN]);
    let digits = line.as_bytes();
    (digits.len() == 2 * SECRET_LEN).then_some(())?;
    HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *secret).ok()?;
    Some(secret)
}

/// What a key is found by. Made of the key itself, so that its place in the file does not matter;
/// four bytes of a digest tell nothing of 32 random ones.
fn number_of(secret: &[u8; SECRET_LEN]) -> u32 {
    let mut digest = Context::new(&SHA256);
    digest.update(b"halfshake: number of a seal key");
    digest.update(secret);
    let digest = digest.finish();
    u32::from_be_bytes(*digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::{parse, read};
    use crate::setup_error::SetupError;

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (new, old) = ("a5".repeat(32), "5A".repeat(32));
        let both = parse(&format!("# newest first\n{new}\n\n  {old}\n"), None).expect("two keys");
        let alone = |key: &str| parse(key, None).expect("a key").numbers()[0];
        assert_eq!(both.numbers(), [alone(&new), alone(&old)]);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let key = "a5".repeat(32);
        for (text, line, reason) in [
            (String::new(), 1, "no key"),
            ("# nothing\n#\n".into(), 2, "no key"),
            (format!("{key}\n{}", &key[1..]), 2, "64"),
            (format!("{key}00"), 1, "64"),
            (format!("{key}\n\n{}g", &key[1..]), 3, "64"),
            (format!("{key}\n{}", key.to_uppercase()), 1, "twice"),
        ] {
            let (at, why) = parse(&text, None).map(|_| ()).expect_err("a mistake");
            assert!(at == line && why.contains(reason), "{text:?}: {at}, {why}");
        }
    }

    #[test]
    fn a_pipe_is_no_file_of_keys_and_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("keys");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        let error = read(&pipe, None).expect_err("nobody writes into it");
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let error = read(folder.path(), None).expect_err("a folder");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            // Nobody else can give a file away: `owner.rs` tests the rule.
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("keys");
        fs::write(&file, "a5".repeat(32)).expect("it is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        read(&file, None).expect("a key of ours");
        chown(&file, Some(1), None).expect("root may");
        let error = read(&file, None).expect_err("another user's");
        assert!(matches!(error, SetupError::SealKeyOwner { .. }), "{error}");
    }
}
