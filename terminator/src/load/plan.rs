//! What a load run does: where to, how often, and how.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

use crate::cli::{LoadArgs, TlsVersion};
use crate::setup_error::SetupError;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// As it was given, for the report.
    pub(crate) target: String,
    /// Tried in this order.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) version: TlsVersion,
    pub(crate) resume_percent: u8,
    /// For one connection, from connect to close.
    pub(crate) time_limit: Duration,
    pub(crate) send_request: bool,
}

/// How much one run, or one worker, is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    Connections(u64),
    Until(Instant),
}

impl Plan {
    pub(crate) async fn from_args(args: &LoadArgs) -> Result<Self, SetupError> {
        let host = args.connect.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = args.server_name.clone().unwrap_or_else(|| host.to_owned());
        Ok(Self {
            addresses: resolve(&args.connect).await?,
            target: args.connect.clone(),
            server_name: ServerName::try_from(name.clone())
                .map_err(|_| SetupError::ServerName { name })?,
            version: args.tls,
            resume_percent: args.resume_percent,
            time_limit: Duration::from_secs(args.timeout),
            send_request: !args.no_request,
        })
    }
}

impl Share {
    /// The part of worker `index` of `workers`, and how many connections the workers before it
    /// make: the parts differ by one at most, and add up.
    pub(crate) fn of_worker(self, index: u32, workers: u32) -> (Self, u64) {
        match self {
            Self::Connections(all) => {
                let (index, workers) = (u64::from(index), u64::from(workers));
                let (each, rest) = (all / workers, all % workers);
                let before = each * index + rest.min(index);
                (Self::Connections(each + u64::from(index < rest)), before)
            }
            Self::Until(end) => (Self::Until(end), 0),
        }
    }

    /// Whether there is something left after `made` connections.
    pub(crate) fn has_more(self, made: u64) -> bool {
        match self {
            Self::Connections(all) => made < all,
            Self::Until(end) => Instant::now() < end,
        }
    }
}

async fn resolve(target: &str) -> Result<Vec<SocketAddr>, SetupError> {
    let failed = |reason: String| SetupError::Resolve {
        option: "--connect",
        target: target.to_owned(),
        reason,
    };
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host(target).await.map_err(|error| failed(error.to_string()))?.collect();
    if found.is_empty() { Err(failed("the name has no address".into())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn the_parts_of_the_workers_add_up() {
        for (all, workers) in [(1, 1), (7, 3), (3, 7), (20_000, 32), (0, 4)] {
            let mut sum = 0;
            for index in 0..workers {
                let (Share::Connections(part), before) =
                    Share::Connections(all).of_worker(index, workers)
                else {
                    unreachable!("a count stays a count")
                };
                assert_eq!(before, sum, "before worker {index} of {workers}");
                sum += part;
            }
            assert_eq!(sum, all, "{all} connections by {workers} workers");
        }
    }
}
