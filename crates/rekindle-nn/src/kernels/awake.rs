//! Threads that wait for the next operation without going to sleep.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rayon::Yield;

/// Times that a thread pauses before it looks for work again.
const PAUSES: usize = 32;

/// While it lives, the threads that share operations look for work all the time.
///
/// On a batch of short texts an operation takes less time than waking a thread, and between two of them a
/// thread would go to sleep.
#[derive(Debug)]
pub struct Awake {
    is_over: Arc<AtomicBool>,
}

impl Awake {
    pub(crate) fn new() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let awake = Self {
            is_over: Arc::clone(&is_over),
        };
        // Where the pool counts this thread among its own, it is the one that hands out the work.
        let here = rayon::current_thread_index();
        rayon::spawn_broadcast(move |context| {
            if Some(context.index()) == here {
                return;
            }
            while !is_over.load(Ordering::Relaxed) {
                if rayon::yield_now() != Some(Yield::Executed) {
                    (0..PAUSES).for_each(|_| hint::spin_loop());
                    thread::yield_now();
                }
            }
        });
        awake
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_work_while_they_are_awake_and_rest_afterwards() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let pool = pool.expect("threads start");
        pool.install(|| {
            for _ in 0..100 {
                let _awake = Awake::new();
                let [left, right] = [1, 2].map(|number| move || number);
                assert_eq!(rayon::join(left, right), (1, 2));
            }
        });
        // Each thread answers when it has ended what it was told before.
        assert_eq!(pool.broadcast(|thread| thread.index()), [0, 1, 2]);
    }
}
