//! Whose file it is: another user could change what he owns, whatever its mode says.

use rustix::process::{Uid, geteuid};

/// Whether nobody but this user and root owns it.
pub(super) fn is_trusted(owner: u32) -> bool {
    is_of(owner, geteuid())
}

fn is_of(owner: u32, user: Uid) -> bool {
    owner == user.as_raw() || owner == Uid::ROOT.as_raw()
}

#[cfg(test)]
mod tests {
    use rustix::process::Uid;

    use super::is_of;

    #[test]
    fn the_user_and_root_are_trusted_and_nobody_else() {
        let user = Uid::from_raw(1000);
        assert!(is_of(1000, user) && is_of(0, user) && is_of(0, Uid::ROOT));
        assert!(!is_of(1001, user) && !is_of(1000, Uid::ROOT));
    }
}
