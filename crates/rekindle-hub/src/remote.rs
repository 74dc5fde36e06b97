//! HTTP side of the Hub: requests, redirects, retries and listings.

mod address;
mod agents;
mod answer;
mod client;
mod listing;
mod proxy;
mod retry;

pub(crate) use answer::{Answer, Watch};
pub(crate) use client::{Ask, Client};
pub(crate) use listing::{Entry, commit};
pub(crate) use retry::Tries;
