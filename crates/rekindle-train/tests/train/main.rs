//! Recipes, losses and metrics; and the loop on a tiny model: which steps it takes, what it keeps, when it stops,
//! and how it continues.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;
mod losses;
mod metrics;
mod precision;
mod recipe;
mod resume;
mod saves;
mod steps;
