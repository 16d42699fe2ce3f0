//! What is set, and what the setting means.

use super::case::{Case, Group, NOT_MEASURED, all, subject};
use crate::sessions::{BEGIN, TLS12, namespace, rig_with};
use halfshake::session::Modes;
use std::time::Duration;

fn yes(is: bool) -> String {
    (if is { "yes" } else { "no" }).to_owned()
}

pub(crate) const SETTINGS: Group = Group {
    title: "Settings",
    cases: &[
        Case {
            claim: "The mode is SERVER by default",
            strict: "0x2",
            measured: all("0x2"),
            boringssl: "0x2",
            apart: "",
            observe: |compat| format!("{:#x}", subject(compat).cache.modes().bits()),
        },
        Case {
            claim: "Setting the modes replaces the whole set and gives the old one",
            strict: "0x2, then 0x100",
            measured: all("0x2, then 0x100"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                let old = rig.cache.set_modes(Modes::NO_INTERNAL_LOOKUP);
                format!("{:#x}, then {:#x}", old.bits(), rig.cache.modes().bits())
            },
        },
        Case {
            claim: "10 sessions, then size 4: how many are held before the next one is added",
            strict: "4",
            measured: all("10"),
            boringssl: NOT_MEASURED,
            apart: "a limit holds at every instant, here",
            observe: |compat| {
                let rig = subject(compat);
                (1..=10).for_each(|first| _ = rig.begin(first));
                rig.cache.set_capacity(4).expect("less than before");
                rig.cache.len().to_string()
            },
        },
        Case {
            claim: "Size 0: how many of 300 are held (here with room for 300)",
            strict: "refused",
            measured: all("300"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = rig_with(|builder| builder.compat(compat).max_capacity(600));
                if rig.cache.set_capacity(0).is_err() {
                    return "refused".to_owned();
                }
                for n in 0..300u16 {
                    let id = halfshake::session::SessionId::new(&n.to_be_bytes()).expect("short");
                    rig.cache.add(&rig.cache.make(&namespace(), id, TLS12, b"")).expect("room");
                }
                rig.cache.len().to_string()
            },
        },
        Case {
            claim: "Sessions held with size 1, 2, 3, 5 and 10",
            strict: "1 2 3 5 10",
            measured: ["1 2 3 5 10", "1 1 2 4 9", "1 2 3 5 10"],
            boringssl: "1 2 3 5 10",
            apart: "",
            observe: |compat| {
                let held = [1, 2, 3, 5, 10].map(|size| {
                    let rig = rig_with(|builder| builder.compat(compat).capacity(size));
                    (1..=20).for_each(|first| _ = rig.begin(first));
                    rig.cache.len().to_string()
                });
                held.join(" ")
            },
        },
        Case {
            claim: "The default timeout in seconds",
            strict: "7200",
            measured: all("7200"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let builder = halfshake::session::SessionCache::<u64>::builder();
                let cache = builder.capacity(1).compat(compat).build().expect("good settings");
                cache.timeout().as_secs().to_string()
            },
        },
        Case {
            claim: "Timeout 0: for how many seconds a new session is good",
            strict: "0",
            measured: all("7200"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let week = Duration::from_secs(7 * 24 * 3600);
                let rig = rig_with(|builder| builder.compat(compat).max_lifetime(week));
                rig.cache.set_timeout(Duration::ZERO);
                (rig.session(1).times().not_after() - BEGIN).as_secs().to_string()
            },
        },
        Case {
            claim: "A new timeout is that of future sessions alone",
            strict: "100 and 10",
            measured: all("100 and 10"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.begin(1);
                rig.cache.set_timeout(Duration::from_secs(10));
                rig.begin(2);
                let end = |first| {
                    let found = rig.cache.find(&namespace(), &[first; 32]).expect("just stored");
                    (found.times().not_after() - BEGIN).as_secs()
                };
                format!("{} and {}", end(1), end(2))
            },
        },
        Case {
            claim: "Ids of 32 and of 33 bytes are accepted",
            strict: "yes and no",
            measured: all("yes and no"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                let accepted = [32, 33].map(|len| {
                    let id = halfshake::session::SessionId::new(&vec![1; len]).expect("short");
                    yes(rig.cache.add(&rig.cache.make(&namespace(), id, TLS12, b"")).is_ok())
                });
                accepted.join(" and ")
            },
        },
        Case {
            claim: "A session may have an id of no bytes",
            strict: "no",
            measured: all("yes"),
            boringssl: NOT_MEASURED,
            apart: "nothing could ever remove it but a flush, and evictions stop at it",
            observe: |_| yes(halfshake::session::SessionId::new(&[]).is_ok()),
        },
    ],
};
