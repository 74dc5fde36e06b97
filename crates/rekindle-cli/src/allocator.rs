//! Memory of tensors, which are large and short-lived.
#![expect(unsafe_code, reason = "options of `mimalloc` have no safe setter")]

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// The C library's allocator gives pages back to the system and faults them in again at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds until free pages are given back. The crate does not name it; `mimalloc` keeps the numbers of
/// its options.
const MI_OPTION_PURGE_DELAY: mi_option_t = 15;

/// Keeps pages that are free: the next step takes them again, and it may be longer than the second after
/// which `mimalloc` gives them back. `MIMALLOC_PURGE_DELAY` in the environment says otherwise.
pub(crate) fn keep_pages() {
    // SAFETY: the number is that of an option, of which a number is stored.
    unsafe {
        mi_option_set_default(MI_OPTION_PURGE_DELAY, -1);
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_a_second() {
        // SAFETY: as above.
        let delay = || unsafe { mi_option_get(MI_OPTION_PURGE_DELAY) };
        assert_eq!(delay(), 1000);
        keep_pages();
        assert_eq!(delay(), -1);
    }
}
