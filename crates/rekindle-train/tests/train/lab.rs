//! A tiny model, and a run whose user, disk and device do as they are told.

use std::cell::Cell;

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_data::{Batching, LabelSet, TaskKind};
use rekindle_nn::{
    Classifier, Depth, Embedding, Input, Linear, Model, ParameterPath, Rows, TrainBackend,
    initialize,
};
use rekindle_testkit::{Held, OwnNames};
use rekindle_train::batch::{Layout, Row};
use rekindle_train::error::TrainError;
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{Checkpoint, Event, Finish, Skip, Step};
use rekindle_train::method::{self, Anatomy};
use rekindle_train::objective::{Objective, Target};
use rekindle_train::recipe::Recipe;
use rekindle_train::run::{Control, Hooks, Run, SaveFailure, run};
use rekindle_train::stems::Still;
use rekindle_train::task::RowTask;

pub(crate) type B = Autodiff<Flex>;

/// Scores a row by its first token.
#[derive(Module, Debug)]
pub(crate) struct Stub<B: Backend> {
    pub(crate) embedding: Embedding<B>,
    block: Linear<B>,
    pub(crate) head: Linear<B>,
    /// Reached by no loss.
    pub(crate) spare: Option<Linear<B>>,
}

thread_local! {
    /// How often the block of a model was run for its states alone.
    pub(crate) static STEMS: Cell<usize> = const { Cell::new(0) };
}

impl<B: Backend> Stub<B> {
    /// States after the block, `[N]` to `[N, D]`.
    fn states(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2>
    where
        B: TrainBackend,
    {
        let hidden = self.embedding.forward(input.ids);
        self.block.forward(hidden, rows.noise()).tanh()
    }
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

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut linears = vec![
            ("block".to_owned(), &mut self.block),
            ("head".to_owned(), &mut self.head),
        ];
        linears.extend(self.spare.as_mut().map(|spare| ("spare".to_owned(), spare)));
        linears
    }

    fn stem(&self, input: Input<B>, rows: &Rows, blocks: usize) -> Option<Tensor<B, 2>>
    where
        B: TrainBackend,
    {
        assert_eq!(blocks, 1);
        STEMS.set(STEMS.get() + 1);
        Some(self.states(input, rows))
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
        let states = match input.stem {
            Some(stem) => stem.states,
            None => self.states(input, rows),
        };
        self.head.forward(states.select(0, firsts), rows.noise())
    }
}

/// A model, its rows and its recipe.
pub(crate) struct Lab {
    pub(crate) model: Stub<B>,
    pub(crate) objective: Objective,
    pub(crate) train: Vec<Row>,
    pub(crate) valid: Vec<Row>,
    pub(crate) recipe: Recipe,
    /// What happens around a run.
    pub(crate) around: Around,
    /// What of the model gives the same states at every step.
    pub(crate) still: Option<Still>,
}

/// A user, a disk and a device.
#[derive(Clone, Copy)]
pub(crate) struct Around {
    /// Steps after which the user asks to stop.
    pub(crate) stop_after: usize,
    /// Steps at which the disk is full.
    pub(crate) full_at: fn(usize) -> bool,
    /// Most rows of a forward pass that the device can hold.
    pub(crate) capacity: usize,
    /// Step after which a driver tells of a failure.
    pub(crate) fails_after: usize,
}

/// [`Around`] while a run goes on.
pub(crate) struct Watch<'a> {
    around: Around,
    steps: &'a Cell<usize>,
}

impl Control for Watch<'_> {
    fn is_stopped(&self) -> bool {
        self.steps.get() >= self.around.stop_after
    }

    fn device_failure(&self) -> Option<String> {
        (self.steps.get() >= self.around.fails_after).then(|| "the device is lost".to_owned())
    }

    fn on_forward(&self, rows: usize) {
        assert!(rows <= self.around.capacity, "OutOfMemory");
    }
}

impl Watch<'_> {
    fn disk(&self) -> Result<(), SaveFailure> {
        if (self.around.full_at)(self.steps.get()) {
            return Err("the disk is full".into());
        }
        Ok(())
    }
}

/// What a run told and kept.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) steps: Vec<Step>,
    /// Steps of evaluations, and whether they were the best so far.
    pub(crate) evaluations: Vec<(usize, bool)>,
    /// Steps of ends of epochs.
    pub(crate) epochs: Vec<usize>,
    /// Steps after which weights were kept, with the last ones.
    pub(crate) saves: Vec<usize>,
    pub(crate) kept: Option<Stub<Flex>>,
    pub(crate) skips: Vec<Skip>,
    pub(crate) warnings: Vec<String>,
    /// Rows and number of forward passes after the device ran out of memory.
    pub(crate) split: Option<(usize, usize)>,
    /// Steps of checkpoints.
    pub(crate) checkpoints: Vec<usize>,
    /// The last checkpoint.
    pub(crate) held: Option<Held>,
    /// The step from which the run went on.
    pub(crate) resumed: Option<usize>,
    /// All of the lines that a log would hold, without times.
    pub(crate) told: Vec<Event>,
}

pub(crate) const TOKENS: u32 = 6;
pub(crate) const WIDTH: usize = 4;

pub(crate) fn model(outputs: usize) -> Stub<B> {
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
pub(crate) fn rows(count: u32, class: impl Fn(u32) -> usize) -> Vec<Row> {
    let row = |index: u32| {
        let length = 1 + index as usize % 3;
        Row {
            ids: vec![index % TOKENS; length],
            type_ids: vec![0; length],
            target: Target::Class(class(index % TOKENS)),
            number: index as usize + 1,
        }
    };
    (0..count).map(row).collect()
}

pub(crate) fn lab(num_rows: u32) -> Lab {
    let names = ["even", "odd"].map(str::to_owned).to_vec();
    let mut recipe = Recipe::default();
    recipe.train.learning_rate = Some(0.01);
    recipe.train.batch_size = 4;
    recipe.train.epochs = Some(2);
    Lab {
        model: model(2),
        objective: Objective::new(TaskKind::Classify, LabelSet::from_names(names)),
        train: rows(num_rows, |token| token as usize % 2),
        valid: rows(6, |token| token as usize % 2),
        recipe,
        around: Around {
            stop_after: usize::MAX,
            full_at: |_| false,
            capacity: usize::MAX,
            fails_after: usize::MAX,
        },
        still: None,
    }
}

impl Lab {
    pub(crate) fn runner(&self) -> Runner<'_, RowTask> {
        Runner {
            task: &RowTask,
            objective: &self.objective,
            layout: Layout::Ragged,
            batch_size: self.recipe.train.batch_size,
        }
    }

    pub(crate) fn run(&self) -> (Record, Result<Finish, TrainError>) {
        self.run_from(None, None)
    }

    pub(crate) fn run_from(
        &self,
        held: Option<&Held>,
        forward_rows: Option<usize>,
    ) -> (Record, Result<Finish, TrainError>) {
        let mut record = Record::default();
        let steps = Cell::new(0);
        let watch = Watch {
            around: self.around,
            steps: &steps,
        };
        let (mut saves, mut kept) = (Vec::new(), None);
        let (mut checkpoints, mut last_held) = (Vec::new(), None);
        let mut events = |event: Event| {
            if let Event::Step(Step { step, .. }) | Event::Skip(Skip { step, .. }) = &event {
                steps.set(*step);
            }
            record.take(event);
        };
        let hooks = Hooks {
            events: &mut events,
            save: &mut |model: &Stub<Flex>| {
                watch.disk()?;
                saves.push(steps.get());
                kept = Some(model.clone());
                Ok(())
            },
            sample: None,
            general: None,
            checkpoint: Some(&mut |snapshot| {
                watch.disk()?;
                checkpoints.push(snapshot.progress.step);
                last_held = Some(Held::new(snapshot));
                Ok(Checkpoint::default())
            }),
            control: &watch,
        };
        let model = self.adapted();
        let of_rows = Run {
            recipe: &self.recipe,
            runner: self.runner(),
            train: &self.train,
            valid: &self.valid,
            from: held.map(Held::saved),
            forward_rows,
            still: self.still,
        };
        let finish = run(of_rows, model, hooks);
        (record.saves, record.kept) = (saves, kept);
        (record.checkpoints, record.held) = (checkpoints, last_held);
        (record, finish.map(|(_, finish)| finish))
    }

    /// The model as the recipe's method trains it.
    pub(crate) fn adapted(&self) -> Stub<B> {
        let anatomy = Anatomy {
            names: &OwnNames(self.objective.task()),
            fresh: &[],
            task: self.objective.task(),
            seed: self.recipe.train.seed,
        };
        let adapted = method::apply::<B, _>(self.model.clone(), &self.recipe.method, &anatomy);
        adapted.expect("the method suits the model").0
    }
}

impl Record {
    fn take(&mut self, event: Event) {
        self.told.push(event.clone());
        match event {
            Event::Step(step) => self.steps.push(step),
            Event::Evaluation(found) => self.evaluations.push((found.step, found.is_best)),
            Event::Epoch(found) => self.epochs.push(found.step),
            Event::Skip(skip) => self.skips.push(skip),
            Event::Warning { message } => self.warnings.push(message),
            Event::Split(split) => self.split = Some((split.batch_size, split.accumulate)),
            Event::Resume(resume) => self.resumed = Some(resume.step),
            _ => {}
        }
    }
}

/// Three rows, one a step, two epochs.
pub(crate) fn regression() -> Lab {
    let mut lab = lab(3);
    lab.model = model(1);
    lab.objective = Objective::new(TaskKind::Regress, LabelSet::from_names(Vec::new()));
    lab.recipe.data.batching = Batching::Sequential;
    lab.recipe.train.batch_size = 1;
    for (index, row) in lab.train.iter_mut().enumerate() {
        row.target = Target::Number(index as f64 - 1.0);
        row.number = 10 + index;
    }
    lab.valid.clear();
    lab
}
