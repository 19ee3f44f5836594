use core::time::Duration;

/// The limits and waits of a [`Connection`](crate::Connection).
///
/// Every one has a default that is safe on the open internet, and a violation of one says which. To
/// change some:
///
/// ```
/// let mut config = wsconn::Config::default();
/// config.max_message_size = 64 << 20;
/// config.max_frame_size = 64 << 20;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The longest message to receive, in bytes, fragments together; of a compressed one, once it is
    /// inflated. Default: 16 MiB.
    pub max_message_size: u64,
    /// The longest frame to receive, in bytes of payload as it is on the wire. Default: 16 MiB.
    pub max_frame_size: u64,
    /// The most fragments in one message, empty ones included. Default: 65,536.
    pub max_fragments: u32,
    /// The high-water mark: once this many bytes wait to be written, no further message is
    /// accepted until some have gone out. One message may be longer, so an empty queue takes one
    /// whatever this is. Default: 1 MiB.
    pub max_outgoing: usize,
    /// A ping goes out after this much silence from the peer. `None` turns keepalive off. Default:
    /// 25 seconds.
    pub keepalive: Option<Duration>,
    /// The peer is lost if it gives no sign of life for this long after a keepalive ping. While bytes
    /// wait to be written, [`write_timeout`](Self::write_timeout) tells instead; that the peer has taken
    /// them is a sign of life. Default: 20 seconds.
    pub keepalive_timeout: Duration,
    /// How long the peer has to take what is queued before our close frame, and to answer that, whatever
    /// else it sends. Default: 5 seconds.
    pub close_timeout: Duration,
    /// The peer is lost if it takes no byte that waits to be written for this long. Default: 30
    /// seconds.
    pub write_timeout: Duration,
    /// How long to wait for the peer to end the byte stream once the closing handshake is over. If bytes
    /// wait to be written when the peer's close frame comes, it begins when they have had
    /// [`close_timeout`](Self::close_timeout). Default: 2 seconds.
    pub fin_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 16 << 20,
            max_frame_size: 16 << 20,
            max_fragments: 65_536,
            max_outgoing: 1 << 20,
            keepalive: Some(Duration::from_secs(25)),
            keepalive_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            fin_timeout: Duration::from_secs(2),
        }
    }
}
