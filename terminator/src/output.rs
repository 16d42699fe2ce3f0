//! Standard output, where somebody may have stopped reading.

use std::fmt::Display;
use std::io::Write as _;

/// Writes a line. A reader that has gone (`halfshake load | head -1`) is no reason to panic, as
/// `println!` would.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
