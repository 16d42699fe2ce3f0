//! A client proposes a session; modes; callbacks within callbacks.

use super::case::{Case, Group, NOT_MEASURED, all, calls, resumption, subject};
use crate::sessions::{BEGIN, Rig, TLS12, id, namespace, rig_with};
use halfshake::session::{Answer, Compat, Modes, Namespace};
use std::time::Duration;

fn seconds_moved(rig: &Rig, by: impl Fn(&Rig)) -> String {
    rig.cache.add(&rig.session(1)).expect("room");
    rig.advance(50);
    by(rig);
    let found = rig.cache.find(&namespace(), &[1; 32]).expect("good for 100 s");
    let end = found.times().not_after() - BEGIN;
    format!("{} s", end.as_secs() - 100)
}

pub(crate) const PROPOSED: Group = Group {
    title: "A client proposes a session",
    cases: &[
        Case {
            claim: "It is inside",
            strict: "resumed, no call, holds 1, counts hits",
            measured: all("resumed, no call, holds 1, counts hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.begin(1);
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "It is nowhere",
            strict: "full, G, holds 0, counts misses",
            measured: all("full, G, holds 0, counts misses"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| resumption(&subject(compat), 1),
        },
        Case {
            claim: "It is outside",
            strict: "resumed, G, holds 1, counts hits misses cb_hits",
            measured: all("resumed, G, holds 1, counts hits misses cb_hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "It has expired inside, and a fresh one is outside",
            strict: "resumed, GR, holds 1, counts hits cb_hits timeouts",
            measured: all("full, R, holds 0, counts timeouts"),
            boringssl: "full, R, holds 0, counts timeouts",
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.begin(1);
                rig.advance(101);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "It has expired outside",
            strict: "full, G, holds 0, counts misses cb_hits timeouts",
            measured: all("full, GR, holds 0, counts misses cb_hits timeouts"),
            boringssl: "full, GR, holds 0, counts misses cb_hits timeouts",
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -50, -10)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "It has expired outside, with UPDATE_TIME",
            strict: "full, G, holds 0, counts misses cb_hits timeouts",
            measured: [
                NOT_MEASURED,
                "resumed, G, holds 1, counts hits misses cb_hits",
                NOT_MEASURED,
            ],
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, -50, -10)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "What is outside has another id",
            strict: "full, G, holds 0, counts misses cb_hits",
            measured: all("resumed, and the client gives up"),
            boringssl: NOT_MEASURED,
            apart: "a session of another id is never used; it is stored under its own, as in 3.6.3",
            observe: |compat| {
                let rig = subject(compat);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session(2)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "It is of another context (here: namespace)",
            strict: "full, G, holds 1, counts misses",
            measured: all("full, no call, holds 1, counts nothing"),
            boringssl: NOT_MEASURED,
            apart: "the namespace is part of the key: what is in another one is not there",
            observe: |compat| {
                let rig = subject(compat);
                let other = Namespace::new(b"other").expect("short");
                let session = rig.cache.make(&other, id(1), TLS12, b"");
                rig.cache.add(&session).expect("room");
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "What is outside was made 500 s in the future",
            strict: "full, G, holds 0, counts misses cb_hits",
            measured: [
                "resumed, G, holds 1, counts hits misses cb_hits",
                "resumed, G, holds 1, counts hits misses cb_hits",
                "resumed, G, holds 1, counts hits misses cb_hits",
            ],
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session_from_to(1, 500, 600)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "Its age is its timeout less one second",
            strict: "resumed",
            measured: all("resumed"),
            boringssl: "resumed",
            apart: "",
            observe: |compat| aged(compat, 99),
        },
        Case {
            claim: "Its age is its timeout",
            strict: "full",
            measured: all("resumed"),
            boringssl: "full",
            apart: "",
            observe: |compat| aged(compat, 100),
        },
        Case {
            claim: "Its age is its timeout and one second",
            strict: "full",
            measured: all("full"),
            boringssl: "full",
            apart: "",
            observe: |compat| aged(compat, 101),
        },
        Case {
            claim: "By how much a hit after 50 s moves its end, with UPDATE_TIME",
            strict: "50 s",
            measured: [NOT_MEASURED, "0 s", NOT_MEASURED],
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
                seconds_moved(&rig, |rig| _ = rig.resume(1))
            },
        },
        Case {
            claim: "By how much adding it again after 50 s moves its end, with UPDATE_TIME",
            strict: "0 s",
            measured: [NOT_MEASURED, "50 s", NOT_MEASURED],
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME);
                let old = rig.session(1);
                seconds_moved(&rig, move |rig| rig.cache.add(&old).expect("room"))
            },
        },
        Case {
            claim: "The second time that it is proposed it is inside",
            strict: "resumed, no call, holds 1, counts hits",
            measured: all("resumed, no call, holds 1, counts hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
                rig.resume(1);
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "It was negotiated for TLS 1.1, and the client proposes TLS 1.2",
            strict: "resumed",
            measured: all("full"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                let session = rig.cache.make(&namespace(), id(1), 0x0302, &[1; 100]);
                rig.cache.add(&session).expect("room");
                found(rig.resume(1).is_some())
            },
        },
    ],
};

fn found(is: bool) -> String {
    (if is { "resumed" } else { "full" }).to_owned()
}

fn aged(compat: Compat, seconds: u64) -> String {
    let rig = subject(compat);
    rig.begin(1);
    rig.advance(seconds);
    found(rig.resume(1).is_some())
}

/// A cache that holds session 1, with these modes set afterwards.
fn holding(compat: Compat, modes: Modes) -> Rig {
    let rig = subject(compat);
    rig.begin(1);
    rig.cache.set_modes(modes);
    rig
}

pub(crate) const MODES: Group = Group {
    title: "Modes at a look-up",
    cases: &[
        Case {
            claim: "OFF: what was stored before",
            strict: "full, G, holds 1, counts nothing",
            measured: all("resumed, no call, holds 1, counts hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| resumption(&holding(compat, Modes::OFF), 1),
        },
        Case {
            claim: "OFF: what is nowhere",
            strict: "full, G, holds 1, counts nothing",
            measured: all("full, G, holds 1, counts misses"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| resumption(&holding(compat, Modes::OFF), 2),
        },
        Case {
            claim: "OFF: what is outside",
            strict: "resumed, G, holds 1, counts hits cb_hits",
            measured: all("resumed, G, holds 2, counts hits misses cb_hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = holding(compat, Modes::OFF);
                rig.world.keeps_outside(2, Answer::handed_over(rig.session(2)));
                resumption(&rig, 2)
            },
        },
        Case {
            claim: "NO_INTERNAL_LOOKUP: what was stored",
            strict: "full, G, holds 1, counts nothing",
            measured: all("full, G, holds 1, counts nothing"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_LOOKUP);
                rig.begin(1);
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "NO_INTERNAL: what is outside",
            strict: "resumed, G, holds 0, counts hits cb_hits",
            measured: all("resumed, G, holds 0, counts hits cb_hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "NO_INTERNAL_STORE: what is outside",
            strict: "resumed, G, holds 0, counts hits misses cb_hits",
            measured: all("resumed, G, holds 0, counts hits misses cb_hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
                rig.world.keeps_outside(1, Answer::handed_over(rig.session(1)));
                resumption(&rig, 1)
            },
        },
        Case {
            claim: "NO_INTERNAL_STORE: what was added by hand",
            strict: "resumed, no call, holds 1, counts hits",
            measured: all("resumed, no call, holds 1, counts hits"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let rig = subject(compat);
                rig.cache.set_modes(Modes::SERVER | Modes::NO_INTERNAL_STORE);
                rig.cache.add(&rig.session(1)).expect("room");
                resumption(&rig, 1)
            },
        },
    ],
};

type Operation = fn(&crate::sessions::Cache);

/// Whether, while `act` calls the remove callback, that may call `operation`, and it does its work.
fn nested(compat: Compat, act: fn(&Rig), operation: Operation, works: fn(&Rig) -> bool) -> String {
    let size = if compat.contains(Compat::CAPACITY_HOLDS_ONE_LESS) { 4 } else { 3 };
    let rig = rig_with(|builder| builder.compat(compat).capacity(size));
    (1..=3).for_each(|first| rig.cache.add(&rig.session(first)).expect("room"));
    rig.cache.set_remove_callback(move |gone| operation(gone.cache()));
    act(&rig);
    rig.cache.clear_remove_callback();
    (if works(&rig) { "works" } else { "does nothing" }).to_owned()
}

const FLUSH: Operation = |cache| _ = cache.flush_all();

pub(crate) const WITHIN: Group = Group {
    title: "Within the remove callback",
    cases: &[
        Case {
            claim: "A flush within an eviction",
            strict: "works",
            measured: ["deadlock", "does nothing", "deadlock"],
            boringssl: NOT_MEASURED,
            apart: "no lock is held while a callback runs",
            observe: |compat| {
                let evict = |rig: &Rig| rig.cache.add(&rig.session(4)).expect("room");
                nested(compat, evict, FLUSH, |rig| rig.cache.is_empty())
            },
        },
        Case {
            claim: "A removal within a flush",
            strict: "works",
            measured: [NOT_MEASURED, "does nothing", "deadlock"],
            boringssl: NOT_MEASURED,
            apart: "no lock is held while a callback runs",
            observe: |compat| {
                let due = |rig: &Rig| {
                    rig.cache.add(&rig.session_from_to(4, 0, 10)).expect("room");
                    rig.cache.flush_sessions(BEGIN + Duration::from_secs(20));
                };
                let remove: Operation = |cache| _ = cache.remove(&namespace(), &[3; 32]);
                nested(compat, due, remove, |rig| !rig.holds(3))
            },
        },
        Case {
            claim: "A flush within a removal",
            strict: "works",
            measured: all("works"),
            boringssl: NOT_MEASURED,
            apart: "",
            observe: |compat| {
                let remove = |rig: &Rig| assert!(rig.cache.remove(&namespace(), &[1; 32]));
                nested(compat, remove, FLUSH, |rig| rig.cache.is_empty())
            },
        },
        Case {
            claim: "A removal of what is not there, within one: calls",
            strict: "no call",
            measured: ["without end", "without end", "no call"],
            boringssl: "no call",
            apart: "a callback within a callback would have no bottom",
            observe: |compat| {
                let rig = subject(compat);
                let world = rig.world.clone();
                rig.cache.set_remove_callback(move |gone| {
                    world.note(crate::sessions::Call::Remove(gone.id()[0], gone.cause()));
                    gone.cache().remove(&namespace(), gone.id());
                });
                rig.cache.remove(&namespace(), &[1; 32]);
                calls(&rig)
            },
        },
    ],
};
