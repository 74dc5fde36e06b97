//! Recipe, training loop, losses, optimizer, schedules, metrics and events.
//!
//! [`run`](run::run) is the loop. It knows tasks and models by what they can do, and nothing of files:
//! events go to a sink, weights to a hook.

pub mod batch;
pub mod distillation;
pub mod error;
pub mod evaluate;
pub mod events;
pub mod mask_task;
pub mod method;
pub mod metrics;
pub mod objective;
pub mod optimizer;
pub mod precision;
pub mod projection;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod scores;
pub mod stems;
pub mod task;
pub mod token_task;
