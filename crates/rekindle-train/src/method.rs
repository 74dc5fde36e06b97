//! Which parameters a run trains, and how fast.

use std::collections::{HashMap, HashSet};

use burn::module::Param;
use burn::tensor::Tensor;
use rekindle_nn::{Depth, Model, NamedMapper, ParameterPath, list, map_named};

use crate::recipe::{MethodKind, MethodRecipe};
use crate::task::TrainableBackend;

/// Freezes what the method does not train: frozen parameters have no gradient and no optimizer state.
#[must_use]
pub fn apply<B: TrainableBackend, M: Model<B>>(model: M, method: &MethodRecipe) -> M {
    struct Freeze(HashSet<String>);
    impl<B: TrainableBackend> NamedMapper<B> for Freeze {
        fn map<const D: usize>(
            &mut self,
            path: &ParameterPath,
            parameter: Param<Tensor<B, D>>,
        ) -> Param<Tensor<B, D>> {
            let is_trained = !self.0.contains(&path.name);
            // `map` forces a lazy value, so that clones share one.
            parameter.map(|tensor| tensor.set_require_grad(is_trained))
        }
    }
    let lowest = match method.kind {
        MethodKind::Full => Depth::Embeddings,
        MethodKind::Head => Depth::Head,
        MethodKind::LastLayers => Depth::Block(model.num_blocks().saturating_sub(method.layers)),
    };
    let paths = list::<B, M>(&model)
        .into_iter()
        .map(|parameter| parameter.path);
    let frozen = paths
        .filter(|path| model.depth(path) < lowest)
        .map(|path| path.name)
        .collect();
    map_named::<B, M>(model, &mut Freeze(frozen))
}

/// Factor on the learning rate of each parameter, by its name.
pub fn rate_factors<B: TrainableBackend, M: Model<B>>(
    model: &M,
    layer_decay: f64,
) -> HashMap<String, f64> {
    let paths = list::<B, M>(model)
        .into_iter()
        .map(|parameter| parameter.path);
    let factor =
        |path: &ParameterPath| rate_factor(model.depth(path), model.num_blocks(), layer_decay);
    paths
        .map(|path| (path.name.clone(), factor(&path)))
        .collect()
}

/// 1 for the head, and for each block the decay times the factor of what is above it (Howard and
/// Ruder, 2018).
fn rate_factor(depth: Depth, num_blocks: usize, layer_decay: f64) -> f64 {
    let below_head = match depth {
        Depth::Head => 0,
        Depth::Block(index) => num_blocks - index,
        Depth::Embeddings => num_blocks + 1,
    };
    layer_decay.powi(below_head as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_learns_slower_than_the_one_above() {
        let factors = [
            Depth::Head,
            Depth::Block(2),
            Depth::Block(0),
            Depth::Embeddings,
        ]
        .map(|depth| rate_factor(depth, 3, 0.5));
        assert_eq!(factors, [1.0, 0.5, 0.125, 0.0625]);
    }
}
