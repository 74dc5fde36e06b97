//! The loop on a tiny model: which steps it takes, what it keeps, and when it stops.

use burn::module::{AutodiffModule, Module};
use burn::tensor::{Tensor, backend::Backend};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_data::{Batching, LabelSet, TaskKind};
use rekindle_nn::{
    Classifier, Depth, Embedding, Input, Linear, Model, ParameterPath, Rows, TrainBackend,
    initialize,
};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::error::TrainError;
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{Event, Finish, Step};
use rekindle_train::method;
use rekindle_train::objective::{Objective, Target};
use rekindle_train::optimizer::{AdamW, Gradients};
use rekindle_train::recipe::{Every, MethodKind, Recipe, ScheduleKind};
use rekindle_train::run::{Data, Hooks, Plan, run};
use rekindle_train::task::{RowTask, Task};

type B = Autodiff<Flex>;

/// Scores a row by its first token.
#[derive(Module, Debug)]
struct Stub<B: Backend> {
    embedding: Embedding<B>,
    block: Linear<B>,
    head: Linear<B>,
    /// Reached by no loss.
    spare: Option<Linear<B>>,
}

impl<B: Backend> Model<B> for Stub<B> {
    fn num_blocks(&self) -> usize {
        1
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        match path.name.split('.').next() {
            Some("embedding") => Depth::Embeddings,
            Some("block") => Depth::Block(0),
            _ => Depth::Head,
        }
    }
}

impl<B: TrainBackend> Classifier<B> for Stub<B> {
    fn classify(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let starts: Vec<i32> = rows
            .starts()
            .into_iter()
            .map(|start| start as i32)
            .collect();
        let firsts = Tensor::from_data(starts.as_slice(), &input.ids.device());
        let first = self.embedding.forward(input.ids.select(0, firsts));
        self.head.forward(self.block.forward(first).tanh())
    }
}

/// A model, its rows and its recipe.
struct Lab {
    model: Stub<B>,
    objective: Objective,
    train: Vec<Row>,
    valid: Vec<Row>,
    recipe: Recipe,
    /// Steps after which the user asks to stop.
    patience: usize,
}

/// What a run told and kept.
#[derive(Default)]
struct Record {
    steps: Vec<Step>,
    /// Steps of evaluations, and whether they were the best so far.
    evaluations: Vec<(usize, bool)>,
    /// Steps of ends of epochs.
    epochs: Vec<usize>,
    /// Steps after which weights were kept, with the last ones.
    saves: Vec<usize>,
    kept: Option<Stub<Flex>>,
}

const TOKENS: u32 = 6;
const WIDTH: usize = 4;

fn model(outputs: usize) -> Stub<B> {
    let device = FlexDevice;
    let model = Stub {
        embedding: Embedding::new(TOKENS as usize, WIDTH, &device),
        block: Linear::new(WIDTH, WIDTH, &device),
        head: Linear::new(WIDTH, outputs, &device),
        spare: None,
    };
    initialize::<B, _>(model, 3, 0.5)
}

/// Rows of different lengths whose class is told by their first token.
fn rows(count: u32, class: impl Fn(u32) -> usize) -> Vec<Row> {
    let row = |index: u32| {
        let length = 1 + index as usize % 3;
        Row {
            ids: vec![index % TOKENS; length],
            type_ids: vec![0; length],
            target: Target::Class(class(index % TOKENS)),
        }
    };
    (0..count).map(row).collect()
}

fn lab(num_rows: u32) -> Lab {
    let names = ["even", "odd"].map(str::to_owned).to_vec();
    let mut recipe = Recipe::default();
    recipe.train.learning_rate = Some(0.01);
    recipe.train.batch_size = 4;
    recipe.train.epochs = 2;
    Lab {
        model: model(2),
        objective: Objective::new(TaskKind::Classify, LabelSet::from_names(names)),
        train: rows(num_rows, |token| token as usize % 2),
        valid: rows(6, |token| token as usize % 2),
        recipe,
        patience: usize::MAX,
    }
}

impl Lab {
    fn runner(&self) -> Runner<'_, RowTask> {
        Runner {
            task: &RowTask,
            objective: &self.objective,
            layout: Layout::Ragged,
            batch_size: self.recipe.train.batch_size,
        }
    }

    fn run(&self) -> (Record, Result<Finish, TrainError>) {
        let mut record = Record::default();
        let steps = std::cell::Cell::new(0);
        let mut saves = Vec::new();
        let mut kept = None;
        let mut events = |event: Event| match event {
            Event::Step(step) => {
                steps.set(step.step);
                record.steps.push(step);
            }
            Event::Evaluation(found) => record.evaluations.push((found.step, found.is_best)),
            Event::Epoch(found) => record.epochs.push(found.step),
            _ => {}
        };
        let hooks = Hooks {
            events: &mut events,
            save: &mut |model: &Stub<Flex>| {
                saves.push(steps.get());
                kept = Some(model.clone());
                Ok(())
            },
            is_stopped: &|| steps.get() >= self.patience,
        };
        let model = method::apply::<B, _>(self.model.clone(), &self.recipe.method);
        let data = Data {
            train: &self.train,
            valid: &self.valid,
        };
        let finish = run(&self.recipe, self.runner(), model, data, hooks);
        record.saves = saves;
        record.kept = kept;
        (record, finish.map(|(_, finish)| finish))
    }
}

fn examples(record: &Record) -> Vec<usize> {
    record.steps.iter().map(|step| step.examples).collect()
}

#[test]
fn planned_steps_are_the_executed_ones() {
    for (accumulate, max_steps, expected) in [
        (1, 0, vec![4, 4, 2, 4, 4, 2]),
        (2, 0, vec![8, 2, 8, 2]),
        (4, 0, vec![10, 10]),
        (1, 4, vec![4, 4, 2, 4]),
        (2, 5, vec![8, 2, 8, 2, 8]),
    ] {
        let mut lab = lab(10);
        lab.recipe.data.batching = Batching::Sequential;
        lab.recipe.train.accumulate = accumulate;
        lab.recipe.train.max_steps = max_steps;
        let plan = Plan::new(&lab.recipe, &lab.train);
        let (record, finish) = lab.run();
        let case = format!("accumulate {accumulate}, max_steps {max_steps}");
        assert_eq!(examples(&record), expected, "{case}");
        assert_eq!(plan.total_steps, expected.len(), "{case}");
        assert_eq!(finish.unwrap().steps, expected.len(), "{case}");
        let numbers: Vec<usize> = record.steps.iter().map(|step| step.step).collect();
        assert_eq!(numbers, (1..=expected.len()).collect::<Vec<_>>(), "{case}");
        assert_eq!(plan.epochs(), record.epochs.len(), "{case}");
    }
}

#[test]
fn the_rate_of_a_step_does_not_depend_on_accumulation() {
    let rates = |batch_size, accumulate| -> Vec<f64> {
        let mut lab = lab(24);
        lab.recipe.train.batch_size = batch_size;
        lab.recipe.train.accumulate = accumulate;
        lab.recipe.train.epochs = 4;
        lab.recipe.train.warmup = 3.0;
        let (record, _) = lab.run();
        record.steps.iter().map(|step| step.learning_rate).collect()
    };
    let whole = rates(8, 1);
    assert_eq!(whole, rates(1, 8));
    // Step k of n after a warm-up of w steps has (n - k) / (n - w) of the peak.
    let expected = |step: usize| match step {
        0..3 => 0.01 * step as f64 / 3.0,
        _ => 0.01 * (12 - step) as f64 / 9.0,
    };
    assert_eq!(whole.len(), 12);
    for (step, rate) in whole.iter().enumerate() {
        assert!((rate - expected(step)).abs() < 1e-15, "step {step}: {rate}");
    }
}

#[test]
fn evaluations_come_when_they_are_asked_for_and_at_the_end() {
    let steps = |lab: &Lab| -> Vec<usize> {
        let (record, _) = lab.run();
        record.evaluations.iter().map(|(step, _)| *step).collect()
    };
    let mut lab = lab(10);
    assert_eq!(steps(&lab), [3, 6]);
    lab.recipe.train.evaluate_every = Every::Steps(4);
    assert_eq!(steps(&lab), [4, 6]);
    lab.recipe.train.max_steps = 5;
    lab.recipe.train.evaluate_every = Every::Steps(2);
    assert_eq!(steps(&lab), [2, 4, 5]);
}

#[test]
fn the_weights_of_the_best_step_are_kept() {
    let mut lab = lab(12);
    // What is learned is wrong here, so every step is worse than the one before.
    lab.valid = rows(6, |token| 1 - token as usize % 2);
    lab.recipe.checkpoint.metric = "loss".to_owned();
    lab.recipe.train.evaluate_every = Every::Steps(1);
    lab.recipe.train.schedule = ScheduleKind::Constant;
    lab.recipe.train.warmup = 0.0;
    let (record, finish) = lab.run();
    let finish = finish.unwrap();
    assert_eq!((finish.steps, finish.best_step), (6, 1));
    assert_eq!(record.saves, [1]);
    let best: Vec<bool> = record
        .evaluations
        .iter()
        .map(|(_, is_best)| *is_best)
        .collect();
    assert_eq!(best, [true, false, false, false, false, false]);
    let kept = record.kept.expect("the best weights are kept");
    let found = lab
        .runner()
        .evaluate::<Flex, _>(&kept, &lab.valid, &FlexDevice);
    assert_eq!(Some(found.loss), finish.best);
}

#[test]
fn every_improvement_is_kept() {
    let mut lab = lab(12);
    lab.recipe.checkpoint.metric = "loss".to_owned();
    lab.recipe.train.evaluate_every = Every::Steps(2);
    let (record, finish) = lab.run();
    let best: Vec<usize> = record
        .evaluations
        .iter()
        .filter(|(_, is_best)| *is_best)
        .map(|(step, _)| *step)
        .collect();
    assert_eq!(record.saves, best);
    assert_eq!(finish.unwrap().best_step, 6);
}

#[test]
fn without_a_choice_the_last_weights_are_kept() {
    let mut last = lab(10);
    last.recipe.checkpoint.keep_best = false;
    let mut unevaluated = lab(10);
    unevaluated.valid.clear();
    for lab in [last, unevaluated] {
        let (record, finish) = lab.run();
        let finish = finish.unwrap();
        assert_eq!(record.saves, [6]);
        assert_eq!(
            (finish.best_step, finish.metric, finish.best),
            (6, None, None)
        );
    }
}

#[test]
fn a_stop_evaluates_and_keeps_what_there_is() {
    let mut lab = lab(10);
    lab.patience = 2;
    let (record, finish) = lab.run();
    let finish = finish.unwrap();
    assert!(finish.is_interrupted);
    assert_eq!(finish.steps, 2);
    assert_eq!(record.evaluations, [(2, true)]);
    assert_eq!(record.saves, [2]);
    assert_eq!(record.epochs, [2]);
}

#[test]
fn a_stop_after_the_last_step_is_none() {
    let mut lab = lab(10);
    lab.patience = 6;
    assert!(!lab.run().1.unwrap().is_interrupted);
}

#[test]
fn a_loss_that_is_not_finite_names_its_step() {
    let mut lab = lab(3);
    lab.model = model(1);
    lab.objective = Objective::new(TaskKind::Regress, LabelSet::from_names(Vec::new()));
    lab.recipe.data.batching = Batching::Sequential;
    lab.recipe.train.batch_size = 1;
    for (row, number) in lab.train.iter_mut().zip([1.0, -1.0, f64::MAX]) {
        row.target = Target::Number(number);
    }
    lab.valid.clear();
    let (record, finish) = lab.run();
    let error = finish.unwrap_err();
    assert_eq!(error.to_string(), "the loss is not finite at step 3: inf");
    assert!(error.hint().unwrap().starts_with("lower `--learning-rate`"));
    assert_eq!(record.steps.len(), 2);
}

#[test]
fn a_parameter_that_the_loss_does_not_reach_stops_the_run() {
    let mut lab = lab(10);
    lab.model.spare = Some(Linear::new(2, 2, &FlexDevice));
    let (record, finish) = lab.run();
    assert_eq!(
        finish.unwrap_err().to_string(),
        "the loss reaches no gradient of 2 trainable parameters: spare.weight, spare.bias"
    );
    assert!(record.steps.is_empty() && record.saves.is_empty());
}

#[test]
fn weights_that_cannot_be_kept_stop_the_run() {
    let lab = lab(10);
    let hooks = Hooks {
        events: &mut |_: Event| {},
        save: &mut |_: &Stub<Flex>| Err("the disk is full".into()),
        is_stopped: &|| false,
    };
    let data = Data {
        train: &lab.train,
        valid: &lab.valid,
    };
    let finish = run(&lab.recipe, lab.runner(), lab.model.clone(), data, hooks);
    let error = finish.expect_err("nothing was kept");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(error.to_string(), "cannot save the weights");
    assert_eq!(source.as_deref(), Some("the disk is full"));
}

#[test]
fn an_unknown_metric_is_refused_before_the_first_step() {
    let mut lab = lab(10);
    lab.recipe.checkpoint.metric = "spearman".to_owned();
    let (record, finish) = lab.run();
    let error = finish.unwrap_err();
    assert_eq!(error.to_string(), "unknown metric `spearman`");
    let known = "one of: auto, loss, accuracy, macro_f1, micro_f1, mcc";
    assert_eq!(error.hint().as_deref(), Some(known));
    assert!(record.steps.is_empty());
}

#[test]
fn a_seed_repeats_a_run_and_another_one_does_not() {
    let losses = |seed| -> Vec<u64> {
        let mut lab = lab(30);
        lab.recipe.train.seed = seed;
        lab.recipe.data.batching = Batching::Shuffled;
        lab.run()
            .0
            .steps
            .iter()
            .map(|step| step.loss.to_bits())
            .collect()
    };
    let first = losses(1);
    assert_eq!(first, losses(1));
    assert_eq!(first, losses(1));
    assert_ne!(first, losses(2));
}

#[test]
fn frozen_parameters_have_no_gradient_and_no_state() {
    for (kind, trained) in [
        (MethodKind::Head, 2),
        (MethodKind::LastLayers, 4),
        (MethodKind::Full, 5),
    ] {
        let mut lab = lab(4);
        lab.recipe.method.kind = kind;
        let model = method::apply::<B, _>(lab.model.clone(), &lab.recipe.method);
        let rows: Vec<&Row> = lab.train.iter().collect();
        let batch = Batch::new(&rows, Layout::Ragged, &FlexDevice);
        let targets: Vec<&Target> = rows.iter().map(|row| &row.target).collect();
        let loss = lab
            .objective
            .loss_sum::<B>(RowTask.logits(&model, batch), &targets);
        let mut gradients = Gradients::<B>::default();
        assert!(gradients.add(&model, loss.backward()).is_empty());
        assert_eq!(
            gradients.get("embedding.weight").is_some(),
            kind == MethodKind::Full
        );
        let mut optimizer = AdamW::<Flex>::new(0.01);
        let moved = optimizer.step::<B, _>(model, gradients, 1.0, &|_| 0.1);
        assert_eq!(optimizer.num_states(), trained, "{kind:?}");
        let change = |name: fn(&Stub<Flex>) -> Tensor<Flex, 2>| {
            let difference = name(&moved.valid()) - name(&lab.model.valid());
            difference.abs().max().into_scalar()
        };
        assert!(change(|model| model.head.weight.val()) > 0.0);
        let frozen = change(|model| model.embedding.weight.val());
        assert_eq!(frozen > 0.0, kind == MethodKind::Full, "{kind:?}");
    }
}
