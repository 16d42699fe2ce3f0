//! `halfshake demo`: real handshakes over two caches, side by side, then one screen.
//!
//! Both caches do the same work in turns on the same processors, and both are timed by the same
//! wrapper. Most of a handshake is cryptography that no cache makes faster, so the screen says
//! what share of it the cache is, and what the caches do without TLS around them.

mod bare;
mod contestant;
mod screen;
mod timed;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::Outcome;
use crate::cli::DemoArgs;
use crate::output;
use crate::setup_error::SetupError;

use self::contestant::Contestant;

/// Clients that connect at the same time.
const CLIENTS: u32 = 16;
const RESUME_PERCENT: u8 = 80;
/// Turns of each cache. They alternate as A B B A, so that a machine that gets slower or faster
/// on the way treats both alike.
const TURNS: u32 = 4;
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) async fn run(args: DemoArgs) -> Result<Outcome, SetupError> {
    let mut halfshake = Contestant::halfshake(args.entries).await?;
    let mut rustls = Contestant::rustls(args.entries).await?;
    output::say(format_args!(
        "{:.0} s of TLS 1.3 handshakes on {HOME}: halfshake, then rustls's own cache, in turns ...",
        args.seconds
    ));
    // Before the clock runs: first use of code, memory and cryptography is slow on both.
    let warm_up = Duration::from_millis(200);
    for contestant in [&mut halfshake, &mut rustls] {
        contestant.take_turn(warm_up).await?;
        contestant.forget();
    }

    let turn = Duration::from_secs_f64(args.seconds) / (2 * TURNS);
    for round in 0..TURNS {
        let order = if round % 2 == 0 {
            [&mut halfshake, &mut rustls]
        } else {
            [&mut rustls, &mut halfshake]
        };
        for contestant in order {
            contestant.take_turn(turn).await?;
        }
    }
    let bare = bare::compare(&halfshake, &rustls).await;
    output::say(screen::show(&halfshake, &rustls, &bare));
    let failed = halfshake.tally().failed() + rustls.tally().failed();
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Failed })
}
