//! Masking: the contenders, and payloads for them.

use std::hint::black_box;
use std::ops::Range;

use crate::measure::Contender;

/// A masking key as good as any.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The sizes that are measured, in bytes.
pub const SIZES: [usize; 24] = [
    4,
    8,
    12,
    16,
    20,
    32,
    48,
    64,
    65,
    100,
    125,
    128,
    200,
    255,
    256,
    300,
    512,
    1000,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    1 << 20,
    8 << 20,
];

/// Payloads of one size, as many as the nearest cache holds with ease, since masking the same small
/// payload again and again would measure how fast a store comes back as a load.
pub struct Payloads {
    buffer: Vec<u8>,
    src_start: usize,
    dst_start: usize,
    size: usize,
    stride: usize,
    count: usize,
}

impl Payloads {
    /// Each begins `offset` bytes after a multiple of 64.
    pub fn new(size: usize, offset: usize) -> Self {
        let stride = (size + offset).next_multiple_of(64);
        let count = (12288 / stride).clamp(1, 32);
        // Half a page apart modulo pages: at equal offsets into a page, a load waits for a store
        // that it only seems to depend on, and copying takes twice as long.
        let distance = (stride * count).next_multiple_of(4096) + 2048;
        let buffer: Vec<u8> = (0..2 * distance + 128).map(|i| i as u8).collect();
        let src_start = buffer.as_ptr().align_offset(64) + offset;
        let dst_start = src_start + distance;
        Self { buffer, src_start, dst_start, size, stride, count }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn range(&self, start: usize, i: usize) -> Range<usize> {
        // The compiler may not know the size: it would unroll its loops for it.
        let start = start + i * self.stride;
        start..start + black_box(self.size)
    }

    /// Calls `f` with each payload.
    #[inline(always)]
    pub fn each(&mut self, mut f: impl FnMut(&mut [u8])) {
        for i in 0..self.count {
            let range = self.range(self.src_start, i);
            f(&mut self.buffer[range]);
        }
    }

    /// Calls `f` with each payload and where to put it.
    #[inline(always)]
    pub fn each_pair(&mut self, mut f: impl FnMut(&[u8], &mut [u8])) {
        for i in 0..self.count {
            let (src, dst) = (self.range(0, i), self.range(self.dst_start - self.src_start, i));
            let (left, right) = self.buffer[self.src_start..].split_at_mut(dst.start);
            f(&left[src], &mut right[..dst.len()]);
        }
    }
}

/// Masks in place: the function of each contender, to be asserted.
#[inline(always)]
pub fn apply(name: &str, payload: &mut [u8]) {
    match name {
        "ours" => wsframe::Mask::new(black_box(KEY)).apply(payload),
        "sockudo-ws" => sockudo_ws::mask::apply_mask(payload, black_box(KEY)),
        "fastwebsockets" => fastwebsockets::unmask(payload, black_box(KEY)),
        _ => naive(payload),
    }
}

/// Those who mask in place.
pub const IN_PLACE: [&str; 4] = ["ours", "sockudo-ws", "fastwebsockets", "naive"];

fn naive(payload: &mut [u8]) {
    let key = black_box(KEY);
    for (i, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[i % 4];
    }
}

/// memcpy first, then all who mask in place, and our copying mask last.
pub fn contenders() -> Vec<Contender<'static, Payloads>> {
    vec![
        Contender::new("memcpy", |payloads: &mut Payloads| {
            payloads.each_pair(|src, dst| dst.copy_from_slice(src));
        }),
        Contender::new("ours", |payloads: &mut Payloads| {
            payloads.each(|payload| apply("ours", payload));
        }),
        Contender::new("sockudo-ws", |payloads: &mut Payloads| {
            payloads.each(|payload| apply("sockudo-ws", payload));
        }),
        Contender::new("fastwebsockets", |payloads: &mut Payloads| {
            payloads.each(|payload| apply("fastwebsockets", payload));
        }),
        Contender::new("naive", |payloads: &mut Payloads| {
            payloads.each(|payload| apply("naive", payload));
        }),
        Contender::new("ours, copying", |payloads: &mut Payloads| {
            payloads.each_pair(|src, dst| {
                wsframe::Mask::new(black_box(KEY)).copy(src, dst);
            });
        }),
    ]
}

/// Panics unless all contenders mask as the naive loop does.
pub fn assert_equal() {
    let input: Vec<u8> = (0..5000).map(|i| (i * 7) as u8).collect();
    for len in (0..300).chain([1000, 4096, 4999]) {
        let mut expected = input[..len].to_vec();
        naive(&mut expected);
        for name in IN_PLACE {
            let mut masked = input[..len].to_vec();
            apply(name, &mut masked);
            assert_eq!(masked, expected, "{name} masks {len} bytes wrong");
        }
        let mut copy = vec![0; len];
        wsframe::Mask::new(KEY).copy(&input[..len], &mut copy);
        assert_eq!(copy, expected, "our copying mask of {len} bytes is wrong");
    }
}
