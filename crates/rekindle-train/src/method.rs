//! Which parameters a run trains, and how fast.

use std::collections::{HashMap, HashSet};

use burn::module::Param;
use burn::tensor::Tensor;
use rekindle_data::TaskKind;
use rekindle_nn::{
    Adaptation, CheckpointNames, Depth, Lora, LoraError, Model, NamedMapper, ParameterPath, list,
    lora_scale, map_named,
};

use crate::recipe::{LoraRecipe, MethodKind, MethodRecipe};
use crate::task::TrainableBackend;

/// What a method needs to know of a model besides its layers.
#[derive(Clone, Copy)]
pub struct Anatomy<'a> {
    /// The names of its tensors, by which layers are chosen.
    pub names: &'a dyn CheckpointNames,
    /// The tensors that its checkpoint did not hold.
    pub fresh: &'a [String],
    /// What it is trained for.
    pub task: TaskKind,
    /// Seed of initial values.
    pub seed: u64,
}

/// Freezes what the method does not train: frozen parameters have no gradient and no optimizer state.
///
/// Adapters are put on first, and it is told where; the other methods adapt nothing.
pub fn apply<B: TrainableBackend, M: Model<B>>(
    mut model: M,
    method: &MethodRecipe,
    anatomy: &Anatomy,
) -> Result<(M, Adaptation), LoraError> {
    let lowest = match method.kind {
        MethodKind::Full => Depth::Embeddings,
        MethodKind::Head => Depth::Head,
        MethodKind::LastLayers => Depth::Block(model.num_blocks().saturating_sub(method.layers)),
        MethodKind::Lora => {
            let lora = lora(&method.lora(), anatomy)?;
            lora.check_names::<B, M>(&mut model, anatomy.names)?;
            return lora.apply::<B, M>(model, anatomy.names);
        }
    };
    Ok((freeze_below::<B, M>(model, lowest), Adaptation::default()))
}

/// The adapters that a recipe asks for, and what is trained in full beside them: as with peft the output
/// layer of a task with labels, and all that would else stay random.
fn lora(recipe: &LoraRecipe, anatomy: &Anatomy) -> Result<Lora, LoraError> {
    let mut modules_to_save = recipe.modules_to_save.clone();
    let mut save = |module: &str| {
        let is_known = modules_to_save.iter().any(|known| known == module);
        if !is_known {
            modules_to_save.push(module.to_owned());
        }
    };
    // The output layer of a language model is its embedding, or stands in its checkpoint.
    let is_language = matches!(anatomy.task, TaskKind::Generate | TaskKind::Mask);
    if !is_language {
        save(anatomy.names.output_module());
    }
    for tensor in anatomy.fresh {
        let module = tensor.rsplit_once('.').map_or("", |(module, _)| module);
        // What is a part of the output module is saved with it.
        let output = anatomy.names.output_module();
        if is_language || !module.starts_with(output) {
            save(module);
        }
    }
    Ok(Lora {
        rank: recipe.rank,
        scale: lora_scale(recipe.alpha, recipe.rank, recipe.rslora),
        dropout: recipe.dropout,
        targets: recipe.targets.parse()?,
        modules_to_save,
        seed: anatomy.seed,
    })
}

fn freeze_below<B: TrainableBackend, M: Model<B>>(model: M, lowest: Depth) -> M {
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
