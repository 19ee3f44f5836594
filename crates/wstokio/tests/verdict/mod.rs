//! What the errors of a socket say of its end.

use tokio::io::{AsyncRead, AsyncWrite};
use wstest::proxied::Log;
use wstokio::{CloseCause, Error, WebSocket, opening::HandshakeFailure};

/// What an error says of the end; what a hostile peer or a mistake would cause is none of these.
fn cause(error: &Error) -> CloseCause {
    match error {
        Error::Io(_) => CloseCause::Transport,
        Error::Handshake(failure)
            if matches!(**failure, HandshakeFailure::Eof | HandshakeFailure::Http2(_)) =>
        {
            CloseCause::Eof
        }
        #[cfg(feature = "tls")]
        Error::Tls(failure) if matches!(**failure, wstokio::tls::TlsFailure::Eof) => {
            CloseCause::Eof
        }
        Error::Timeout(timeout) => CloseCause::Timeout(*timeout),
        error => panic!("no other error is due: {error}"),
    }
}

/// Notes what a call failed with.
pub(crate) fn note<T>(result: Result<T, Error>, log: &mut Log) -> Option<T> {
    match result {
        Ok(value) => return Some(value),
        // What any call that sends says after the end.
        Err(Error::Closed) => {}
        Err(error) => log.ends.push(cause(&error)),
    }
    None
}

/// Notes the end of a connection, behind which nothing comes.
pub(crate) async fn end<S: AsyncRead + AsyncWrite + Unpin>(ws: &mut WebSocket<S>, log: &mut Log) {
    loop {
        match ws.recv().await {
            Ok(Some(message)) => log.message(message),
            Ok(None) => break,
            Err(error) => log.ends.push(cause(&error)),
        }
    }
    assert!(ws.recv().await.unwrap().is_none(), "after the end");
    log.over(ws.close_info().unwrap());
}
