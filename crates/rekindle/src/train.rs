//! The command `train`: from a recipe to a run folder with a model in it.
//!
//! [`prepare`] does all that can fail for the input's sake and writes nothing; [`Prepared::run`] trains.

mod briefing;
mod checkpoints;
mod fit;
mod inputs;
mod job;
mod material;
mod output;
mod receipt;
mod resume;
mod session;

use rekindle_corpus::HELD_OUT;
use rekindle_data::{Renderer, TaskKind, Truncation};
use rekindle_hub::Progress;
use rekindle_train::batch::{Row, RowSource};
use rekindle_train::events::{Events, Finish};
use rekindle_train::objective::Objective;
use rekindle_train::recipe::{DEFAULT_EPOCHS, MaskRecipe, MethodKind, Recipe};
use rekindle_train::run::{Plan, check};

use crate::backend::{Choice, choose};
use crate::base::Base;
use crate::bundled::Places;
use crate::error::Error;
use crate::hashes::Hashes;
use crate::rows::Opening;
use crate::samples::SamplePrompt;
use crate::texts::{Measured, Teacher, Texts, TextsError};

pub use briefing::{Briefing, Sample};
pub use output::RunFolder;
pub use rekindle_train::run::Control;

use job::Training;
use material::{Material, Source};

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
    /// Whose vectors are learned, if that is the task.
    teacher: Option<Teacher>,
    objective: Objective,
    train: Box<dyn RowSource>,
    valid: Vec<Row>,
    /// A text on which the base's own objective is measured.
    general: Vec<Row>,
    /// SHA-256 of the data files.
    data: Hashes,
    samples: Vec<SamplePrompt>,
    opening: Opening,
    plan: Plan,
}

/// The widest hidden states of a small model.
const SMALL_WIDTH: usize = 256;

/// What the body of a small model learns faster by: 3e-4 in place of 5e-5, the highest rate that Turc et al.
/// (2019, "Well-Read Students Learn Better", appendix) fine-tune BERT's small relatives with.
const SMALL_FACTOR: f64 = 6.0;

/// Passes over the rows that a small model takes, as theirs do.
const SMALL_EPOCHS: usize = 4;

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub finish: Finish,
    /// The run's folder.
    pub folder: RunFolder,
    /// The recipe, with all that was decided beside it.
    pub recipe: Recipe,
    /// Optimizer steps of an epoch.
    pub steps_per_epoch: usize,
    /// What the model was trained for.
    pub task: TaskKind,
    /// How what it answers is put to it; of a model that scores, as a text.
    pub opening: Opening,
}

/// Reads the model's configuration and the data, and plans the run.
///
/// With `resumed`, the run of that folder goes on; it must be of the same recipe. Nothing is written but what
/// is kept for later runs: models that are fetched, and tokens and vectors of raw text.
pub fn prepare(
    mut recipe: Recipe,
    resumed: Option<RunFolder>,
    places: Places,
    progress: &mut dyn Progress,
) -> Result<Prepared, Error> {
    let backend = choose(&recipe.run.backend)?;
    let source = Source::of(&recipe)?;
    let task = source.task(&recipe);
    check(&recipe, task, true)?;
    let mut base = match &recipe.model.config {
        Some(config) => Base::from_config(config, recipe.model.tokenizer.as_deref())?,
        None => Base::open(&places.resolve(&recipe.model.base, progress)?)?,
    };
    suit(&mut recipe, &base, task)?;
    fix_date(&mut recipe, &mut base, resumed.as_ref())?;
    let max_length = max_length(recipe.data.max_length, &base)?;
    let teacher = teacher(&recipe, task, (places, max_length), progress)?;
    let texts = Texts {
        recipe: &recipe,
        task,
        base: &base,
        max_length,
        teacher: teacher.as_ref(),
        backend: &backend,
        cache: places.cache,
    };
    let general = general(&texts, progress)?;
    let Material {
        objective,
        truncation,
        train,
        valid,
        mut briefing,
        opening,
        mut data,
    } = source.material(&texts, progress)?;
    data.extend(general.hashes);
    resolve(&mut recipe, &base, task, (max_length, truncation));
    let samples = SamplePrompt::of(&recipe.train.samples, &base, opening)?;
    let is_resumed = resumed.is_some();
    let folder = place(resumed, &recipe, task)?;
    check(&recipe, task, !valid.is_empty())?;
    let plan = Plan::new(&recipe, train.as_ref());
    let parts = (train.as_ref(), valid.len());
    briefing.complete(&base, &objective, parts, &plan)?;
    Ok(Prepared {
        recipe,
        backend,
        finished: folder.finished().filter(|_| is_resumed),
        is_resumed,
        folder,
        briefing,
        base,
        teacher,
        objective,
        train,
        valid,
        general: general.rows,
        data,
        samples,
        opening,
        plan,
    })
}

/// The run's folder: a new one, or that of the run that goes on, if it is of this recipe.
fn place(resumed: Option<RunFolder>, recipe: &Recipe, task: TaskKind) -> Result<RunFolder, Error> {
    let Some(folder) = resumed else {
        return RunFolder::plan(recipe, task);
    };
    folder.check_recipe(recipe)?;
    Ok(folder)
}

/// Writes into the recipe what was decided beside it.
fn resolve(
    recipe: &mut Recipe,
    base: &Base,
    task: TaskKind,
    (max_length, truncation): (usize, Truncation),
) {
    let has_small_body = base.architecture.width() <= SMALL_WIDTH;
    let is_small = has_small_body && recipe.method.kind != MethodKind::Head;
    if is_small && recipe.train.learning_rate.is_none() {
        recipe.train.learning_rate_multiplier *= SMALL_FACTOR;
    }
    let epochs = if is_small {
        SMALL_EPOCHS
    } else {
        DEFAULT_EPOCHS
    };
    recipe.train.epochs.get_or_insert(epochs);
    recipe.model.task = Some(task);
    recipe.data.max_length = Some(max_length);
    recipe.data.truncation = Some(truncation);
    recipe.train.learning_rate = Some(short(recipe.peak_learning_rate()));
    recipe.train.learning_rate_multiplier = 1.0;
}

/// A product of short decimals as one: 0.0003, not 0.00030000000000000003.
fn short(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// Refuses a recipe that does not suit the task or the base, and fills in what the base decides.
fn suit(recipe: &mut Recipe, base: &Base, task: TaskKind) -> Result<(), Error> {
    base.architecture.check(task, &base.folder)?;
    refuse_idle(recipe, task)?;
    if recipe.method.kind == MethodKind::Head && base.architecture.is_tied() {
        return Err(Error::NoHead);
    }
    if task == TaskKind::Distill && recipe.method.kind == MethodKind::Lora {
        return Err(TextsError::AdaptedStudent.into());
    }
    if task == TaskKind::Mask {
        recipe.mask = recipe.mask.resolved();
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

/// The teacher that the recipe names, for the task that has one; it reads so many tokens.
fn teacher(
    recipe: &Recipe,
    task: TaskKind,
    (places, max_length): (Places, usize),
    progress: &mut dyn Progress,
) -> Result<Option<Teacher>, Error> {
    match &recipe.distill.teacher {
        Some(teacher) if task == TaskKind::Distill => {
            let base = Base::open(&places.resolve(teacher, progress)?)?;
            Teacher::new(base, recipe.distill.layer, max_length).map(Some)
        }
        Some(_) => Err(TextsError::IdleTeacher.into()),
        None if task == TaskKind::Distill => Err(TextsError::NoTeacher.into()),
        None => Ok(None),
    }
}

/// Rows of the text on which the base's own objective is measured, if the recipe names one.
fn general(texts: &Texts, progress: &mut dyn Progress) -> Result<Measured, Error> {
    let Some(path) = &texts.recipe.data.general else {
        return Ok(Measured::default());
    };
    let own = Texts {
        task: texts.base.own_objective()?,
        teacher: None,
        ..*texts
    };
    own.measure(std::slice::from_ref(path), Some(HELD_OUT), progress)
}

/// Refuses keys that say something of another task than the run's.
fn refuse_idle(recipe: &Recipe, task: TaskKind) -> Result<(), Error> {
    let MaskRecipe {
        probability,
        whole_word,
    } = recipe.mask;
    let (generate, mask) = (TaskKind::Generate, TaskKind::Mask);
    let may_hide = task == TaskKind::Distill && recipe.distill.layer.is_some();
    let hides = may_hide && probability.is_some();
    let keys = [
        (
            "data.prompt_loss_weight",
            recipe.data.prompt_loss_weight > 0.0,
            generate,
        ),
        ("data.pack", recipe.data.pack, generate),
        ("data.date", recipe.data.date.is_some(), generate),
        ("train.samples", !recipe.train.samples.is_empty(), generate),
        (
            "model.gradient_checkpointing",
            recipe.model.gradient_checkpointing,
            generate,
        ),
        (
            "distill.layer",
            recipe.distill.layer.is_some(),
            TaskKind::Distill,
        ),
        ("mask.probability", probability.is_some() && !may_hide, mask),
        ("mask.whole_word", whole_word.is_some() && !hides, mask),
    ];
    let mut idle = keys.into_iter();
    match idle.find(|(_, is_set, of)| *is_set && *of != task) {
        Some((key, _, of)) => Err(Error::IdleKey { key, of, task }),
        None => Ok(()),
    }
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
            recipe: self.recipe,
            steps_per_epoch: self.plan.steps_per_epoch,
            task: self.objective.task(),
            opening: self.opening,
        })
    }
}
