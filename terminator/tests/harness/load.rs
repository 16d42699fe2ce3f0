//! `halfshake load`, and its report.

use std::net::SocketAddr;

use serde_json::Value;

use super::run;

/// Runs it with `--json` and gives back the exit status and the report.
pub(crate) fn load(address: SocketAddr, more: &[&str]) -> (Option<i32>, Value) {
    let address = address.to_string();
    let mut arguments = vec!["load", "--json", "--connect", &address];
    arguments.extend(more);
    let output = run(&arguments);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

pub(crate) fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report:#}"))
}
