//! What is told to `tracing`, with the feature of that name; without it these do nothing.

#[cfg(feature = "tracing")]
use wsconn::CloseCause;
use wsconn::{CloseInfo, Role};

/// What happens to one connection is told within this span.
pub(crate) struct Span(#[cfg(feature = "tracing")] tracing::Span);

impl Span {
    /// The opening handshake is over.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables))]
    pub(crate) fn opened(role: Role, subprotocol: Option<&str>) -> Self {
        #[cfg(feature = "tracing")]
        return {
            let span = tracing::debug_span!("websocket", ?role, subprotocol);
            span.in_scope(|| tracing::debug!("opened"));
            Self(span)
        };
        #[cfg(not(feature = "tracing"))]
        Self()
    }

    /// It is known how the connection ends.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables))]
    pub(crate) fn closed(&self, info: &CloseInfo) {
        #[cfg(feature = "tracing")]
        self.0.in_scope(|| {
            let CloseInfo { code, reason, by, clean, answer, .. } = info;
            let code = code.get();
            let answer = answer.map(wsconn::CloseCode::get);
            match info.cause {
                CloseCause::Handshake => {
                    tracing::debug!(code, answer, reason, ?by, clean, "closed");
                }
                CloseCause::Violation(violation) => {
                    tracing::warn!(code, %violation, "failed because of the peer");
                }
                CloseCause::Timeout(timeout) => tracing::warn!(%timeout, "lost"),
                _ => tracing::info!(ended = %info, "lost"),
            }
        });
    }
}

/// There will be no connection.
#[cfg_attr(not(feature = "tracing"), expect(unused_variables))]
pub(crate) fn failed(role: Role, error: &impl std::fmt::Display) {
    #[cfg(feature = "tracing")]
    tracing::info!(?role, %error, "the opening handshake failed");
}
