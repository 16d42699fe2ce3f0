//! What this process knows of the files, beside what the disk says: changed under one lock, and
//! together with the files.

use std::collections::HashMap;

use crate::external::name::Name;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Known {
    files: u64,
    /// Files that are about to get a name, each by a number of its own.
    coming: HashMap<Name, Vec<u64>>,
    next: u64,
    /// While they are counted: what this process has changed, and whether it is there.
    changed: Option<HashMap<u64, bool>>,
}

impl Known {
    /// As exact as the last count, for others may delete files, or write some.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// A file has got a name, which was free or that of another one.
    pub(super) fn came(&mut self, name: &Name, was_free: bool) {
        self.files += u64::from(was_free);
        self.note(name, true);
    }

    /// A file has lost its name.
    pub(super) fn left(&mut self, name: &Name) {
        self.files = self.files.saturating_sub(1);
        self.note(name, false);
    }

    fn note(&mut self, name: &Name, is_there: bool) {
        if let Some(changed) = &mut self.changed {
            changed.insert(name.number(), is_there);
        }
    }

    /// They are listed from now on.
    pub(super) fn begin_count(&mut self) {
        self.changed = Some(HashMap::new());
    }

    /// All have been listed, or that has failed. A list that is made while files come and go may
    /// have some of those or not: of them this process knows better.
    pub(super) fn end_count(&mut self, listed: Option<&Listed>) {
        let changed = self.changed.take().unwrap_or_default();
        let Some(listed) = listed else { return };
        let doubtful = changed.keys().filter(|name| listed.has(**name)).count();
        let there = changed.values().filter(|is_there| **is_there).count();
        self.files = (listed.0.len() - doubtful + there) as u64;
    }

    /// A file is about to get that name: the number of the announcement.
    pub(super) fn announce(&mut self, name: &Name) -> u64 {
        self.next += 1;
        self.coming.entry(name.clone()).or_default().push(self.next);
        self.next
    }

    /// Whether it may still come.
    pub(super) fn is_expected(&self, name: &Name, number: u64) -> bool {
        self.coming.get(name).is_some_and(|coming| coming.contains(&number))
    }

    /// It has come, or won't.
    pub(super) fn withdraw(&mut self, name: &Name, number: u64) {
        let Some(coming) = self.coming.get_mut(name) else { return };
        coming.retain(|other| *other != number);
        if coming.is_empty() {
            self.coming.remove(name);
        }
    }

    /// What is about to get that name must not get it any more.
    pub(super) fn forestall(&mut self, name: &Name) {
        self.coming.remove(name);
    }
}

/// The names that a list has, as numbers: there may be very many.
#[derive(Debug)]
pub(super) struct Listed(Vec<u64>);

impl Listed {
    pub(super) fn new(mut names: Vec<u64>) -> Self {
        names.sort_unstable();
        // Some file systems list a file twice that is replaced meanwhile.
        names.dedup();
        Self(names)
    }

    fn has(&self, name: u64) -> bool {
        self.0.binary_search(&name).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Listed};
    use crate::external::name::Name;

    fn name(of: u64) -> Name {
        Name::of(b"namespace", &of.to_be_bytes())
    }

    #[test]
    fn what_comes_and_goes_while_files_are_counted_is_counted_once() {
        let [kept, new, taken, replaced, again] = [1, 2, 3, 4, 5].map(name);
        let others = name(6);
        // Whichever of them the list happens to have.
        for seen in 0..16_u32 {
            let mut known = Known::default();
            for before in [&kept, &taken, &replaced, &again] {
                known.came(before, true);
            }
            known.begin_count();
            known.came(&new, true);
            known.left(&taken);
            known.came(&replaced, false);
            known.left(&again);
            known.came(&again, true);
            let mut listed = vec![kept.number(), others.number()];
            for (bit, name) in [&new, &taken, &replaced, &again].into_iter().enumerate() {
                listed.extend((seen >> bit & 1 == 1).then(|| name.number()));
            }
            known.end_count(Some(&Listed::new(listed)));
            assert_eq!(known.files(), 5, "seen: {seen:04b}");
            known.came(&taken, true);
            assert_eq!(known.files(), 6);
        }
    }

    #[test]
    fn what_is_announced_is_expected_until_somebody_forestalls_it() {
        let (mut known, name) = (Known::default(), name(1));
        let [first, second] = [known.announce(&name), known.announce(&name)];
        known.withdraw(&name, first);
        assert!(!known.is_expected(&name, first) && known.is_expected(&name, second));
        known.forestall(&name);
        let third = known.announce(&name);
        assert!(!known.is_expected(&name, second), "it came before");
        assert!(known.is_expected(&name, third), "it came later");
        known.withdraw(&name, third);
        assert!(known.coming.is_empty());
    }
}
