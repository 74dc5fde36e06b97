//! Dropout whose masks can be drawn again.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::noise::Factors;
use crate::{Noise, TrainBackend, cast};

/// Zeroes elements at random in training, and scales the others so that the mean is kept.
///
/// It is on where a forward pass brings [`Noise`], and the identity elsewhere: the backend type does not
/// matter.
#[derive(Module, Clone, Debug)]
pub struct Dropout {
    probability: f64,
    site: usize,
}

impl Dropout {
    /// Dropout at a place of the model that no other dropout of it shares.
    ///
    /// # Panics
    /// If the probability is outside `[0, 1)`.
    pub fn new(probability: f64, site: usize) -> Self {
        assert!(
            (0.0..1.0).contains(&probability),
            "a dropout probability is in [0, 1)"
        );
        Self { probability, site }
    }

    /// Drops elements of a tensor of any shape.
    pub fn forward<B: TrainBackend, const D: usize>(
        &self,
        x: Tensor<B, D>,
        noise: Option<Noise>,
    ) -> Tensor<B, D> {
        match self.active(noise) {
            Some(noise) => B::drop_out(x, self, noise),
            None => x,
        }
    }

    /// Adds a branch, of which elements are dropped, to what it branched from.
    ///
    /// # Shapes
    /// - x, branch, output: `[N, D]`
    pub fn add<B: TrainBackend>(
        &self,
        x: Tensor<B, 2>,
        branch: Tensor<B, 2>,
        noise: Option<Noise>,
    ) -> Tensor<B, 2> {
        B::add(x, branch, self.with(noise))
    }

    /// Itself with the noise, where any element is dropped.
    pub(crate) fn with(&self, noise: Option<Noise>) -> Option<(&Self, Noise)> {
        self.active(noise).map(|noise| (self, noise))
    }

    /// [`Self::forward`] composed of Burn's operations.
    pub(crate) fn compose<B: Backend, const D: usize>(
        &self,
        x: Tensor<B, D>,
        noise: Option<Noise>,
    ) -> Tensor<B, D> {
        let Some(noise) = self.active(noise) else {
            return x;
        };
        let shape = x.shape();
        let mask = noise.mask(self.site as u64, self.probability, shape.num_elements());
        let mask = Tensor::<B, D>::from_data(TensorData::new(mask, shape), &x.device());
        let dtype = x.dtype();
        x * cast(mask, dtype)
    }

    /// Its factors, where any element is dropped.
    pub(crate) fn factors(&self, noise: Option<Noise>) -> Option<Factors> {
        let noise = self.active(noise)?;
        Some(noise.factors(self.site as u64, self.probability))
    }

    /// The noise, where any element is dropped.
    fn active(&self, noise: Option<Noise>) -> Option<Noise> {
        noise.filter(|_| self.probability > 0.0)
    }
}
