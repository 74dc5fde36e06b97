//! What holds for every model with low-rank adapters.

use rekindle_nn::{Depth, merge};
use rekindle_train::batch::Layout;
use rekindle_train::recipe::{MethodKind, Recipe};
use rekindle_train::task::{Inner, TrainableBackend, TrainableModel, TrainableTask};

use super::{ROUNDING, plain_recipe, values};
use crate::{Subject, assert_close};

pub(super) fn hold<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    a_new_adapter_changes_nothing(subject);
    only_adapters_and_the_head_move(subject);
    a_merged_adapter_answers_as_before(subject);
}

fn recipe(steps: usize) -> Recipe {
    let mut recipe = plain_recipe(steps, 4, 1e-2);
    recipe.method.kind = MethodKind::Lora;
    recipe
}

fn logits<B, M, T>(subject: &Subject<B, M, T>, model: &M) -> Vec<f32>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let device = model.devices().remove(0);
    let runner = subject.runner(Layout::Ragged, 4);
    runner
        .outputs::<Inner<B>, _>(&model.valid(), &subject.rows, &device)
        .concat()
}

/// `B` is zero.
fn a_new_adapter_changes_nothing<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let adapted = subject.adapt(&recipe(1));
    let (found, expected) = (logits(subject, &adapted), logits(subject, &subject.model));
    assert_eq!(found, expected, "logits with a new adapter");
}

fn only_adapters_and_the_head_move<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let recipe = recipe(3);
    let before = values::<B, M>(&subject.adapt(&recipe));
    let (trained, _, _) = subject.train(&recipe, Layout::Ragged);
    let mut adapters = 0;
    for ((path, before), (_, after)) in before.iter().zip(values::<B, M>(&trained)) {
        let moved = before
            .iter()
            .zip(&after)
            .any(|(a, b)| a.to_bits() != b.to_bits());
        let is_adapter = path.name.contains(".adapter.");
        adapters += usize::from(is_adapter);
        let is_output = path.name.starts_with("classifier");
        // Which other layers of a head are trained in full depends on their names.
        let is_head = subject.model.depth(path) == Depth::Head && !is_adapter && !is_output;
        if !is_head {
            let is_trained = is_adapter || is_output;
            assert_eq!(moved, is_trained, "whether `{}` moved", path.name);
        }
    }
    assert!(
        adapters > 2 * subject.model.num_blocks(),
        "{adapters} parts"
    );
}

fn a_merged_adapter_answers_as_before<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let (trained, _, _) = subject.train(&recipe(3), Layout::Ragged);
    let expected = logits(subject, &trained);
    assert_ne!(expected, logits(subject, &subject.model));
    let merged = merge::<B, M>(trained).expect("it has adapters");
    assert_close("logits", &logits(subject, &merged), &expected, ROUNDING);
    assert!(merge::<B, M>(merged).is_err(), "a second merge is refused");
}
