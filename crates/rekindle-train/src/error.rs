//! Why a run stops.

use crate::scores::LOSS;

/// Why training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A number of the step is not finite.
    #[error("{what} is not finite at step {step}: {value}")]
    NotFinite {
        /// `the loss` or `the gradient norm`.
        what: &'static str,
        /// Number of the step, from 1.
        step: usize,
        /// The value.
        value: f64,
    },
    /// Trainable parameters that the loss does not reach.
    #[error("the loss reaches no gradient of {} trainable parameters: {}", .0.len(), .0.join(", "))]
    NoGradient(Vec<String>),
    /// No row has anything to learn from.
    #[error("no training row has a target")]
    NoTarget,
    /// The number that should choose the best weights is not one of the task's.
    #[error("unknown metric `{metric}`")]
    UnknownMetric {
        /// The name given.
        metric: String,
        /// The task's numbers.
        known: &'static [&'static str],
    },
    /// The best weights could not be saved.
    #[error("cannot save the weights")]
    Save(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TrainError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFinite { .. } => {
                Some("lower `--learning-rate`, or look for rows with extreme numbers".to_owned())
            }
            Self::NoGradient(_) => Some(
                "this is a fault of the model's code; training would leave these unchanged"
                    .to_owned(),
            ),
            Self::NoTarget => Some("look at the skipped rows named above".to_owned()),
            Self::UnknownMetric { known, .. } => {
                Some(format!("one of: auto, {LOSS}, {}", known.join(", ")))
            }
            Self::Save(_) => Some("free space or make the output folder writable".to_owned()),
        }
    }
}
