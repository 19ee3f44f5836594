//! From a host and a port to a TCP stream, perhaps through a proxy.

use std::{io, net::SocketAddr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, lookup_host},
    time::Instant,
};
use wsconn::{
    Timeout,
    transport::{Error, Proxy, ProxyFailure, Tunnel, Url},
};

use crate::handshake;

/// Connects to `host`, trying its addresses one after the other.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    deadline: Option<Instant>,
) -> Result<TcpStream, Error> {
    let addresses = handshake::until(deadline, Timeout::Connect, async {
        let found = lookup_host((host, port)).await;
        let found = found.map_err(|error| context(&error, &format!("cannot find {host}")))?;
        Ok(found.collect::<Vec<_>>())
    })
    .await?;
    let tcp = connect_to_any(&addresses, deadline, TcpStream::connect::<SocketAddr>).await?;
    // Small messages leave at once; those that belong together are written together.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Connects to the server of `url` through `proxy`.
pub(crate) async fn connect_through(
    proxy: &Proxy,
    url: &Url,
    deadline: Option<Instant>,
) -> Result<TcpStream, Error> {
    let mut tunnel = Tunnel::new(proxy, url)?;
    let talk = async {
        let mut tcp = connect(proxy.host(), proxy.port(), deadline).await?;
        let mut buffer = [0; 512];
        while !tunnel.is_open() {
            handshake::write(&mut tcp, &tunnel.take_outgoing()).await?;
            match tcp.read(&mut buffer).await? {
                0 => return Err(ProxyFailure::Eof.into()),
                len => tunnel.receive(buffer.get(..len).unwrap_or_default())?,
            }
        }
        Ok(tcp)
    };
    handshake::until(deadline, Timeout::Proxy, talk).await.map_err(|error| match error {
        Error::Io(error) => ProxyFailure::Io(error).into(),
        Error::Timeout(_) => Error::Timeout(Timeout::Proxy),
        error => error,
    })
}

/// Tries these addresses in turn. Each gets its share of the time that is left, so that one that never
/// answers leaves some for the others.
async fn connect_to_any<T>(
    addresses: &[SocketAddr],
    deadline: Option<Instant>,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Result<T, Error> {
    let mut problem = Error::Io(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    for (tried, &address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.map(|deadline| now + deadline.saturating_duration_since(now) / left);
        let connecting = async {
            let connected = connect(address).await;
            Ok(connected
                .map_err(|error| context(&error, &format!("cannot connect to {address}")))?)
        };
        match handshake::until(share, Timeout::Connect, connecting).await {
            Ok(connected) => return Ok(connected),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// The same error, saying what was being done.
fn context(error: &io::Error, doing: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// Port 1 refuses, port 2 never answers, port 3 takes a second.
    async fn connect(to: SocketAddr) -> io::Result<SocketAddr> {
        match to.port() {
            1 => return Err(io::ErrorKind::ConnectionRefused.into()),
            2 => std::future::pending().await,
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        Ok(to)
    }

    async fn to_any(ports: &[u16], seconds: u64) -> Result<u16, Error> {
        let addresses: Vec<_> = ports.iter().map(|&port| address(port)).collect();
        let deadline = Some(Instant::now() + Duration::from_secs(seconds));
        connect_to_any(&addresses, deadline, connect).await.map(|found| found.port())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_or_never_answers_leaves_time_for_the_next() {
        assert_eq!(to_any(&[1, 2, 2, 3], 6).await.unwrap(), 3);
        assert_eq!(to_any(&[3, 1], 6).await.unwrap(), 3);
        assert!(matches!(to_any(&[2, 3], 1).await, Err(Error::Timeout(Timeout::Connect))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_problem_is_reported_with_its_address() {
        let before = Instant::now();
        match to_any(&[2, 1], 6).await {
            Err(Error::Io(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                assert!(error.to_string().contains("127.0.0.1:1: "), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(to_any(&[1, 2], 6).await, Err(Error::Timeout(Timeout::Connect))));
        assert_eq!(before.elapsed().as_secs(), 3 + 6);
        assert!(to_any(&[], 6).await.unwrap_err().to_string().contains("no address"));
    }
}
