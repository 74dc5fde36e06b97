//! Why a run stops.

use crate::batch::RowFailure;
use crate::scores::LOSS;

/// Why training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A number was not finite in too many steps, one after the other.
    #[error(
        "the {what} was not finite in {in_a_row} steps in a row, last {value} in step {step} (rows {})",
        .rows.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
    )]
    Diverged {
        /// `loss` or `gradient norm`.
        what: String,
        /// The last value.
        value: f64,
        /// Number of the last step, from 1.
        step: usize,
        /// How many steps.
        in_a_row: usize,
        /// Numbers of the last step's rows among the training rows, from 1.
        rows: Vec<usize>,
    },
    /// The device or its driver failed: what it computes can no longer be trusted.
    #[error("the device failed: {message}")]
    Device {
        /// What it told.
        message: String,
    },
    /// A checkpoint does not fit the model.
    #[error("the checkpoint does not fit")]
    Restore(#[from] rekindle_nn::WeightsError),
    /// Early stopping needs evaluations.
    #[error("`checkpoint.patience` is set, and there are no validation rows")]
    PatienceWithoutRows,
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
    /// A training row could not be made.
    #[error("cannot read training row {row}")]
    Row {
        /// Its place among the training rows, from 1.
        row: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the model forgets could not be measured.
    #[error("cannot measure the loss on the general text")]
    General(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The best weights could not be saved.
    #[error("cannot save the weights")]
    Save(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TrainError {
    /// Tells which row of the training or validation rows could not be made.
    pub(crate) fn row(index: usize) -> impl Fn(RowFailure) -> Self {
        move |source| Self::Row {
            row: index + 1,
            source,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Diverged { .. } => Some(
                "lower `--learning-rate`, or look for extreme numbers in those rows; the last good checkpoint is kept"
                    .to_owned(),
            ),
            Self::Device { .. } => Some(
                "`rekindle doctor --selftest` tests the device; `--backend flex` trains on the processor"
                    .to_owned(),
            ),
            Self::Restore(_) => {
                Some("start over with another `--output`, and without `--resume`".to_owned())
            }
            Self::PatienceWithoutRows => Some(
                "give `--valid`, or set `data.valid_fraction` above 0".to_owned(),
            ),
            Self::NoGradient(_) => Some(
                "this is a fault of the model's code; training would leave these unchanged"
                    .to_owned(),
            ),
            Self::NoTarget => Some("look at the skipped rows named above".to_owned()),
            Self::UnknownMetric { known, .. } => {
                Some(format!("one of: auto, {LOSS}, {}", known.join(", ")))
            }
            Self::Row { .. } => Some(
                "the last checkpoint is kept: mend the disk, and go on with `--resume`".to_owned(),
            ),
            Self::General(_) => Some("leave `data.general` out to train without".to_owned()),
            Self::Save(_) => Some("free space or make the output folder writable".to_owned()),
        }
    }
}
