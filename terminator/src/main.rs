//! The program `halfshake`.
fn main() {}
