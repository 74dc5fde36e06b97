//! A checkpoint in memory.

use std::collections::BTreeMap;

use rekindle_nn::{ExportedTensor, ReadError, TensorSource};
use rekindle_train::run::{Saved, Snapshot};

/// The state of a run; its counters as the text that a file would hold.
#[derive(Clone, Debug)]
pub struct Held {
    progress: String,
    weights: Tensors,
    moments: Tensors,
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Held {
    /// Copies a run's state.
    ///
    /// # Panics
    /// If its counters have no text.
    pub fn new(snapshot: Snapshot) -> Self {
        let take = |tensors: Vec<ExportedTensor>| -> Tensors {
            let entry = |tensor: ExportedTensor| (tensor.name, (tensor.shape, (tensor.values)()));
            tensors.into_iter().map(entry).collect()
        };
        Self {
            progress: serde_json::to_string(snapshot.progress).expect("counters have a text"),
            weights: take(snapshot.weights),
            moments: take(snapshot.moments),
        }
    }

    /// The state as a run takes it.
    ///
    /// # Panics
    /// If the text of its counters cannot be read.
    pub fn saved(&self) -> Saved<'_> {
        Saved {
            progress: serde_json::from_str(&self.progress).expect("the text was written by `new`"),
            weights: source(&self.weights),
            moments: source(&self.moments),
        }
    }

    /// All numbers of its parameters and moments.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        let tensors = self.weights.values().chain(self.moments.values());
        tensors.flat_map(|(_, values)| values.iter().copied())
    }

    /// Names of the parameters that it holds.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.weights.keys().map(String::as_str)
    }
}

fn source(tensors: &Tensors) -> TensorSource<'_> {
    let shapes = tensors
        .iter()
        .map(|(name, (shape, _))| (name.clone(), shape.clone()));
    TensorSource::new(shapes, |name| {
        let found = tensors.get(name).map(|(_, values)| values.clone());
        found.ok_or_else(|| ReadError::from(format!("no tensor `{name}`")))
    })
}
