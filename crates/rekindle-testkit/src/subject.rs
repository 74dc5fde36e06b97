//! A model under test.

use std::marker::PhantomData;

use burn::module::AutodiffModule;
use rekindle_nn::{Model, initialize};
use rekindle_train::batch::{Layout, Row};
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{Event, Finish, Step};
use rekindle_train::method;
use rekindle_train::objective::Objective;
use rekindle_train::recipe::Recipe;
use rekindle_train::run::{Data, Hooks, run};
use rekindle_train::task::{Inner, Task, TrainableBackend};

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
    backend: PhantomData<B>,
}

impl<B, M, T> Subject<B, M, T>
where
    B: TrainableBackend,
    M: Model<B> + AutodiffModule<B>,
    M::InnerModule: Model<Inner<B>>,
    T: Task<B, M> + Task<Inner<B>, M::InnerModule>,
{
    /// A subject with the weights that the model has.
    pub fn new(model: M, task: T, objective: Objective, rows: Vec<Row>) -> Self {
        Self {
            model,
            task,
            objective,
            rows,
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

    /// Trains by a recipe on all rows; returns the model, the steps and the end.
    ///
    /// # Panics
    /// If training fails.
    pub fn train(&self, recipe: &Recipe, layout: Layout) -> (M, Vec<Step>, Finish) {
        let model = method::apply::<B, M>(self.model.clone(), &recipe.method);
        let mut steps = Vec::new();
        let mut events = |event: Event| {
            if let Event::Step(step) = event {
                steps.push(step);
            }
        };
        let hooks = Hooks {
            events: &mut events,
            save: &mut |_: &_| Ok(()),
            is_stopped: &|| false,
        };
        let data = Data {
            train: &self.rows,
            valid: &[],
        };
        let runner = self.runner(layout, recipe.train.batch_size);
        let (model, finish) = run(recipe, runner, model, data, hooks).expect("a tiny model trains");
        (model, steps, finish)
    }
}
