//! How to compress, on the command line.

use clap::Args;
use wstokio::deflate::DeflateOptions;

use crate::size;

/// For a server that tools measure: off unless it is asked for.
#[derive(Args)]
pub(crate) struct Deflate {
    /// Compress with clients that offer permessage-deflate
    #[arg(long)]
    deflate: bool,
    /// Let both sides compress a message with what they know from those before
    #[arg(long, requires = "deflate")]
    context_takeover: bool,
    /// The largest window to compress with, as a power of two
    #[arg(long, value_name = "BITS", requires = "deflate", default_value_t = DeflateOptions::default().window_bits,
        value_parser = clap::value_parser!(u8).range(9..=15))]
    window_bits: u8,
    /// Send shorter messages as they are
    #[arg(long, value_name = "SIZE", requires = "deflate", value_parser = size::parse, default_value = "128")]
    compress_from: u64,
}

impl Deflate {
    pub(crate) fn options(&self) -> Option<DeflateOptions> {
        let mut options = DeflateOptions::default();
        options.context_takeover = self.context_takeover;
        options.peer_context_takeover = self.context_takeover;
        options.window_bits = self.window_bits;
        options.min_size = usize::try_from(self.compress_from).unwrap_or(usize::MAX);
        self.deflate.then_some(options)
    }
}
