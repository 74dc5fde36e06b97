//! The loop on a tiny model: which steps it takes, what it keeps, when it stops, and how it goes on.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;
mod precision;
mod resume;
mod saves;
mod steps;
