//! What every transport over `std` needs, written once: the loop that moves the bytes of a
//! [`Connection`], the buffers it borrows, random masking keys, URLs and errors.
//!
//! `wstokio` and `wsmio` are made of it. To write a transport of your own, implement [`Io`] for your
//! byte stream and clock, and call the [`Driver`].

mod counters;
mod driver;
mod error;
mod inbox;
pub mod pool;
mod proxy;
pub mod random;
#[cfg(feature = "tls")]
pub mod tls;
mod url;

pub use counters::Counters;
pub use driver::Driver;
pub use error::Error;
pub use inbox::Inbox;
pub use proxy::{Proxy, ProxyFailure, Tunnel};
pub use url::Url;

use std::{
    io::{self, IoSlice},
    task::Poll,
};

#[cfg(doc)]
use crate::Connection;
use crate::Time;

/// A byte stream and a clock that never block. What is pending sees to it that the caller is called
/// again: as an async stream does with a waker, or a blocking one by waiting for readiness.
pub trait Io {
    /// The time.
    fn now(&self) -> Time;

    /// Reads into the start of `buffer`, and says how many bytes; 0 is the end of the stream.
    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes the start of `bytes`, and says how many.
    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes the start of these slices in order, and says how many bytes.
    fn poll_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sees to it that what was written leaves.
    fn poll_flush(&mut self) -> Poll<io::Result<()>>;

    /// Ends the writing direction.
    fn poll_shutdown(&mut self) -> Poll<io::Result<()>>;

    /// Ready once this moment has come.
    fn poll_deadline(&mut self, deadline: Time) -> Poll<()>;

    /// Much has been done without a wait, and there is more to do: pending, if others are to have their
    /// turn first.
    fn poll_pause(&mut self) -> Poll<()> {
        Poll::Ready(())
    }
}
