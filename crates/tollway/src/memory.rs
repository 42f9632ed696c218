//! The allocator, and giving memory back to the system. The one place with `unsafe`: see ADR 23 and 32.
#![allow(unsafe_code, reason = "the allocator's own functions are C")]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps memory in small pages. The allocator asks the kernel for huge ones where it may, and then two megabytes stay for
/// a few bytes that are left in them: a third of all. To be called before there is much to keep.
pub(crate) fn small_pages() {
    // A kernel without the call has no huge pages to avoid.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Gives back what was freed: hashing the first password takes 19 MiB for a moment, and the allocator would keep them,
/// since nothing makes it look again on a platform that has just started and has nothing to do.
pub(crate) fn give_back() {
    // SAFETY: it may be called at any time, from any thread; it touches memory that nobody uses alone.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
