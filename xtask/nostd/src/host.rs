//! What a program without std brings itself: an allocator, a panic handler, and a way to print.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

#[link(name = "c")]
unsafe extern "C" {
    fn write(fd: i32, bytes: *const u8, len: usize) -> isize;
    fn abort() -> !;
}

pub(crate) fn print(text: &str) {
    // SAFETY: the pointer and the length are of one live slice, and stdout needs no setup.
    unsafe { write(1, text.as_ptr(), text.len()) };
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print("nostd: panicked\n");
    // SAFETY: abort may be called at any time.
    unsafe { abort() }
}

/// The prebuilt `alloc` refers to these two, though nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: abort may be called at any time.
    unsafe { abort() }
}

/// Hands out 1 MiB from the front, and takes nothing back.
struct Bump {
    memory: UnsafeCell<[u8; 1 << 20]>,
    used: AtomicUsize,
}

// SAFETY: `memory` is only reached through ranges that `used` hands out once.
unsafe impl Sync for Bump {}

#[global_allocator]
static HEAP: Bump = Bump { memory: UnsafeCell::new([0; 1 << 20]), used: AtomicUsize::new(0) };

// SAFETY: each range lies inside `memory`, is aligned as asked, and is handed out once.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.get().cast::<u8>();
        let claim = |used: usize| {
            let padding = start.wrapping_add(used).align_offset(layout.align());
            used.checked_add(padding)?.checked_add(layout.size()).filter(|end| *end <= 1 << 20)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim) {
            // The range ends where `used` now stands and begins `size` before it, aligned by the padding.
            Ok(used) => claim(used)
                .map_or(core::ptr::null_mut(), |end| start.wrapping_add(end - layout.size())),
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
