//! ws
fn main() {}
