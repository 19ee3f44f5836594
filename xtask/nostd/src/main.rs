//! Links wsframe, wshandshake and wsconn without std. `cargo xtask nostd` runs it, and expects exit status 0.

#![no_std]
#![no_main]

extern crate alloc;

mod host;

use alloc::vec::Vec;

use wsconn as _;
use wsframe as _;
use wshandshake as _;

/// What is checked; `Err` names the step that failed.
fn check() -> Result<(), &'static str> {
    // TODO(lead): a handshake and an echo in memory, through wshandshake and wsconn.
    let bytes: Vec<u8> = (0..100).collect();
    if bytes.len() == 100 { Ok(()) } else { Err("the allocator does not work") }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match check() {
        Ok(()) => {
            host::print("nostd: passed\n");
            0
        }
        Err(step) => {
            host::print("nostd: failed at: ");
            host::print(step);
            host::print("\n");
            1
        }
    }
}
