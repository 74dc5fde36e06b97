//! Files of labeled texts, and the bundled reviews.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod bundled;
mod reading;
