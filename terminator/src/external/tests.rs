use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use halfshake::session::{Modes, Namespace, Session, SessionCache, SessionId, Side};
use tempfile::{TempDir, tempdir};

use super::name::Name;
use super::{External, ExternalSettings};

const KEY: &str = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";
const OTHER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const TLS13: u16 = 0x0304;

/// A directory of sessions with its keys.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { folder: tempdir().expect("a temporary folder") };
        disk.set_keys(KEY);
        disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set_keys(&self, keys: &str) {
        fs::write(self.path("keys"), keys).expect("it is written");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.path("keys"), private).expect("it is ours");
    }

    fn open(&self) -> Arc<External> {
        let (directory, seal_key) = (self.path("sessions"), self.path("keys"));
        let settings = ExternalSettings { directory, seal_key, most_files: 100, shared: false };
        External::open(settings).expect("a directory")
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("sessions")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

fn namespace() -> Namespace {
    Namespace::new(b"www").expect("a namespace")
}

fn cache_of(external: &Arc<External>) -> SessionCache<()> {
    let builder = SessionCache::builder().capacity(100).timeout(Duration::from_secs(1000));
    external.attach(builder).build().expect("good settings")
}

fn begin(cache: &SessionCache<()>, id: u8) -> Session {
    let id = SessionId::new(&[id; 32]).expect("an id");
    let session = cache.make(&namespace(), id, TLS13, b"secret");
    cache.new_session(&(), Side::Server, &session);
    session
}

fn takes(cache: &SessionCache<()>, id: u8) -> bool {
    cache.take(&(), &namespace(), &[id; 32]).is_some()
}

#[test]
fn a_session_that_leaves_before_its_file_is_written_has_none() {
    let disk = Disk::new();
    let external = disk.open();
    let cache = cache_of(&external);
    let keeper = Arc::clone(&external);
    cache.set_new_callback(move |&(), new| {
        let id = new.session().id();
        assert!(new.cache().remove(&namespace(), id.as_bytes()), "it can be found");
        keeper.keep(new)
    });
    begin(&cache, 1);
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
    assert!(!takes(&cache, 1), "it is back");
}

#[test]
fn a_session_that_is_taken_while_its_file_is_written_is_taken_once() {
    let disk = Disk::new();
    let external = disk.open();
    let cache = cache_of(&external);
    for round in 0..=255 {
        std::thread::scope(|scope| {
            let new = scope.spawn(|| begin(&cache, round));
            while !takes(&cache, round) && !new.is_finished() {
                std::hint::spin_loop();
            }
        });
        // If it was not taken meanwhile, it is now.
        takes(&cache, round);
        assert!(!takes(&cache, round), "round {round}: a second time");
        assert_eq!(disk.files(), Vec::<PathBuf>::new(), "round {round}");
    }
}

#[test]
fn what_leaves_the_memory_alone_keeps_its_file() {
    let disk = Disk::new();
    let external = disk.open();
    let cache = cache_of(&external);
    begin(&cache, 1);
    begin(&cache, 1);
    assert_eq!(disk.files().len(), 1, "replaced");
    cache.set_capacity(1).expect("a capacity");
    begin(&cache, 2);
    begin(&cache, 3);
    assert_eq!(disk.files().len(), 3, "evicted");
    assert!((1..=3).all(|id| takes(&cache, id)));
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
}

#[test]
fn what_a_newer_session_replaces_is_not_written_over_it() {
    let disk = Disk::new();
    let external = disk.open();
    let cache = cache_of(&external);
    let older = begin(&cache, 1);
    // A new callback that is slow.
    let coming = external.directory.announce(Name::of(b"www", older.id().as_bytes()));
    begin(&cache, 1);
    let newer = disk.files().pop().map(fs::read).expect("it is there").expect("it is read");
    assert!(!external.write(&coming, &older));
    let left = disk.files().pop().map(fs::read).expect("it is there").expect("it is read");
    assert!(left == newer, "another one");
}

#[test]
fn what_is_not_stored_in_memory_is_written_all_the_same() {
    let disk = Disk::new();
    let external = disk.open();
    let cache = cache_of(&external);
    cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL);
    begin(&cache, 1);
    assert_eq!(disk.files().len(), 1);
    assert!(takes(&cache, 1) && !takes(&cache, 1));
}

#[test]
fn a_take_without_the_key_leaves_the_file_for_the_key_that_comes_back() {
    let disk = Disk::new();
    let external = disk.open();
    begin(&cache_of(&external), 1);
    let file = disk.files().pop().expect("it is written");
    let time = || fs::metadata(&file).and_then(|file| file.modified()).expect("it is there");
    let before = time();
    disk.set_keys(OTHER_KEY);
    external.reload_keys().expect("a key");
    let cache = cache_of(&external);
    assert!(!takes(&cache, 1) && !takes(&cache, 1), "nobody can open it");
    assert_eq!(time(), before);
    assert_eq!((external.files(), external.counters().deleted.get()), (1, 0));
    disk.set_keys(&format!("{OTHER_KEY}\n{KEY}"));
    external.reload_keys().expect("two keys");
    assert!(takes(&cache, 1), "the key is back");
    assert!(!takes(&cache, 1), "once");
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
}

#[test]
fn keys_that_are_read_again_go_on_counting() {
    let disk = Disk::new();
    let external = disk.open();
    let cache = cache_of(&external);
    (0..3).for_each(|id| drop(begin(&cache, id)));
    let sealed = || {
        let keys = external.keys.load();
        let of = |number: &u32| keys.sealed(*number).expect("it is there");
        keys.numbers().iter().map(of).collect::<Vec<u64>>()
    };
    assert_eq!(sealed(), [3]);
    for (keys, counted) in [
        (format!("{OTHER_KEY}\n{KEY}"), vec![0, 3]),
        (format!("{KEY}\n{OTHER_KEY}"), vec![3, 0]),
        (KEY.to_owned(), vec![3]),
    ] {
        disk.set_keys(&keys);
        external.reload_keys().expect("good keys");
        assert_eq!(sealed(), counted);
    }
}
