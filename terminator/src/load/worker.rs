//! The workers: each makes one connection after another, all of them at the same time, and tells
//! the collector what came of it. One tally for all keeps memory small with many workers.

use indicatif::ProgressBar;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::client::{Client, Connected};
use super::plan::{Plan, Share};
use super::tally::Tally;
use crate::setup_error::SetupError;

/// What a worker tells.
#[derive(Debug)]
enum Seen {
    Connected(Connected),
    Failed(String),
    /// At its end: how many sessions it offered.
    Offered(u64),
}

/// Runs `workers` workers to the end of `share` and adds up what they saw.
pub(crate) async fn run_all(
    plan: &Plan,
    workers: u32,
    share: Share,
    bar: &ProgressBar,
) -> Result<Tally, SetupError> {
    let mut running = JoinSet::new();
    let (sender, mut receiver) = channel(1024);
    let begin = Instant::now();
    for index in 0..workers {
        let (part, before) = share.of_worker(index, workers);
        let worker = Worker {
            plan: plan.clone(),
            client: Client::new(plan)?,
            share: part,
            offers: Offers::new(plan.resume_percent, before),
            sender: sender.clone(),
        };
        running.spawn(worker.work());
    }
    drop(sender);

    let mut tally = Tally::new();
    while let Some(seen) = receiver.recv().await {
        match seen {
            Seen::Connected(connected) => tally.record(&connected),
            Seen::Failed(error) => tally.fail(error),
            Seen::Offered(offered) => {
                tally.offered += offered;
                continue;
            }
        }
        bar.inc(1);
    }
    tally.elapsed = begin.elapsed();
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tally.fail(format!("a worker stopped: {error}"));
        }
    }
    Ok(tally)
}

struct Worker {
    plan: Plan,
    client: Client,
    share: Share,
    offers: Offers,
    sender: Sender<Seen>,
}

impl Worker {
    async fn work(mut self) {
        let mut made = 0;
        while self.share.has_more(made) {
            let seen = self.connect().await;
            made += 1;
            if self.sender.send(seen).await.is_err() {
                // Nobody collects any more.
                return;
            }
        }
        let offered = self.client.memory().offered();
        let _ = self.sender.send(Seen::Offered(offered)).await;
    }

    async fn connect(&mut self) -> Seen {
        let offer = self.offers.next(self.client.memory().holds_session());
        match timeout(self.plan.time_limit, self.client.connect(&self.plan, offer)).await {
            Ok(Ok(connected)) => Seen::Connected(connected),
            Ok(Err(error)) => Seen::Failed(describe(&error)),
            Err(_) => Seen::Failed("not finished in time".into()),
        }
    }
}

fn describe(error: &std::io::Error) -> String {
    match error.get_ref() {
        Some(inner) => inner.to_string(),
        None => error.kind().to_string(),
    }
}

/// Spreads the offers evenly; one that could not be made is made up for later.
#[derive(Debug)]
struct Offers {
    percent: u64,
    owed: u64,
}

impl Offers {
    /// For a worker before whom others make `before` connections: what they leave over of a
    /// hundred percent is this one's to make, so that all together come to the percentage.
    fn new(percent: u8, before: u64) -> Self {
        let percent = u64::from(percent);
        Self { percent, owed: before % 100 * percent % 100 }
    }

    fn next(&mut self, holds_session: bool) -> bool {
        self.owed += self.percent;
        let offer = holds_session && self.owed >= 100;
        if offer {
            self.owed -= 100;
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::Offers;

    #[test]
    fn offers_come_to_the_percentage_although_no_first_connection_has_one() {
        for percent in [0, 1, 33, 50, 75, 80, 99] {
            for workers in [1, 3, 8] {
                let each = 2400 / workers;
                let made: usize = (0..workers)
                    .map(|worker| {
                        let mut offers = Offers::new(percent, each * worker);
                        (0..each).filter(|&index| offers.next(index > 0)).count()
                    })
                    .sum();
                assert_eq!(made, usize::from(percent) * 24, "{percent} %, {workers} workers");
            }
        }
    }

    #[test]
    fn a_hundred_percent_offers_whenever_it_can() {
        let mut offers = Offers::new(100, 0);
        assert!(!offers.next(false));
        assert!((0..1000).all(|_| offers.next(true)));
    }
}
