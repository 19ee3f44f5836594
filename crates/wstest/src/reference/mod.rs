//! A codec and a model of a receiver, written from RFC 6455 alone: naive, for whole inputs, and
//! allocating as it likes. It shares nothing with `wsframe` but the standard.

mod codec;
mod connection;
mod receiver;

pub use codec::{Frame, LengthForm, decode, encode_frame};
pub use connection::{Connection, Verdict};
pub use receiver::{End, Event, Limits, Outcome, receive};
