//! The command `export`: an adapter folded into its base, or copied; weights in another type.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use rekindle_data::{HiddenToken, TaskKind};
use rekindle_hub::{Checkpoint, NamedTensor, StoredType, is_adapter, read_config, save_model};
use rekindle_nn::merge;
use rekindle_train::batch::Row;
use rekindle_train::evaluate::Runner;
use rekindle_train::objective::{Objective, TagTarget, Target};
use rekindle_train::recipe::Recipe;
use rekindle_train::task::{Inner, TrainableBackend, TrainableModel};
use serde_json::json;

use crate::architecture::UseModel;
use crate::backend::{Choice, Job};
use crate::base::Base;
use crate::error::Error;
use crate::faithful::{compare, compare_rounded};
use crate::samples::ObservedTask;

/// What a model is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A full model, with the adapter folded into its weights; in a type other than f32 if one is given, and
    /// then there need not be an adapter.
    Merged(Option<StoredType>),
    /// The adapter alone, as peft has it.
    Adapter,
}

impl Form {
    /// The type of the weights in the file.
    fn stored(self) -> StoredType {
        match self {
            Self::Merged(Some(stored)) => stored,
            Self::Merged(None) | Self::Adapter => StoredType::F32,
        }
    }
}

/// Writes the adapter of a model folder, or the model with it, into a folder of its own; `base` is where
/// the adapter's base lies, if not where the adapter says.
///
/// The result is loaded afresh, and its logits are compared with those of the adapter on its base. Where
/// there is no adapter, each weight that was written is.
pub fn export(
    folder: &Path,
    base: Option<&Path>,
    (form, output): (Form, &Path),
    backend: &Choice,
) -> Result<(), Error> {
    refuse_occupied(output)?;
    if !is_adapter(folder) {
        let what = match form {
            Form::Merged(Some(stored)) => return convert(folder, stored, output),
            Form::Merged(None) => "merge",
            Form::Adapter => "copy",
        };
        return Err(Error::NoAdapter {
            path: folder.to_owned(),
            what,
        });
    }
    let opened = Base::open_adapter(folder, base)?;
    let objective = opened.objective(&opened.folder, None)?;
    backend.run(Export {
        base: &opened,
        objective: &objective,
        form,
        output,
        backend,
    })
}

/// Writes a full model with its weights in another type, and reads them again.
fn convert(folder: &Path, stored: StoredType, output: &Path) -> Result<(), Error> {
    let mut config = read_config(folder)?;
    config.shift_remove("torch_dtype");
    config.insert("dtype".into(), json!(stored.config_name()));
    let checkpoint = Checkpoint::open(folder)?;
    let failure = RefCell::new(None);
    let mut tensors = Vec::new();
    for name in checkpoint.names() {
        let shape = checkpoint.shape(name).unwrap_or_default().to_vec();
        let (checkpoint, failure) = (&checkpoint, &failure);
        let read = move || {
            checkpoint.read_f32(name).unwrap_or_else(|error| {
                failure.borrow_mut().get_or_insert(error);
                Vec::new()
            })
        };
        tensors.push(NamedTensor::new(name, shape, read).stored_as(stored));
    }
    let saved = save_model(output, &config, tensors, folder);
    // The reason why a tensor had no values, not that it had none.
    if let Some(error) = failure.into_inner() {
        return Err(error.into());
    }
    saved?;
    let written = Checkpoint::open(output)?;
    for name in checkpoint.names() {
        let [kept, found] = [&checkpoint, &written].map(|file| file.read_f32(name));
        compare_rounded(&kept?, &found?, (output, stored))?;
    }
    Ok(())
}

/// Only an empty folder is written into.
fn refuse_occupied(output: &Path) -> Result<(), Error> {
    let is_empty = match fs::read_dir(output) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !output.exists(),
    };
    if is_empty {
        return Ok(());
    }
    Err(Error::Occupied {
        path: output.to_owned(),
        what: "is not empty",
    })
}

struct Export<'a> {
    base: &'a Base,
    objective: &'a Objective,
    form: Form,
    output: &'a Path,
    backend: &'a Choice,
}

impl Job for Export<'_> {
    type Output = Result<(), Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let (architecture, objective) = (&self.base.architecture, self.objective);
        // The recipe decides how a model is trained, and here none is.
        let recipe = Recipe::default();
        let copy = Copy {
            export: &self,
            // The model is loaded once more, from what was written.
            kept: None,
        };
        let kept = architecture.with_model::<B, _>(objective, &recipe, device, copy)?;
        let check = Copy {
            export: &self,
            kept: Some(kept),
        };
        architecture.with_model::<B, _>(objective, &recipe, device, check)?;
        Ok(())
    }
}

/// Writes a model and gives its logits; with logits that were kept, compares those of what was written.
struct Copy<'a> {
    export: &'a Export<'a>,
    kept: Option<Vec<Vec<f32>>>,
}

impl<B: TrainableBackend> UseModel<B> for Copy<'_> {
    type Output = Result<Vec<Vec<f32>>, Error>;

    fn call<M, T>(self, model: M, task: T) -> Self::Output
    where
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let Export {
            base,
            objective,
            form,
            output,
            backend,
        } = self.export;
        let device = model.devices().remove(0);
        let runner = Runner {
            task: &task,
            objective,
            layout: backend.layout(),
            batch_size: 1,
        };
        let kind = objective.task();
        let rows = probe(base, kind);
        if let Some(kept) = self.kept {
            let written = match form {
                Form::Merged(_) => Base::open_model(output)?,
                Form::Adapter => Base::open_adapter(output, Some(&base.folder))?,
            };
            let stored = form.stored();
            let (model, _) = written.load::<B, M>(model, kind, true, 0)?;
            let found = runner.outputs::<Inner<B>, _>(&model.valid(), &rows, &device);
            compare(&kept, &found, (output, stored))?;
            return Ok(found);
        }
        let model = base.load_trained::<B, M>(model, kind)?.valid();
        let kept = runner.outputs::<Inner<B>, _>(&model, &rows, &device);
        match form {
            Form::Merged(_) => {
                let merged = merge::<Inner<B>, _>(model)?;
                base.save_as::<Inner<B>, _>(&merged, objective, (output, form.stored()))?;
            }
            Form::Adapter => base.copy_adapter::<Inner<B>, _>(&model, objective, output)?,
        }
        Ok(kept)
    }
}

/// Rows that reach every part of a model: what they say does not matter.
fn probe(base: &Base, task: TaskKind) -> Vec<Row> {
    const LONGEST: usize = 24;
    /// Steps far apart in the vocabulary.
    const STRIDE: usize = 7919;
    let most = base.architecture.max_length().min(LONGEST);
    let row = |length: usize| {
        let id = |position: usize| (position * STRIDE + length) % base.architecture.vocab_size();
        let target = match task {
            TaskKind::Tag => Target::Tags(vec![TagTarget {
                class: 0,
                token: Some(length - 1),
            }]),
            TaskKind::Generate => {
                Target::Tokens((0..length).map(|token| token.min(1) as f32).collect())
            }
            TaskKind::Mask => Target::Masked(vec![HiddenToken {
                position: length - 1,
                id: id(0) as u32,
            }]),
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Regress | TaskKind::Distill => {
                Target::Number(0.0)
            }
        };
        Row {
            ids: (0..length).map(|position| id(position) as u32).collect(),
            type_ids: vec![0; length],
            target,
            number: 0,
        }
    };
    vec![row(most), row(most.div_ceil(2))]
}
