//! What is proved of language models: the rungs of the ladder, packing, and the cache.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::{
    CausalLm, CheckpointNames, Columns, Input, KvCache, Rows, Slots, TrainBackend, list,
};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::objective::{Objective, Target};
use rekindle_train::optimizer::{Gradients, to_host};
use rekindle_train::task::{Goal, Inner, Passed, TrainableBackend, TrainableModel, TrainableTask};
use rekindle_train::token_task::TokenTask;

use crate::ladder::{LOGITS, compare_gradients, follow_trajectory, per_row, to_vec, valid_part};
use crate::{Fixture, Subject, assert_close, laws};

/// Equal up to the order of additions in f32.
const ROUNDING: f64 = 1e-5;

/// Everything that is proved of a model with the weights of a fixture: against the reference, and against
/// itself packed and with a cache.
///
/// # Panics
/// At the first number that differs.
pub fn check<B, M>(fixture: &Fixture, mut model: M, (names, tolerance): (&dyn CheckpointNames, f64))
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    linears_have_the_names_of_their_parameters::<B, M>(&mut model);
    let rows: Vec<Row> = fixture.batches.concat();
    packing_changes_nothing::<B, M>(&model, &rows);
    cache_changes_nothing::<Inner<B>, _>(&model.valid(), &fixture.batches[2]);
    for layout in [Layout::Ragged, Layout::Padded { multiple: 8 }] {
        climb(fixture, &model, (names, tolerance), layout);
        follow_trajectory(fixture, &subject::<B, M>(fixture, model.clone()), layout);
    }
}

/// A model with the rows of a fixture.
pub fn subject<B, M>(fixture: &Fixture, model: M) -> Subject<B, M, TokenTask>
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    let (objective, rows) = (fixture.objective(), fixture.batches.concat());
    Subject::new(model, TokenTask::default(), objective, rows)
}

/// Runs every law on a few rows of a fixture, with random weights; the second model has dropout.
///
/// # Panics
/// If a law is broken.
pub fn obeys_the_laws<B, M>(fixture: &Fixture, [plain, dropping]: [M; 2])
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    let random = |model| {
        let subject = subject::<B, M>(fixture, model);
        let rows = subject.rows.into_iter().take(12).collect();
        Subject::<B, _, _>::random(subject.model, subject.task, subject.objective, rows)
    };
    laws::hold(&random(plain));
    laws::dropout_repeats_with_the_seed(&random(dropping));
}

/// The logits of a fixture's first batch, row by row, with those that it expects.
///
/// # Panics
/// If they differ.
pub fn logits_equal<B: TrainBackend, M: CausalLm<B>>(
    fixture: &Fixture,
    model: &M,
    device: &B::Device,
) {
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let lengths = rows.iter().map(|row| row.ids.len()).collect();
    let found = logits(model, &rows, Rows::ragged(lengths), device);
    let expected = valid_part(&fixture.expected("logits"), model.vocabulary(), &rows);
    assert_close("logits", &found, &expected, LOGITS);
}

/// Compares hidden states, logits, loss and every gradient of the first batch with the reference.
///
/// # Panics
/// At the first rung that differs.
pub fn climb<B, M>(
    fixture: &Fixture,
    model: &M,
    (names, tolerance): (&dyn CheckpointNames, f64),
    layout: Layout,
) where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    let device = model.devices().remove(0);
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let batch = || Batch::<B>::new(&rows, layout, &device);
    let placed = batch().rows;
    // A forward pass on tracked parameters that is never run backward spoils the graphs of later ones.
    let ids = Batch::<Inner<B>>::new(&rows, layout, &device).input.ids;
    let (mut rungs, logits) = rungs(&model.valid(), ids, placed.clone());
    rungs.push(("logits".to_owned(), logits));
    for (name, states) in rungs {
        let width = states.dims()[1];
        let found = per_row(&to_vec(states), width, &placed);
        let expected = valid_part(&fixture.expected(&name), width, &rows);
        assert_close(&name, &found, &expected, LOGITS);
    }
    for recomputes in [false, true] {
        let (passed, weight, gradients) = pass(model, batch(), &rows, recomputes);
        let loss = (passed.loss / weight) as f32;
        assert_close("loss", &[loss], &fixture.expected("loss"), LOGITS);
        compare_gradients(fixture, model, &gradients, (names, tolerance));
    }
}

/// States by their name in a fixture.
type Rung<B> = (String, Tensor<B, 2>);

/// The states after each part, and the logits of all slots.
fn rungs<B: TrainBackend, M: CausalLm<B>>(
    model: &M,
    ids: Tensor<B, 1, Int>,
    rows: Rows,
) -> (Vec<Rung<B>>, Tensor<B, 2>) {
    let place = model.place(Slots::Rows(rows), &ids.device());
    let mut hidden = model.embed(ids, &place);
    let mut rungs = vec![("hidden.embedding".to_owned(), hidden.clone())];
    for index in 0..model.num_blocks() {
        hidden = model.block(index, hidden, &place, None);
        rungs.push((format!("hidden.block.{index}"), hidden.clone()));
    }
    let hidden = model.norm(hidden);
    rungs.push(("hidden.norm".to_owned(), hidden.clone()));
    (rungs, model.project(hidden))
}

/// Logits of rows, token by token.
pub fn logits<B: TrainBackend, M: CausalLm<B>>(
    model: &M,
    rows: &[&Row],
    placed: Rows,
    device: &B::Device,
) -> Vec<f32> {
    let ids = placed.spread(0, |row, position| rows[row].ids[position]);
    let ids = Input::<B>::new(&ids, &ids, device).ids;
    let (_, logits) = rungs(model, ids, placed.clone());
    per_row(&to_vec(logits), model.vocabulary(), &placed)
}

/// Loss and gradients of a batch, and the weight of its targets.
fn pass<B, M>(
    model: &M,
    batch: Batch<B>,
    rows: &[&Row],
    recomputes: bool,
) -> (Passed, f64, Gradients<B>)
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    let targets: Vec<&Target> = rows.iter().map(|row| &row.target).collect();
    let objective = Objective::new(TaskKind::Generate, LabelSet::from_names(Vec::new()));
    let weight = targets.iter().map(|target| objective.weight(target)).sum();
    let goal = Goal {
        objective: &objective,
        targets: &targets,
        weight,
    };
    let mut gradients = Gradients::<B>::default();
    let passed = TokenTask { recomputes }.pass(model, batch, goal, &mut gradients);
    (passed, weight, gradients)
}

/// Rows that share packs have the logits, the loss and the gradients that they have alone.
///
/// # Panics
/// If they have not.
pub fn packing_changes_nothing<B, M>(model: &M, rows: &[Row])
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    let device = model.devices().remove(0);
    let rows: Vec<&Row> = rows.iter().take(8).collect();
    let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
    let packed = Rows::packed(lengths.clone(), vec![3, 1, 4], 4);
    let ragged = Rows::ragged(lengths);
    let inner = model.valid();
    let logits = |placed| logits::<Inner<B>, _>(&inner, &rows, placed, &device);
    let (alone, found) = (logits(ragged.clone()), logits(packed.clone()));
    assert_close("logits of packed rows", &found, &alone, ROUNDING);
    let pass = |placed| pass(model, batch::<B>(&rows, placed, &device), &rows, false);
    let ((alone, _, expected), (found, _, gradients)) = (pass(ragged), pass(packed));
    let relative = (found.loss - alone.loss).abs() / alone.loss;
    assert!(relative < ROUNDING, "loss: {} {}", found.loss, alone.loss);
    for parameter in list::<B, M>(model) {
        let name = &parameter.path.name;
        let of =
            |gradients: &Gradients<B>| to_host(gradients.get(name).expect("it is trained").clone());
        assert_close(name, &of(&gradients), &of(&expected), ROUNDING);
    }
}

fn batch<B: Backend>(rows: &[&Row], placed: Rows, device: &B::Device) -> Batch<B> {
    let ids = placed.spread(0, |row, position| rows[row].ids[position]);
    let (mut scored, mut next) = (Vec::new(), Vec::new());
    for (row, start) in rows.iter().zip(placed.starts()) {
        let Target::Tokens(weights) = &row.target else {
            panic!("the rows are a language model's");
        };
        let counted = weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0.0);
        for (token, weight) in counted {
            scored.push((start + token - 1) as i32);
            next.push((row.ids[token], *weight));
        }
    }
    Batch {
        input: Input::new(&ids, &ids, device),
        rows: placed,
        scored: Tensor::from_data(scored.as_slice(), device),
        next,
    }
}

/// Logits from a cache equal those without one at each position, for rows alone and for a batch of rows of
/// different lengths, padded on the left.
///
/// # Panics
/// If they do not.
pub fn cache_changes_nothing<B: TrainBackend, M: CausalLm<B>>(model: &M, rows: &[Row]) {
    let device = model.devices().remove(0);
    let rows: Vec<&Row> = rows.iter().collect();
    let expected: Vec<Vec<f32>> = rows
        .iter()
        .map(|row| logits(model, &[row], Rows::ragged(vec![row.ids.len()]), &device))
        .collect();
    for (row, expected) in rows.iter().zip(&expected) {
        let found = cached(model, &[row], &device);
        assert_close("a row alone", &found[0], expected, ROUNDING);
    }
    for (found, expected) in cached(model, &rows, &device).iter().zip(&expected) {
        assert_close("a row among others", found, expected, ROUNDING);
    }
}

/// Logits of the tokens of each row, a few columns read at once and the others one by one.
fn cached<B: TrainBackend, M: CausalLm<B>>(
    model: &M,
    rows: &[&Row],
    device: &B::Device,
) -> Vec<Vec<f32>> {
    let end = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
    let padding: Vec<usize> = rows.iter().map(|row| end - row.ids.len()).collect();
    let mut cache = KvCache::new(
        model.num_blocks(),
        model.heads(),
        [rows.len(), end + 1],
        device,
    );
    let mut found = vec![Vec::new(); rows.len()];
    let mut past = 0;
    while past < end {
        let width = if past == 0 { end.min(5) } else { 1 };
        let columns = Columns {
            padding: padding.clone(),
            past,
            width,
        };
        let ids = rows.iter().zip(&padding).flat_map(|(row, &padding)| {
            let columns = past..past + width;
            columns.map(move |column| {
                column
                    .checked_sub(padding)
                    .map_or(0, |token| row.ids[token])
            })
        });
        let ids: Vec<u32> = ids.collect();
        let place = model.place(Slots::Columns(columns), device);
        let mut hidden = model.embed(Input::<B>::new(&ids, &ids, device).ids, &place);
        for (index, layer) in cache.layers.iter_mut().enumerate() {
            hidden = model.block(index, hidden, &place, Some(layer));
        }
        let logits = to_vec(model.project(model.norm(hidden)));
        assert!(
            logits.iter().all(|logit| logit.is_finite()),
            "padding has numbers"
        );
        let lines: Vec<&[f32]> = logits.chunks(model.vocabulary()).collect();
        for (row, found) in found.iter_mut().enumerate() {
            let tokens = (0..width).filter(|column| past + column >= padding[row]);
            found.extend(tokens.flat_map(|column| lines[row * width + column]));
        }
        past += width;
    }
    found
}

/// Every linear layer is listed under the name of its parameters, and no other.
///
/// # Panics
/// If one is not.
pub fn linears_have_the_names_of_their_parameters<B, M>(model: &mut M)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
{
    let parameters = list::<B, M>(model).into_iter();
    let weights = parameters.filter(|parameter| {
        parameter.path.layer == "Linear" && parameter.path.name.ends_with(".weight")
    });
    let expected: BTreeMap<String, Vec<usize>> = weights
        .map(|parameter| (parameter.path.name, parameter.shape))
        .collect();
    let listed = model.linears_mut().into_iter();
    let found: BTreeMap<String, Vec<usize>> = listed
        .map(|(name, linear)| {
            (
                format!("{name}.weight"),
                linear.weight.lazy_shape().to_vec(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}
