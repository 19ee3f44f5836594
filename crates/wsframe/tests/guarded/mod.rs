//! Memory that ends, at both ends, in a page that cannot be touched.

/// A page for data between two that fault.
pub(crate) struct Guarded {
    start: *mut u8,
}

const PAGE: usize = 4096;

impl Guarded {
    /// Maps the pages.
    pub(crate) fn new() -> Self {
        // SAFETY: a new anonymous mapping touches no memory there is.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                3 * PAGE,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        let start = start.cast::<u8>().wrapping_add(PAGE);
        // SAFETY: the page in the middle of the mapping is ours, and nothing refers to it yet.
        let result =
            unsafe { libc::mprotect(start.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(result, 0);
        Self { start }
    }

    /// `len` bytes at the end of the page, or at its start.
    pub(crate) fn slice(&mut self, len: usize, at_end: bool) -> &mut [u8] {
        assert!(len <= PAGE);
        let offset = if at_end { PAGE - len } else { 0 };
        // SAFETY: the range is in the page, which is readable, writable, initialised with zeros, and
        // borrowed from `self` as long as the slice is.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: it is the whole mapping, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.wrapping_sub(PAGE).cast(), 3 * PAGE) };
    }
}
