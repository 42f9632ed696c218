//! The allocator, and giving memory back to the system. The one place with `unsafe`: see ADR 23, 32 and 62.
#![allow(unsafe_code, reason = "the allocator's own functions are C")]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};
use tollway::up::Memory;

#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

/// How every block is aligned that is at least as long (`MI_MAX_ALIGN_SIZE`).
const ALIGNED_BYTES: usize = 16;

/// mimalloc, asked for an alignment only where it has to be: asked for any, it takes a slow way for each block whose size is
/// no power of two, and for its end (ADR 62).
struct Mimalloc;

/// Whether a block of this size is aligned as it has to be, unasked.
const fn is_aligned(bytes: usize, align: usize) -> bool {
    align <= ALIGNED_BYTES && align <= bytes
}

// SAFETY: all functions are those of one allocator; each block is at least as long and as aligned as its layout says, by
// `ALIGNED_BYTES` or because it was asked for; null tells that there is no memory. None of them unwinds.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (bytes, align) = (layout.size(), layout.align());
        // SAFETY: any size will do, and alignments of layouts are powers of two.
        unsafe {
            if is_aligned(bytes, align) {
                mi_malloc(bytes)
            } else {
                mi_malloc_aligned(bytes, align)
            }
        }
        .cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (bytes, align) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        unsafe {
            if is_aligned(bytes, align) {
                mi_zalloc(bytes)
            } else {
                mi_zalloc_aligned(bytes, align)
            }
        }
        .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller has it from one of these functions.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let (block, align) = (block.cast(), layout.align());
        // SAFETY: as in `alloc` and `dealloc`.
        unsafe {
            if is_aligned(bytes, align) {
                mi_realloc(block, bytes)
            } else {
                mi_realloc_aligned(block, bytes, align)
            }
        }
        .cast()
    }
}

/// Keeps memory in small pages. The allocator asks the kernel for huge ones where it may, and then two megabytes stay for
/// a few bytes that are left in them: a third of all. To be called before there is much to keep.
pub(crate) fn small_pages() {
    // A kernel without the call has no huge pages to avoid.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// What the platform is told of it.
pub(crate) const GIVING: Memory = Memory {
    give_back,
    give_back_aged,
};

/// Gives back what was freed: hashing the first password takes 19 MiB for a moment, and the allocator would keep them,
/// since nothing makes it look again on a platform that has just started and has nothing to do.
fn give_back() {
    collect(true);
}

/// Gives back what this thread freed a while ago. The allocator does so by itself while it is asked for much; this is for a
/// thread that nobody asks anything after a crowd has gone.
fn give_back_aged() {
    collect(false);
}

fn collect(all: bool) {
    // SAFETY: it may be called at any time, from any thread; it touches memory that nobody uses alone.
    unsafe { libmimalloc_sys::mi_collect(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule that most blocks go by: nothing else says how the C code aligns them.
    #[test]
    fn blocks_are_aligned_unasked() {
        for bytes in 1..5_000_usize {
            for align in [1, 2, 4, 8, 16, 32, 4096] {
                let layout = Layout::from_size_align(bytes, align).unwrap();
                // SAFETY: no size is 0, and each block is freed as it was made.
                unsafe {
                    let block = ALLOCATOR.alloc_zeroed(layout);
                    assert!(block.addr().is_multiple_of(align), "{layout:?}");
                    assert_eq!((*block, *block.add(bytes - 1)), (0, 0));
                    block.add(bytes - 1).write(7);
                    let longer = ALLOCATOR.realloc(block, layout, bytes * 3);
                    assert!(longer.addr().is_multiple_of(align), "{layout:?}");
                    assert_eq!(*longer.add(bytes - 1), 7);
                    let layout = Layout::from_size_align(bytes * 3, align).unwrap();
                    ALLOCATOR.dealloc(longer, layout);
                    let block = ALLOCATOR.alloc(layout);
                    assert!(block.addr().is_multiple_of(align), "{layout:?}");
                    ALLOCATOR.dealloc(block, layout);
                }
            }
        }
    }
}
