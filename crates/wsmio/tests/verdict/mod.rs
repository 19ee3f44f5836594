//! What the errors of a socket say of its end.

use wsmio::{CloseCause, Error, Stream, WebSocket, opening::HandshakeFailure};
use wstest::proxied::Log;

/// What an error says of the end; what a hostile peer or a mistake would cause is none of these.
fn cause(error: &Error) -> CloseCause {
    match error {
        Error::Io(_) => CloseCause::Transport,
        Error::Handshake(failure) if **failure == HandshakeFailure::Eof => CloseCause::Eof,
        #[cfg(feature = "tls")]
        Error::Tls(failure) if matches!(**failure, wsmio::tls::TlsFailure::Eof) => CloseCause::Eof,
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
pub(crate) fn end<S: Stream>(ws: &mut WebSocket<S>, log: &mut Log) {
    loop {
        match ws.recv() {
            Ok(Some(message)) => log.message(message),
            Ok(None) => break,
            Err(error) => log.ends.push(cause(&error)),
        }
    }
    assert!(ws.recv().unwrap().is_none(), "after the end");
    log.over(ws.close_info().unwrap());
}
