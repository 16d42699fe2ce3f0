//! Floods over real connections, against the program itself: ids and identities that nobody knows,
//! while good clients resume beside them.
//!
//! Short here; `HALFSHAKE_FAULTS=long` is what docs/RELIABILITY.md tells (`ci/faults --long`).

mod harness;
#[path = "../../tests/tried/mod.rs"]
mod tried;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use harness::hello::{SERVER_HELLO, first_answer, offering, proposing};
use harness::load::{load, number};
use harness::{Backend, Server};
use tried::{Random, amount, tried};

const BACKEND: Backend = Backend::Rustls;
/// Most look-ups that one connection may cost.
const BUDGET: u64 = 4;
/// Identities of one byte: as many as fit into a handshake message. None can be a ticket of ours.
const IDENTITIES: u64 = 1_600;
/// The same as long as ours.
const LONG_IDENTITIES: u64 = 900;
/// Threads that flood.
const FLOODS: u64 = 4;

/// A server with room to be flooded: good sessions are not to leave for want of it.
fn server() -> Server {
    // On every loopback address: a flood of one would run out of ports.
    Server::start_everywhere(&["--cache-entries", "100000"])
}

/// So many connections, each of which says a hello of its own and leaves after the first answer.
fn flood(server: &Server, hellos: u64, hello: impl Fn(&mut Random) -> Vec<u8> + Sync) -> Duration {
    let (next, begun, port) = (AtomicU64::new(0), Instant::now(), server.address.port());
    std::thread::scope(|scope| {
        for thread in 0..FLOODS {
            let (next, hello) = (&next, &hello);
            scope.spawn(move || {
                let mut random = Random(thread);
                loop {
                    let n = next.fetch_add(1, SeqCst);
                    if n >= hellos {
                        return;
                    }
                    // 254 addresses, and each has ports of its own.
                    let host = Ipv4Addr::new(127, 0, 0, 1 + (n % 254).to_le_bytes()[0]);
                    let answer = first_answer((host, port).into(), &hello(&mut random));
                    assert_eq!(answer, SERVER_HELLO);
                }
            });
        }
    });
    begun.elapsed()
}

/// Good clients beside a flood: how many resumptions they were offered, and had.
fn beside(server: &Server, flood: impl FnOnce()) -> (u64, u64) {
    let (over, address) = (AtomicBool::new(false), server.address);
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut offered, mut resumed) = (0, 0);
            while !over.load(SeqCst) || offered == 0 {
                for tls in ["1.2", "1.3"] {
                    let plan = ["--connections", "50", "--concurrency", "2", "--tls", tls];
                    let (status, report) = load(address, &plan);
                    assert_eq!(status, Some(0), "{report:#}");
                    offered += number(&report, "offered");
                    resumed += number(&report, "resumed");
                }
            }
            (offered, resumed)
        });
        flood();
        over.store(true, SeqCst);
        clients.join().expect("the clients were served")
    })
}

#[test]
fn a_flood_of_unknown_ids_costs_each_one_look_up_and_no_good_client_its_session() {
    let hellos = amount(300, 1_000_000);
    let server = server();
    let mut took = Duration::ZERO;
    let (offered, resumed) = beside(&server, || {
        took = flood(&server, hellos, |random| proposing(&random.id()));
    });
    assert_eq!(offered, resumed, "good clients resume");
    server.wait_for_stat("/connections/open", |open| open == 0);
    let lookups = server.stat("/cache/lookups");
    assert_eq!(lookups, hellos + offered, "one for each id that is offered");
    server.stop();
    tried(
        "1",
        "flood of random ids over TLS 1.2, `halfshake serve`",
        &format!(
            "{hellos} ClientHellos in {} s; beside them {offered} resumptions",
            took.as_secs()
        ),
        "one look-up each; every good client resumes",
    );
}

#[test]
fn hellos_with_1600_identities_cost_no_look_up_if_none_can_be_ours() {
    hellos_cost::<1>(IDENTITIES, 0);
}

#[test]
fn hellos_with_900_identities_like_ours_cost_four_look_ups_each() {
    hellos_cost::<32>(LONG_IDENTITIES, BUDGET);
}

/// Floods with hellos of so many identities of `LEN` bytes each.
fn hellos_cost<const LEN: usize>(count: u64, each: u64) {
    let hellos = amount(50, 10_000);
    let server = server();
    let identities: Vec<[u8; LEN]> = (0..count)
        .map(|n| std::array::from_fn(|at| n.to_le_bytes().get(at).copied().unwrap_or(7)))
        .collect();
    let many = offering(identities.iter().map(|identity| &identity[..]));
    let one = offering([&[1u8; 32][..]]);
    let plain = flood(&server, hellos, |_| one.clone());
    server.wait_for_stat("/connections/open", |open| open == 0);
    assert_eq!(server.stat("/cache/lookups"), hellos, "one each");
    let mut took = Duration::ZERO;
    let (offered, resumed) = beside(&server, || {
        took = flood(&server, hellos, |_| many.clone());
    });
    assert_eq!(offered, resumed, "good clients resume");
    server.wait_for_stat("/connections/open", |open| open == 0);
    let lookups = server.stat("/cache/lookups") - hellos;
    assert_eq!(lookups, hellos * each + offered, "look-ups");
    let refused = server.stat("/lookups_over_budget");
    assert!(refused >= hellos * (count - BUDGET), "{refused} over the budget");
    server.stop();
    tried(
        "2",
        &format!("ClientHellos with {count} identities of {LEN} bytes, `halfshake serve`"),
        &format!(
            "{hellos} of them, {refused} look-ups refused; {} ms, {} ms with one identity each",
            took.as_millis(),
            plain.as_millis()
        ),
        &format!("{each} look-ups each; every good client resumes"),
    );
}
