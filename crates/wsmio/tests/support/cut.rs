//! A stream that is read in pieces.

use std::{
    io::{self, Read, Write},
    os::fd::{AsRawFd, RawFd},
};

use wsmio::Stream;

/// A stream that is read in pieces of these lengths, and then as it comes.
pub struct Cut<S, L> {
    inner: S,
    lens: L,
    /// What is left of a piece.
    left: usize,
}

impl<S, L: Iterator<Item = usize>> Cut<S, L> {
    pub fn new(inner: S, lens: L) -> Self {
        Self { inner, lens, left: 0 }
    }
}

impl<S: Read, L: Iterator<Item = usize>> Read for Cut<S, L> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.left = self.lens.next().unwrap_or(usize::MAX);
        }
        let most = self.left.min(buffer.len());
        let len = self.inner.read(&mut buffer[..most])?;
        self.left -= len;
        Ok(len)
    }
}

impl<S: Write, L> Write for Cut<S, L> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<S: AsRawFd, L> AsRawFd for Cut<S, L> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl<S: Stream, L: Iterator<Item = usize> + Send> Stream for Cut<S, L> {
    fn set_nonblocking(&self) -> io::Result<()> {
        self.inner.set_nonblocking()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.inner.shutdown_write()
    }
}
