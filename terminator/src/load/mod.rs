//! `halfshake load`: from the arguments to a report.
//!
//! ```text
//! plan ─ workers (each: memory, client) ─ tally ─ report
//! ```

mod client;
mod memory;
pub(crate) mod plan;
mod report;
pub(crate) mod tally;
pub(crate) mod worker;

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Outcome;
use crate::cli::LoadArgs;
use crate::output;
use crate::setup_error::SetupError;

use self::plan::{Plan, Share};

pub(crate) async fn run(args: LoadArgs) -> Result<Outcome, SetupError> {
    let plan = Plan::from_args(&args).await?;
    let bar = progress_bar(args.connections, args.json);
    let share = Share::Connections(args.connections);
    let tally = worker::run_all(&plan, args.concurrency, share, &bar).await?;
    bar.finish_and_clear();

    if args.json {
        output::say(format_args!("{:#}", report::json(&plan, &tally)));
    } else {
        output::say(report::table(&plan, &tally));
    }
    Ok(if tally.failed() == 0 { Outcome::Done } else { Outcome::Failed })
}

/// On standard error, and only when a person looks at it.
fn progress_bar(connections: u64, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(connections), ProgressDrawTarget::stderr());
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} handshakes, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
