//! What the benchmarks share: the contenders, their inputs, and a clock that is fair to them.
//!
//! - `cargo bench -p benches` runs the criterion benchmarks.
//! - `cargo xtask bench codec` prints one table of medians and ratios, measured side by side.
//! - `cargo xtask counts` counts instructions under callgrind.

#![forbid(unsafe_code)]

pub mod frames;
pub mod masks;
pub mod measure;
pub mod texts;
