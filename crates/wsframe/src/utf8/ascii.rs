//! Whether long text is ASCII, as most of it is.

use crate::mask::kernel::{ALIGN, BLOCK, SHORT, Seen, short_is_ascii};

/// What is put together before it is decided whether to go on, in bytes.
const STRIDE: usize = 1 << 10;

/// How far a text is quickly seen to be ASCII, in bytes: all of it, or up to the stride that has something
/// else. Where its very first bytes are something else, those that follow are not likely to be ASCII; and
/// less than [`SHORT`] bytes are not looked at.
#[inline(always)]
pub(crate) fn start(text: &[u8]) -> usize {
    let plain = text.first_chunk::<32>().is_some_and(|start| short_is_ascii(start));
    if plain && text.len() >= SHORT { strides(text) } else { 0 }
}

/// As [`start`], of a text of [`SHORT`] bytes or more that begins with ASCII.
#[inline(always)]
pub(crate) fn strides(text: &[u8]) -> usize {
    let mut seen = Seen::<true>::default();
    let Some(last) = text.last_chunk::<BLOCK>() else {
        seen.add(text.first_chunk::<SHORT>().map_or(&[], |first| first));
        seen.add(text.last_chunk::<SHORT>().map_or(&[], |last| last));
        return if seen.is_ascii() { text.len() } else { 0 };
    };
    seen.add(text.first_chunk::<ALIGN>().map_or(&[], |first| first));
    let mut other = Seen::<true>::default();
    let mut done = text.as_ptr().addr().wrapping_neg() % ALIGN;
    for stride in text.get(done..).unwrap_or_default().chunks(STRIDE) {
        let (blocks, rest) = stride.as_chunks::<BLOCK>();
        // Two at a time, so that they need not wait for each other.
        for block in blocks {
            for (seen, half) in
                [&mut seen, &mut other].into_iter().zip(block.as_chunks::<{ BLOCK / 2 }>().0)
            {
                seen.add(half);
            }
        }
        if !rest.is_empty() {
            seen.add(last);
        }
        if !(seen.is_ascii() && other.is_ascii()) {
            // The first stride vouches for what is before it.
            return if done < ALIGN { 0 } else { done };
        }
        done += stride.len();
    }
    done
}
