//! A model under test.

use std::cell::Cell;
use std::marker::PhantomData;

use rekindle_nn::initialize;
use rekindle_train::batch::{Layout, Row};
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{Checkpoint, Event, Finish, Step};
use rekindle_train::method::{self, Anatomy};
use rekindle_train::objective::Objective;
use rekindle_train::recipe::Recipe;
use rekindle_train::run::{Control, Hooks, Run, run};
use rekindle_train::stems::Still;
use rekindle_train::task::{TrainableBackend, TrainableModel, TrainableTask};

use crate::held::Held;
use crate::names::OwnNames;

/// A tiny model with weights, and rows for it.
#[derive(Clone, Debug)]
pub struct Subject<B, M, T> {
    /// The model.
    pub model: M,
    /// The task.
    pub task: T,
    /// Its loss and numbers.
    pub objective: Objective,
    /// Rows of unequal lengths.
    pub rows: Vec<Row>,
    /// The part of the model whose states a run keeps.
    pub still: Option<Still>,
    backend: PhantomData<B>,
}

impl<B, M, T> Subject<B, M, T>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    /// A subject with the weights that the model has.
    pub fn new(model: M, task: T, objective: Objective, rows: Vec<Row>) -> Self {
        Self {
            model,
            task,
            objective,
            rows,
            still: None,
            backend: PhantomData,
        }
    }

    /// A subject with random weights.
    pub fn random(model: M, task: T, objective: Objective, rows: Vec<Row>) -> Self {
        // Larger than usual, so that logits of a tiny model are far from zero.
        Self::new(initialize::<B, M>(model, 7, 0.2), task, objective, rows)
    }

    /// Forward passes of this many rows.
    pub fn runner(&self, layout: Layout, batch_size: usize) -> Runner<'_, T> {
        Runner {
            task: &self.task,
            objective: &self.objective,
            layout,
            batch_size,
        }
    }

    /// The model as the recipe's method trains it.
    ///
    /// # Panics
    /// If the method cannot be used.
    pub fn adapt(&self, recipe: &Recipe) -> M {
        let task = self.objective.task();
        let anatomy = Anatomy {
            names: &OwnNames(task),
            fresh: &[],
            task,
            seed: recipe.train.seed,
        };
        let adapted = method::apply::<B, M>(self.model.clone(), &recipe.method, &anatomy);
        adapted.expect("the method suits the model").0
    }

    /// Trains by a recipe on all rows; returns the model, the steps and the end.
    ///
    /// # Panics
    /// If training fails.
    pub fn train(&self, recipe: &Recipe, layout: Layout) -> (M, Vec<Step>, Finish) {
        let part = self.train_part(recipe, layout, None, usize::MAX);
        (part.model, part.steps, part.finish)
    }

    /// Trains from a held state on, or from the start, until `stop_after` steps are taken.
    ///
    /// # Panics
    /// If training fails.
    pub fn train_part(
        &self,
        recipe: &Recipe,
        layout: Layout,
        from: Option<&Held>,
        stop_after: usize,
    ) -> Part<M> {
        self.train_model(self.adapt(recipe), recipe, layout, (from, stop_after))
    }

    /// Trains a model whose frozen parameters are marked already.
    pub(crate) fn train_model(
        &self,
        model: M,
        recipe: &Recipe,
        layout: Layout,
        (from, stop_after): (Option<&Held>, usize),
    ) -> Part<M> {
        let mut steps = Vec::new();
        let taken = Taken {
            steps: Cell::new(0),
            stop_after,
        };
        let mut held = None;
        let mut events = |event: Event| {
            if let Event::Step(step) = event {
                taken.steps.set(step.step);
                steps.push(step);
            }
        };
        let hooks = Hooks {
            events: &mut events,
            save: &mut |_: &_| Ok(()),
            sample: None,
            general: None,
            checkpoint: Some(&mut |snapshot| {
                held = Some(Held::new(snapshot));
                Ok(Checkpoint::default())
            }),
            control: &taken,
        };
        let run_of_part = Run {
            recipe,
            runner: self.runner(layout, recipe.train.batch_size),
            train: &self.rows,
            valid: &[],
            from: from.map(Held::saved),
            forward_rows: None,
            still: self.still,
        };
        let (model, finish) = run(run_of_part, model, hooks).expect("a tiny model trains");
        Part {
            model,
            steps,
            finish,
            held,
        }
    }
}

/// What a part of a run left.
#[derive(Debug)]
pub struct Part<M> {
    /// The model at its end.
    pub model: M,
    /// Its steps.
    pub steps: Vec<Step>,
    /// How it ended.
    pub finish: Finish,
    /// Its last checkpoint.
    pub held: Option<Held>,
}

/// Stops a run after some steps.
struct Taken {
    steps: Cell<usize>,
    stop_after: usize,
}

impl Control for Taken {
    fn is_stopped(&self) -> bool {
        self.steps.get() >= self.stop_after
    }
}
