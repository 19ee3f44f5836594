//! The negotiation of permessage-deflate (RFC 7692 §7.1).

use alloc::string::String;
use core::fmt::Write;

use wshandshake::Extension;

use crate::deflate::DeflateOptions;

const NAME: &str = "permessage-deflate";

/// zlib cannot compress with a window of 8 bits, only inflate.
const LEAST_TO_COMPRESS: u8 = 9;

/// A window's bits are 8 to 15 (§7.1.2); this is as good as no limit.
const MOST: u8 = 15;

/// The parameters of an offer or of a response.
#[derive(Clone, Copy, Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner `None` is a parameter without a value, which an offer may have.
    client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    /// `None` if one is unknown or repeated, or has a value that it must not have (§7.1).
    fn parse(extension: &Extension<'_>) -> Option<Self> {
        let mut params = Self::default();
        for param in extension.params() {
            let bits = || param.value()?.number().filter(|bits| (8..=MOST).contains(bits));
            let flag = match param.name() {
                "server_no_context_takeover" => &mut params.server_no_context_takeover,
                "client_no_context_takeover" => &mut params.client_no_context_takeover,
                "server_max_window_bits" => {
                    if params.server_max_window_bits.replace(bits()?).is_some() {
                        return None;
                    }
                    continue;
                }
                "client_max_window_bits" => {
                    let bits = if param.value().is_some() { Some(bits()?) } else { None };
                    if params.client_max_window_bits.replace(bits).is_some() {
                        return None;
                    }
                    continue;
                }
                _ => return None,
            };
            if param.value().is_some() || core::mem::replace(flag, true) {
                return None;
            }
        }
        Some(params)
    }

    /// The value of the header.
    fn write(&self) -> String {
        let mut header = String::from(NAME);
        if self.server_no_context_takeover {
            header.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            header.push_str("; client_no_context_takeover");
        }
        // Writing to a string does not fail.
        if let Some(bits) = self.server_max_window_bits {
            let _ = write!(header, "; server_max_window_bits={bits}");
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => {
                let _ = write!(header, "; client_max_window_bits={bits}");
            }
            Some(None) => header.push_str("; client_max_window_bits"),
            None => {}
        }
        header
    }
}

/// A limit, where it is one.
fn limit(bits: u8) -> Option<u8> {
    (bits < MOST).then_some(bits)
}

/// A server's choice among a client's offers: what was agreed, and the value of the header that says
/// so. `None` if there is no offer that can be accepted.
pub(super) fn accept<'b>(
    wanted: &DeflateOptions,
    mut offers: impl Iterator<Item = Extension<'b>>,
) -> Option<(DeflateOptions, String)> {
    offers.find_map(|offer| {
        if offer.name() != NAME {
            return None;
        }
        let offer = Params::parse(&offer)?;
        let window_bits = wanted.window_bits.clamp(LEAST_TO_COMPRESS, MOST);
        let window_bits = window_bits.min(offer.server_max_window_bits.unwrap_or(MOST));
        if window_bits < LEAST_TO_COMPRESS {
            // §7.1.2.1: "A server declines an extension negotiation offer with this parameter if the
            // server doesn't support it."
            return None;
        }
        // §7.1.2.2: not in the response unless it is in the offer.
        let peer_window_bits = match offer.client_max_window_bits {
            Some(hint) => wanted.peer_window_bits.clamp(8, MOST).min(hint.unwrap_or(MOST)),
            None => MOST,
        };
        let agreed = DeflateOptions {
            // §7.1.1.1: what the client asks of the server it gets, and the server may do it unasked.
            context_takeover: wanted.context_takeover && !offer.server_no_context_takeover,
            // §7.1.1.2: the client's is a hint, which spares memory here.
            peer_context_takeover: wanted.peer_context_takeover
                && !offer.client_no_context_takeover,
            window_bits,
            peer_window_bits,
            ..*wanted
        };
        let response = Params {
            server_no_context_takeover: !agreed.context_takeover,
            client_no_context_takeover: !agreed.peer_context_takeover,
            server_max_window_bits: match offer.server_max_window_bits {
                Some(_) => Some(window_bits),
                None => limit(window_bits),
            },
            client_max_window_bits: limit(peer_window_bits).map(Some),
        };
        Some((agreed, response.write()))
    })
}

/// A client's offer: the value of the header.
pub(super) fn offer(wanted: &DeflateOptions) -> String {
    wish(wanted).write()
}

fn wish(wanted: &DeflateOptions) -> Params {
    Params {
        server_no_context_takeover: !wanted.peer_context_takeover,
        client_no_context_takeover: !wanted.context_takeover,
        server_max_window_bits: limit(wanted.peer_window_bits.clamp(8, MOST)),
        // Whatever the server asks for can be had.
        client_max_window_bits: Some(limit(wanted.window_bits.clamp(LEAST_TO_COMPRESS, MOST))),
    }
}

/// A server's response breaks RFC 7692.
pub(super) struct BadResponse;

/// What a client and a server agreed on, as the server's response to [`offer`] says; `None` if it
/// declined.
pub(super) fn agree<'b>(
    wanted: &DeflateOptions,
    response: impl Iterator<Item = Extension<'b>>,
) -> Result<Option<DeflateOptions>, BadResponse> {
    let mut elements = response.filter(|extension| extension.name() == NAME);
    let Some(response) = elements.next() else { return Ok(None) };
    if elements.next().is_some() {
        return Err(BadResponse);
    }
    let offer = wish(wanted);
    let response = Params::parse(&response).ok_or(BadResponse)?;
    // §7.1.1.1, §7.1.2.1: a server that accepts the offer says that it does what was asked of it.
    let asked = offer.server_no_context_takeover && !response.server_no_context_takeover;
    let most = offer.server_max_window_bits.unwrap_or(MOST);
    let given = response.server_max_window_bits;
    if asked || given.unwrap_or(MOST) > most {
        return Err(BadResponse);
    }
    let window_bits = wanted.window_bits.clamp(LEAST_TO_COMPRESS, MOST);
    let window_bits = match response.client_max_window_bits {
        // With 8 nothing is compressed, which no limit forbids.
        Some(Some(bits)) => window_bits.min(bits),
        // §7.1.2.2: in a response it has a value.
        Some(None) => return Err(BadResponse),
        None => window_bits,
    };
    Ok(Some(DeflateOptions {
        context_takeover: wanted.context_takeover && !response.client_no_context_takeover,
        peer_context_takeover: !response.server_no_context_takeover,
        window_bits,
        peer_window_bits: given.unwrap_or(MOST),
        ..*wanted
    }))
}
