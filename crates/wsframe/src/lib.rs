//! WebSocket frames, [RFC 6455 §5], and nothing else: no I/O, no allocation, no dependencies.
//!
//! - [`Header`] is decoded from a slice and encoded to the stack; what it may be is judged by
//!   [`Rules`] from the header alone, before any payload has arrived.
//! - [`Mask`] applies a masking key to a payload that comes in pieces of any size.
//! - [`Utf8`] validates text that comes in pieces, and fails at the first byte that cannot continue;
//!   [`Mask::apply_text`] unmasks it in the same pass.
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
//! told that the target has it. So is the kernel that passes over text that is ASCII. Payloads of up to
//! 64 bytes need no choice, and are inlined. The only `unsafe` in the crate is the calling of what was
//! compiled for AVX2, where the processor has it. Feature `simdutf8` validates long text that is not ASCII
//! with the crate of that name; it changes nothing else.
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
pub use utf8::{Utf8, Utf8Error};
