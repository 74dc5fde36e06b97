//! The command `train`: from a recipe to a run folder with a model in it.
//!
//! [`prepare`] does all that can fail for the input's sake and writes nothing; [`Prepared::run`] trains.

mod briefing;
mod checkpoints;
mod fit;
mod inputs;
mod job;
mod output;
mod receipt;
mod resume;
mod session;

use std::collections::HashSet;

use rekindle_data::{LabelSet, Limit, Renderer, TaskKind, stratified_split};
use rekindle_hub::{HubOptions, Progress, resolve};
use rekindle_train::batch::Row;
use rekindle_train::events::{Events, Finish};
use rekindle_train::objective::Objective;
use rekindle_train::recipe::{DataRecipe, MethodKind, Recipe};
use rekindle_train::run::{Plan, check};

use crate::backend::{Choice, choose};
use crate::base::Base;
use crate::error::Error;
use crate::rows::{Examples, Opening, Tokenized};
use crate::samples::SamplePrompt;

pub use briefing::{Briefing, Sample};
pub use output::RunFolder;
pub use rekindle_train::run::Control;

use job::Training;

/// Tokens of a row where the recipe says nothing, of encoders and of decoders.
const DEFAULT_MAX_LENGTH: [usize; 2] = [256, 1024];

/// A run that is ready to begin.
pub struct Prepared {
    /// The recipe with every default filled in.
    pub recipe: Recipe,
    /// Where it will run, and why there.
    pub backend: Choice,
    /// Where it will write.
    pub folder: RunFolder,
    /// What to tell the user before step 1.
    pub briefing: Briefing,
    /// How it ended before, if nothing is left to do.
    pub finished: Option<Finish>,
    is_resumed: bool,
    base: Base,
    objective: Objective,
    train: Vec<Row>,
    valid: Vec<Row>,
    samples: Vec<SamplePrompt>,
    opening: Opening,
    plan: Plan,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub finish: Finish,
    /// The run's folder.
    pub folder: RunFolder,
    /// What the model was trained for.
    pub task: TaskKind,
    /// How what it answers is put to it; of a model that scores, as a text.
    pub opening: Opening,
}

/// Reads the model's configuration and the data, and plans the run.
///
/// With `resumed`, the run of that folder goes on; it must be of the same recipe.
pub fn prepare(
    mut recipe: Recipe,
    resumed: Option<RunFolder>,
    hub: &HubOptions,
    progress: &mut dyn Progress,
) -> Result<Prepared, Error> {
    let backend = choose(&recipe.run.backend)?;
    let (examples, valid_examples) = read(&recipe)?;
    let task = examples.task();
    check(&recipe, task, true)?;
    let mut base = Base::open(&resolve(&recipe.model.base, hub, progress)?)?;
    suit(&mut recipe, &base, task)?;
    fix_date(&mut recipe, &mut base, resumed.as_ref())?;
    let labels = labels(&base, &examples)?;
    if let Some(valid) = &valid_examples {
        valid.check_labels(&labels)?;
    }
    let limit = limit(&recipe.data, &base, &examples)?;
    let files = (&examples, valid_examples.as_ref());
    let (found, [train, valid]) = rows(&recipe, &base, (&labels, limit), files)?;
    recipe.model.task = Some(task);
    recipe.data.max_length = Some(limit.max_length);
    recipe.data.truncation = Some(limit.truncation);
    let samples = SamplePrompt::of(&recipe.train.samples, &base, examples.opening())?;
    recipe.train.learning_rate = Some(recipe.peak_learning_rate());
    recipe.train.learning_rate_multiplier = 1.0;
    let is_resumed = resumed.is_some();
    let folder = match resumed {
        Some(folder) => {
            folder.check_recipe(&recipe)?;
            folder
        }
        None => RunFolder::plan(&recipe, task)?,
    };
    let objective = Objective::new(task, labels);
    let mut briefing = Briefing::new(&examples, valid_examples.as_ref(), &found);
    check(&recipe, task, !valid.is_empty())?;
    let plan = Plan::new(&recipe, &train);
    briefing.complete(&base, &objective, [&train, &valid], &plan);
    Ok(Prepared {
        recipe,
        backend,
        finished: folder.finished().filter(|_| is_resumed),
        is_resumed,
        folder,
        briefing,
        base,
        objective,
        train,
        valid,
        samples,
        opening: examples.opening(),
        plan,
    })
}

/// The training examples, and the validation examples if they have a file of their own.
fn read(recipe: &Recipe) -> Result<(Examples, Option<Examples>), Error> {
    let DataRecipe { train, valid, .. } = &recipe.data;
    let (examples, bundled) = if train.is_empty() {
        let [examples, valid] = Examples::bundled();
        (examples, Some(valid))
    } else {
        (Examples::read(train, recipe.model.task)?, None)
    };
    let valid = match valid {
        Some(path) => Some(Examples::read(
            std::slice::from_ref(path),
            Some(examples.task()),
        )?),
        None => bundled,
    };
    Ok((examples, valid))
}

/// The base's own labels if they are the data's, in its order; else the data's, sorted.
fn labels(base: &Base, examples: &Examples) -> Result<LabelSet, Error> {
    let labels = examples.labels();
    if let ([only], TaskKind::Classify) = (labels.names(), examples.task()) {
        return Err(Error::OneLabel(only.clone()));
    }
    Ok(base
        .labels()
        .filter(|known| known.same_set(&labels))
        .unwrap_or(labels))
}

/// Refuses a recipe that does not suit the task or the base, and fills in what the base decides.
fn suit(recipe: &mut Recipe, base: &Base, task: TaskKind) -> Result<(), Error> {
    base.architecture.check(task)?;
    refuse_idle(recipe, task)?;
    if recipe.method.kind == MethodKind::Head && base.architecture.is_tied() {
        return Err(Error::NoHead);
    }
    base.adapt(recipe, task)
}

/// Fixes the day that a chat template writes, so that a run that goes on reads the rows that it began with.
fn fix_date(
    recipe: &mut Recipe,
    base: &mut Base,
    resumed: Option<&RunFolder>,
) -> Result<(), Error> {
    let asks = |renderer: &&mut Renderer| renderer.asks_for_date();
    let Some(renderer) = base.renderer.as_mut().filter(asks) else {
        return match recipe.data.date {
            Some(_) => Err(Error::IdleDate),
            None => Ok(()),
        };
    };
    let began = || resumed.and_then(RunFolder::date);
    let today = || jiff::Zoned::now().date();
    let date = recipe.data.date.or_else(began).unwrap_or_else(today);
    renderer.fix_date(date);
    recipe.data.date = Some(date);
    Ok(())
}

/// Refuses keys that say something of another task than the run's.
fn refuse_idle(recipe: &Recipe, task: TaskKind) -> Result<(), Error> {
    let idle = [
        (
            "data.prompt_loss_weight",
            recipe.data.prompt_loss_weight > 0.0,
        ),
        ("data.pack", recipe.data.pack),
        ("data.date", recipe.data.date.is_some()),
        ("train.samples", !recipe.train.samples.is_empty()),
        (
            "model.gradient_checkpointing",
            recipe.model.gradient_checkpointing,
        ),
    ];
    match idle.into_iter().find(|(_, is_set)| *is_set) {
        Some((key, _)) if task != TaskKind::Generate => Err(Error::OnlyGenerate { key, task }),
        _ => Ok(()),
    }
}

/// Training and validation rows, and what became of the training file's.
fn rows(
    recipe: &Recipe,
    base: &Base,
    (labels, limit): (&LabelSet, Limit),
    (train, valid): (&Examples, Option<&Examples>),
) -> Result<(Tokenized, [Vec<Row>; 2]), Error> {
    let weight = recipe.data.prompt_loss_weight;
    let mut found = base.tokenize(train, labels, limit, weight)?;
    let all = std::mem::take(&mut found.rows);
    if all.is_empty() {
        return Err(Error::NoRows {
            skipped: found.skipped,
        });
    }
    // A row is judged by its answer alone, whatever its prompt counts in training.
    let judged = |examples| Ok::<_, Error>(base.tokenize(examples, labels, limit, 0.0)?.rows);
    let rows = match valid {
        Some(valid) => [all, judged(valid)?],
        None if weight > 0.0 => split(recipe, [all, judged(train)?], train),
        None => split(recipe, [all.clone(), all], train),
    };
    Ok((found, rows))
}

/// How long rows may be, and what happens to longer ones.
fn limit(recipe: &DataRecipe, base: &Base, examples: &Examples) -> Result<Limit, Error> {
    let truncation = recipe.truncation;
    Ok(Limit {
        max_length: max_length(recipe.max_length, base)?,
        truncation: truncation.unwrap_or(examples.default_truncation()),
    })
}

/// The longest row: what is asked for, or a default that the model can read.
pub(crate) fn max_length(asked: Option<usize>, base: &Base) -> Result<usize, Error> {
    let most = base.architecture.max_length();
    match asked {
        Some(asked) if asked > most => Err(Error::TooLong { asked, most }),
        Some(asked) => Ok(asked),
        None => Ok(DEFAULT_MAX_LENGTH[usize::from(base.renderer.is_some())].min(most)),
    }
}

/// Training and validation rows, split by the recipe's fraction; both parts of the same rows.
fn split(recipe: &Recipe, [train, valid]: [Vec<Row>; 2], examples: &Examples) -> [Vec<Row>; 2] {
    let classes = examples.classes();
    let keys: Vec<&str> = train.iter().map(|row| classes[row.number - 1]).collect();
    let split = stratified_split(&keys, recipe.data.valid_fraction, recipe.train.seed);
    let chosen: HashSet<usize> = split.valid.into_iter().collect();
    let keep = |rows: Vec<Row>, is_valid: bool| {
        let rows = rows.into_iter().enumerate();
        let kept = rows.filter(|(index, _)| chosen.contains(index) == is_valid);
        kept.map(|(_, row)| row).collect()
    };
    [keep(train, false), keep(valid, true)]
}

impl Prepared {
    /// Trains, and leaves a run folder with the model in it.
    ///
    /// `forward_rows` are the rows of a forward pass, if they are to be fewer than the recipe says: for a
    /// device that ran out of memory.
    pub fn run(
        self,
        events: &mut dyn Events,
        control: &dyn Control,
        forward_rows: Option<usize>,
    ) -> Result<Outcome, Error> {
        let finish = self.backend.run(Training {
            run: &self,
            events,
            control,
            forward_rows,
        })?;
        Ok(Outcome {
            finish,
            folder: self.folder,
            task: self.objective.task(),
            opening: self.opening,
        })
    }
}
