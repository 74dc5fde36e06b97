//! What happens around a training run: the user's signals, and devices that fail on their own threads.

use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use rekindle::dashboard::Terminal;
use rekindle::train::Control;

use crate::failure::INTERRUPTED;
use crate::progress::note;

/// Makes forward passes fail as a device does: `out-of-memory:ROWS` or `device:PASSES`. For tests of the
/// way back, which no real device can be asked to take.
const FAULT: &str = "REKINDLE_FAULT";

/// Threads whose panics say nothing of a device.
const OWN_THREADS: [&str; 3] = ["main", "dashboard", "ctrl-c"];

/// The surroundings of a run.
#[derive(Default)]
pub(crate) struct Watch {
    is_stopped: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<String>>>,
    fault: Option<Fault>,
    passes: AtomicUsize,
}

enum Fault {
    /// No room for more rows than these.
    OutOfMemory(usize),
    /// Fails after so many forward passes.
    Device(usize),
}

impl Watch {
    /// Listens to signals and panics from here on.
    pub(crate) fn start() -> Result<Self> {
        let watch = Self {
            fault: std::env::var(FAULT)
                .ok()
                .map(|text| fault(&text))
                .transpose()?,
            ..Self::default()
        };
        let is_stopped = Arc::clone(&watch.is_stopped);
        ctrlc::set_handler(move || {
            if is_stopped.swap(true, Ordering::Relaxed) {
                Terminal::give_back();
                std::process::exit(i32::from(INTERRUPTED));
            }
            note("stopping after this step; press Ctrl-C again to stop at once");
        })?;
        let failure = Arc::clone(&watch.failure);
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = thread::current();
            if !thread
                .name()
                .is_some_and(|name| OWN_THREADS.contains(&name))
            {
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| info.to_string());
            }
            previous(info);
        }));
        Ok(watch)
    }

    /// The flag that stops the run after its step.
    pub(crate) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_stopped)
    }
}

fn fault(text: &str) -> Result<Fault> {
    let (kind, number) = text.split_once(':').unwrap_or((text, "0"));
    let number = number
        .parse()
        .with_context(|| format!("{FAULT} is not understood: {text}"))?;
    match kind {
        "out-of-memory" => Ok(Fault::OutOfMemory(number)),
        "device" => Ok(Fault::Device(number)),
        _ => bail!("{FAULT} is not understood: {text}"),
    }
}

impl Control for Watch {
    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn device_failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn on_forward(&self, rows: usize) {
        let passes = self.passes.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Some(Fault::OutOfMemory(most)) if rows > most => panic!("out of memory ({FAULT})"),
            Some(Fault::Device(after)) if passes >= after => panic!("device lost ({FAULT})"),
            _ => {}
        }
    }
}
