//! Training that is only looked at: its steps are told, and nothing is kept.

use rekindle_train::batch::Row;
use rekindle_train::error::TrainError;
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{Event, Step};
use rekindle_train::recipe::Recipe;
use rekindle_train::run::{Hooks, Run, run};
use rekindle_train::task::{TrainableBackend, TrainableModel, TrainableTask};

/// Trains a model on rows, and gives back the steps.
pub(crate) fn steps<B, M, T>(
    (recipe, runner): (&Recipe, Runner<T>),
    rows: &[Row],
    model: M,
) -> Result<Vec<Step>, TrainError>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let mut steps = Vec::new();
    let mut events = |event: Event| {
        if let Event::Step(step) = event {
            steps.push(step);
        }
    };
    let hooks = Hooks {
        events: &mut events,
        save: &mut |_| Ok(()),
        sample: None,
        general: None,
        checkpoint: None,
        control: &(),
    };
    let of_rows = Run {
        recipe,
        runner,
        train: &rows,
        valid: &[],
        from: None,
        forward_rows: None,
        still: None,
    };
    run(of_rows, model, hooks)?;
    Ok(steps)
}
