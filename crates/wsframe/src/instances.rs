//! The kernels compiled for more than one instruction set, and the choice between them.
//!
//! What the target always has (SSE2 on x86-64, NEON on AArch64, or what the compiler was told it may
//! use) serves short payloads, and all of them where nothing better is known: there is nothing on
//! AArch64 that is better and that all processors of today have. AVX2 is looked for at run time, with
//! feature `std`. AVX-512 has no instance: compiled for it as they are, on Zen 4, the masking kernels took
//! up to a fifth longer between 300 bytes and 1 KiB and up to twenty times as long beyond, where the
//! compiler gathers words; only 256 bytes took 8 % less. Validating text by lookup alone gained 11 %,
//! and lost as much where it is unmasked. It would need a newer Rust, too.

#[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
use crate::utf8::lookup;
use crate::{
    mask::{self, kernel},
    utf8::{Found, ascii},
};

/// Masks a payload of [`SHORT`](kernel::SHORT) bytes or more, with the best instance there is.
#[inline]
pub(crate) fn long(data: &mut [u8], key: u32) -> u32 {
    #[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::long(data, key) };
    }
    portable::long(data, key)
}

/// As [`long`], from one slice into another of the same length.
#[inline(never)]
pub(crate) fn long_copy(src: &[u8], dst: &mut [u8], key: u32) -> u32 {
    #[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::long_copy(src, dst, key) };
    }
    portable::long_copy(src, dst, key)
}

/// As [`long`], of a text that begins between two characters, and says what it has found.
#[inline]
pub(crate) fn text(data: &mut [u8], key: u32) -> (u32, Found) {
    #[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { lookup::unmask(data, key) };
    }
    portable::text(data, key)
}

/// What is quickly found of a text of [`SHORT`](kernel::SHORT) bytes or more, which begins between two
/// characters.
#[inline]
pub(crate) fn valid(text: &[u8]) -> Found {
    #[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { lookup::validate(text) };
    }
    portable::valid(text)
}

mod portable {
    use super::{Found, ascii, kernel};
    #[cfg(feature = "simdutf8")]
    use crate::utf8;

    #[inline(never)]
    pub(crate) fn long(data: &mut [u8], key: u32) -> u32 {
        kernel::long::<false>(data, key).0
    }

    #[inline(never)]
    pub(crate) fn long_copy(src: &[u8], dst: &mut [u8], key: u32) -> u32 {
        kernel::long_copy(src, dst, key)
    }

    #[inline(never)]
    pub(crate) fn text(data: &mut [u8], key: u32) -> (u32, Found) {
        let (key, ascii) = kernel::long::<true>(data, key);
        (key, if ascii { Found::Ascii } else { Found::Other })
    }

    #[inline(never)]
    pub(crate) fn valid(text: &[u8]) -> Found {
        if ascii::start(text) == text.len() {
            return Found::Ascii;
        }
        #[cfg(feature = "simdutf8")]
        {
            let (whole, _) = text.split_at(text.len() - utf8::cut(text).len());
            if simdutf8::basic::from_utf8(whole).is_ok() {
                return Found::Valid;
            }
        }
        Found::Other
    }
}

#[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
mod avx2 {
    use super::kernel;

    #[target_feature(enable = "avx2")]
    pub(crate) fn long(data: &mut [u8], key: u32) -> u32 {
        kernel::long::<false>(data, key).0
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn long_copy(src: &[u8], dst: &mut [u8], key: u32) -> u32 {
        kernel::long_copy(src, dst, key)
    }
}

/// The kernels for one instruction set, whatever the choice would be.
///
/// Not for use, but for tests and benchmarks: [`Mask`](crate::Mask) and [`Utf8`](crate::Utf8) take
/// the best ones.
#[derive(Clone, Copy, Debug)]
pub struct Instance {
    /// The instruction set.
    pub name: &'static str,
    long: fn(&mut [u8], u32) -> u32,
    long_copy: fn(&[u8], &mut [u8], u32) -> u32,
    text: fn(&mut [u8], u32) -> (u32, Found),
    valid: fn(&[u8]) -> Found,
}

impl Instance {
    /// Those that this processor can run.
    pub fn all() -> impl Iterator<Item = Self> {
        let portable = Self {
            name: "portable",
            long: portable::long,
            long_copy: portable::long_copy,
            text: portable::text,
            valid: portable::valid,
        };
        core::iter::once(portable).chain(Self::avx2())
    }

    #[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
    fn avx2() -> Option<Self> {
        let detected = || std::is_x86_feature_detected!("avx2");
        detected().then_some(Self { name: "avx2", long, long_copy, text, valid })
    }

    #[cfg(not(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64"))))]
    fn avx2() -> Option<Self> {
        None
    }

    /// Masks in place, from phase 0 of the key.
    pub fn apply(&self, masking_key: [u8; 4], payload: &mut [u8]) {
        mask::apply(payload, u32::from_le_bytes(masking_key), self.long);
    }

    /// Masks from `src` into `dst`, from phase 0 of the key. Both are of the same length.
    pub fn copy(&self, masking_key: [u8; 4], src: &[u8], dst: &mut [u8]) {
        assert_eq!(src.len(), dst.len());
        mask::copy(src, dst, u32::from_le_bytes(masking_key), self.long_copy);
    }

    /// Unmasks text in place, from phase 0 of the key, and says whether it is known to be valid, but for a
    /// character that may be cut at its end.
    pub fn apply_text(&self, masking_key: [u8; 4], payload: &mut [u8]) -> bool {
        let key = u32::from_le_bytes(masking_key);
        if payload.len() <= kernel::SHORT {
            kernel::short(payload, key).1
        } else {
            (self.text)(payload, key).1 != Found::Other
        }
    }

    /// Whether a text of 64 bytes or more is known to be valid, but for a character that may be cut at its
    /// end.
    pub fn valid(&self, text: &[u8]) -> bool {
        (self.valid)(text) != Found::Other
    }

    /// Whether it knows of all that is valid that it is, and not only of ASCII.
    pub fn knows_valid(&self) -> bool {
        self.name == "avx2"
    }
}
