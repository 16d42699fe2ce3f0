//! The workers: each makes one connection after another, all of them at the same time.

use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::plan::{Plan, Share};
use super::tally::Tally;
use crate::setup_error::SetupError;

/// Runs `workers` workers to the end of `share` and adds up what they saw.
pub(crate) async fn run_all(
    plan: &Plan,
    workers: u32,
    share: Share,
    bar: &ProgressBar,
) -> Result<Tally, SetupError> {
    let mut running = JoinSet::new();
    let begin = Instant::now();
    for index in 0..workers {
        let client = Client::new(plan)?;
        let (part, before) = share.of_worker(index, workers);
        let offers = Offers::new(plan.resume_percent, before);
        running.spawn(work(plan.clone(), client, part, offers, bar.clone()));
    }
    let mut total = Tally::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(tally) => total.add(&tally),
            Err(error) => total.fail(format!("a worker stopped: {error}")),
        }
    }
    total.set_elapsed(begin.elapsed());
    Ok(total)
}

async fn work(
    plan: Plan,
    client: Client,
    share: Share,
    mut offers: Offers,
    bar: ProgressBar,
) -> Tally {
    let mut tally = Tally::new();
    let mut made = 0;
    while share.has_more(made) {
        let offer = offers.next(client.memory().holds_session());
        match timeout(plan.time_limit, client.connect(&plan, offer)).await {
            Ok(Ok(connected)) => tally.record(&connected),
            Ok(Err(error)) => tally.fail(describe(&error)),
            Err(_) => tally.fail("not finished in time".into()),
        }
        made += 1;
        bar.inc(1);
    }
    tally.set_offered(client.memory().offered());
    tally
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
