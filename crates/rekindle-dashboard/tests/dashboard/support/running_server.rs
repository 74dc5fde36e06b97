//! A server in a thread of the test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rekindle_dashboard::server::{Server, Target};

/// Serves until it is dropped.
pub(crate) struct RunningServer {
    pub(crate) address: SocketAddr,
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RunningServer {
    /// Serves on a free port, in the belief that `is_held` tells of runs.
    pub(crate) fn start(
        target: Target,
        is_held: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Self {
        let server = Server::bind(target, 0, is_held).unwrap();
        let address = server.address();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let serve = move || server.run(|| done.load(Ordering::Relaxed)).unwrap();
        Self {
            address,
            is_done,
            thread: Some(std::thread::spawn(serve)),
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        let served = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            served.unwrap().unwrap();
        }
    }
}
