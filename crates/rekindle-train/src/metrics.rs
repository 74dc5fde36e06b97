//! What an evaluation measures, each number defined as scikit-learn, scipy or seqeval define it.
//!
//! Precision of a class is the share of its predictions that are right, recall the share of its
//! occurrences that are found, F1 = 2·hits / (predicted + expected). A ratio without a denominator
//! is 0 (`zero_division=0`), so every score of an empty evaluation is 0 and none is NaN.
//!
//! | report | number | definition |
//! |---|---|---|
//! | [`ClassReport`] | `accuracy` | share of rows whose class is right |
//! | | `macro_f1` | mean F1 of the classes that occur among the expected or the predicted ones |
//! | | `micro_f1` | F1 of the counts summed over classes; equals accuracy where each row has one class |
//! | | `mcc` | Matthews correlation of the confusion matrix (Gorodkin 2004), 0 where undefined |
//! | [`MultiLabelReport`] | `micro_f1` | F1 of the counts summed over labels |
//! | | `macro_f1` | mean F1 of all labels, those that never occur included (as 0) |
//! | | `subset_accuracy` | share of rows whose whole set of labels is right |
//! | [`RegressionReport`] | `mse`, `mae` | mean squared and mean absolute error |
//! | | `pearson` | linear correlation; none where it is undefined |
//! | | `spearman` | Pearson correlation of the ranks, ties sharing their mean rank; none likewise |
//! | [`EntityReport`] | `precision`, `recall`, `f1` | micro-averaged over entities: type and both ends must be right |
//! | | `token_accuracy` | share of tokens whose tag is right, `O` included |
//!
//! Entities are read from tags as `conlleval` and seqeval's default mode do; see [`entities`].

mod classification;
mod entities;
mod multi_label;
mod regression;
mod score;

pub use classification::{ClassReport, classification};
pub use entities::{EntityReport, entities};
pub use multi_label::{MultiLabelReport, multi_label};
pub use regression::{RegressionReport, regression};
pub use score::ClassScore;
