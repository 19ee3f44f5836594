//! WebSocket frames, [RFC 6455 §5], and nothing else: no I/O, no allocation, no dependencies.
//!
//! - [`Header`] is decoded from a slice and encoded to the stack; what it may be is judged by
//!   [`Rules`] from the header alone, before any payload has arrived.
//! - [`Mask`] applies a masking key to a payload that comes in pieces of any size.
//! - [`Utf8`] validates text that comes in pieces, and fails at the first byte that cannot continue;
//!   [`Mask::apply_text`] unmasks it in the same pass, and [`from_utf8`] validates what is all there.
//! - [`CloseCode`] and [`CloseBody`] are the body of a close frame.
//!
//! # A frame from a buffer
//!
//! ```
//! use wsframe::{Decoded, Header, Mask, OpCode, Role, Rules};
//!
//! // "Hello", masked, as a client sends it (RFC 6455 §5.7).
//! let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//!
//! let rules = Rules::new(Role::Server);
//! let Decoded::Header { header, len } = Header::decode(&bytes, &rules)? else {
//!     panic!("the header is all there");
//! };
//! assert!(header.fin && header.opcode == OpCode::Text && header.payload_len == 5);
//!
//! // The payload may be unmasked in place, and in pieces: the mask remembers where it is.
//! let mut mask = Mask::new(header.masking_key.unwrap());
//! let payload = &mut bytes[len..];
//! mask.apply(&mut payload[..2]);
//! mask.apply(&mut payload[2..]);
//! assert_eq!(payload, b"Hello");
//!
//! // And a header the other way, on the stack.
//! let header = Header::new(OpCode::Text, 5);
//! assert_eq!(header.encode().as_slice(), [0x81, 0x05]);
//! # Ok::<(), wsframe::FrameError>(())
//! ```
//!
//! # How fast
//!
//! The masking kernel is safe code over arrays, written once, which the compiler turns into the vector
//! instructions that the target always has: SSE2 on x86-64, NEON on AArch64. On x86 it is compiled once
//! more for AVX2, and chosen at run time with feature `std`, or at compile time where the compiler is
//! told that the target has it. Payloads of up to 64 bytes need no choice, and are inlined.
//!
//! So it is for text: longer text that is ASCII is passed over by a kernel of the same kind. With AVX2,
//! other text is validated by lookup, 32 bytes at a time, while it is unmasked. Feature `simdutf8` validates
//! it with the crate of that name where there is no AVX2; it changes nothing else.
//!
//! The only `unsafe` in the crate is the calling of what was compiled for AVX2, where the processor has it,
//! and the last step of [`from_utf8`].
//!
//! [RFC 6455 §5]: https://www.rfc-editor.org/rfc/rfc6455#section-5

#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod close;
mod error;
mod header;
#[allow(unsafe_code)] // to call what was compiled for AVX2
mod instances;
mod mask;
mod opcode;
mod size;
mod utf8;

pub use close::{CloseBody, CloseBodyError, CloseCode};
pub use error::FrameError;
pub use header::{Decoded, Header, HeaderBuf, MAX_HEADER_LEN, Role, Rsv, Rules};
#[doc(hidden)]
pub use instances::Instance;
pub use mask::Mask;
pub use opcode::{MAX_CONTROL_PAYLOAD, OpCode};
pub use size::arrived;
pub use utf8::{Utf8, Utf8Error, from_utf8};

/// The example of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
