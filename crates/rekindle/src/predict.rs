//! The commands `predict` and `eval`: a fine-tuned model answers.

use std::path::{Path, PathBuf};

use burn::module::Module;
use rayon::prelude::*;
use rekindle_data::{Limit, Record, RowError, TaskKind, TextInput, TokenizerError, Truncation};
use rekindle_hub::Progress;
use rekindle_nn::{Model, TrainBackend};
use rekindle_train::batch::Row;
use rekindle_train::evaluate::{Evaluated, Runner};
use rekindle_train::objective::{Objective, TagTarget, Target, argmax, is_set};
use rekindle_train::recipe::Recipe;
use rekindle_train::task::{Device, Inner, Task, TrainableBackend, TrainableModel};
use serde_json::{Map, Value, json};

use crate::architecture::UseModel;
use crate::backend::{Choice, Job};
use crate::base::Base;
use crate::error::Error;
use crate::generate::Generator;
use crate::rows::{Examples, Tokenized};
use crate::samples::ObservedTask;
use crate::texts::{Texts, are_texts};
use crate::train::max_length;

/// Rows that are read, answered and written at a time; memory does not grow with the input.
const ROWS_AT_ONCE: usize = 1024;

/// Rows of a forward pass.
const BATCH_SIZE: usize = 32;

/// Tokens of a forward pass, padding included, if rows are as long as they may be.
const BATCH_TOKENS: usize = 32 * 256;

/// A fine-tuned model and what its outputs mean.
#[derive(Debug)]
pub struct Predictor {
    base: Base,
    objective: Objective,
    limit: Limit,
}

/// A table of numbers about the rows of a file.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Mean loss, numbers, logits.
    pub evaluated: Evaluated,
    /// The rows' targets with their loss.
    pub rows: Vec<EvaluatedRow>,
    /// Rows that were cut.
    pub truncated: usize,
    /// Rows that were left out.
    pub skipped: usize,
    /// How the files were read.
    pub notes: Vec<String>,
}

/// The loss of one row.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct EvaluatedRow {
    /// Its number among the rows of the files, from 1.
    pub row: usize,
    /// Mean loss over its targets.
    pub loss: f64,
    /// Its targets: words of a tagged row, labels of a multi-label row, else 1.
    pub tokens: usize,
    /// Sum of the losses.
    pub nll: f64,
}

/// What comes of a stream of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Rows that were answered.
    pub rows: usize,
    /// Rows that could not be read.
    pub failed: usize,
    /// Rows that were cut.
    pub truncated: usize,
}

/// Takes answers, one object per row, in order.
pub type WriteAnswer<'a> = dyn FnMut(Map<String, Value>) -> std::io::Result<()> + 'a;

/// The fields of a record, and its tokens with whether it was cut.
type Read = (Map<String, Value>, Result<(Row, bool), RowError>);

impl Predictor {
    /// Reads a model folder; its task is the one of its head.
    pub fn open(
        folder: &Path,
        task: Option<TaskKind>,
        longest: Option<usize>,
    ) -> Result<Self, Error> {
        let base = Base::open(folder)?;
        let objective = base.objective(folder, task)?;
        let max_length = max_length(longest, &base)?;
        let limit = Limit {
            max_length,
            truncation: Truncation::Right,
        };
        Ok(Self {
            base,
            objective,
            limit,
        })
    }

    /// The same model as one that writes; `longest` limits prompt and answer together.
    pub fn into_generator(self, longest: Option<usize>) -> Result<Generator, Error> {
        Generator::of(self.base, longest)
    }

    /// The task of the model.
    pub fn task(&self) -> TaskKind {
        self.objective.task()
    }

    /// Scores the rows of files; raw text in blocks, as it is learned from, with its tokens kept in `cache`.
    pub fn evaluate(
        &self,
        backend: &Choice,
        paths: &[PathBuf],
        (cache, progress): (&Path, &mut dyn Progress),
    ) -> Result<Evaluation, Error> {
        if matches!(self.task(), TaskKind::Generate | TaskKind::Mask)
            && are_texts(paths, Some(self.task()))?
        {
            let texts = Texts {
                recipe: &Recipe::default(),
                task: self.task(),
                base: &self.base,
                max_length: self.limit.max_length,
                teacher: None,
                backend,
                cache,
            };
            let measured = texts.measure(paths, None, progress)?;
            return self.score(
                backend,
                Tokenized {
                    rows: measured.rows,
                    ..Tokenized::default()
                },
                measured.notes,
            );
        }
        let examples = Examples::read(paths, Some(self.task()))?;
        if !self.objective.labels().names().is_empty() {
            examples.check_labels(self.objective.labels())?;
        }
        let limit = Limit {
            truncation: examples.default_truncation(),
            ..self.limit
        };
        let tokenized = self
            .base
            .tokenize(&examples, self.objective.labels(), limit, 0.0)?;
        if tokenized.rows.is_empty() {
            return Err(Error::NoRows {
                skipped: tokenized.skipped,
            });
        }
        self.score(backend, tokenized, examples.describe())
    }

    /// Runs the rows, and reckons the loss of each.
    fn score(
        &self,
        backend: &Choice,
        tokenized: Tokenized,
        notes: Vec<String>,
    ) -> Result<Evaluation, Error> {
        let job = Scoring {
            predictor: self,
            backend,
            rows: &tokenized.rows,
        };
        let evaluated = backend.run(job)?;
        let rows = tokenized.rows.iter().zip(&evaluated.outputs);
        let rows = rows
            .map(|(row, logits)| {
                let nll = self.objective.row_loss(logits, &row.target);
                let tokens = self.objective.weight(&row.target);
                EvaluatedRow {
                    row: row.number,
                    loss: nll / tokens,
                    tokens: tokens as usize,
                    nll,
                }
            })
            .collect();
        Ok(Evaluation {
            evaluated,
            rows,
            truncated: tokenized.truncated,
            skipped: tokenized.skipped,
            notes,
        })
    }

    /// Answers rows as they come, and writes an object for each, in order.
    pub fn answer(
        &self,
        backend: &Choice,
        records: &mut dyn Iterator<Item = Result<Record, RowError>>,
        with_logits: bool,
        write: &mut WriteAnswer,
    ) -> Result<Answered, Error> {
        if self.task() == TaskKind::Mask {
            return Err(Error::NoAnswer {
                path: self.base.folder.clone(),
            });
        }
        backend.run(Answering {
            predictor: self,
            backend,
            records,
            with_logits,
            write,
        })
    }

    fn with_model<B: TrainableBackend, U: UseModel<B>>(
        &self,
        device: &Device<B>,
        code: U,
    ) -> U::Output {
        let architecture = &self.base.architecture;
        architecture.with_model(&self.objective, &Recipe::default(), device, code)
    }

    /// A model with the weights of the checkpoint; one without a trained head is refused.
    fn load<B, M>(&self, model: M) -> Result<M::InnerModule, Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
    {
        let model = self.base.load_trained::<B, M>(model, self.task())?;
        Ok(model.valid())
    }

    fn runner<'a, T>(&'a self, task: &'a T, backend: &Choice) -> Runner<'a, T> {
        let objective = &self.objective;
        Runner {
            task,
            objective,
            layout: backend.layout(),
            batch_size: (BATCH_TOKENS / self.limit.max_length).clamp(1, BATCH_SIZE),
        }
    }

    /// The fields of records and what [`Self::row`] makes of them, tokenized on all cores.
    fn rows(&self, records: Vec<Result<Record, RowError>>) -> Vec<Read> {
        let records = records.into_par_iter();
        let read = records.map(|record| match record {
            Ok(record) => {
                let row = self.row(&record);
                (record.fields, row)
            }
            Err(error) => (Map::new(), Err(error)),
        });
        read.collect()
    }

    /// Tokens of a record, its words where they are tagged, and whether it was cut.
    fn row(&self, record: &Record) -> Result<(Row, bool), RowError> {
        let failed = |error: TokenizerError| {
            RowError::new(
                record.line,
                error.to_string(),
                error.hint().unwrap_or_default(),
            )
        };
        let kept = "truncation `right` drops no row";
        if self.task() == TaskKind::Tag {
            let words = words(record)?;
            let encoded = self
                .base
                .tokenizer
                .encode_words(&words, self.limit)
                .map_err(failed)?;
            let encoded = encoded.expect(kept);
            let first = |word| encoded.words.iter().position(|&w| w == Some(word));
            let tags = (0..words.len())
                .map(|word| TagTarget {
                    class: 0,
                    token: first(word),
                })
                .collect();
            let row = Row {
                ids: encoded.ids,
                type_ids: encoded.type_ids,
                target: Target::Tags(tags),
                number: 0,
            };
            return Ok((row, encoded.truncated));
        }
        let input = rekindle_classification::input(record)?;
        let encoded = self
            .base
            .tokenizer
            .encode(&input, self.limit)
            .map_err(failed)?
            .expect(kept);
        let row = Row {
            ids: encoded.ids,
            type_ids: encoded.type_ids,
            target: Target::Number(0.0),
            number: 0,
        };
        Ok((row, encoded.truncated))
    }

    /// The answer to a row, as fields of an object.
    fn fields(&self, logits: &[f32], target: &Target, with_logits: bool) -> Map<String, Value> {
        let names = self.objective.labels().names();
        let scores = |values: Vec<f64>| -> Value {
            Value::Object(
                names
                    .iter()
                    .cloned()
                    .zip(values.into_iter().map(Value::from))
                    .collect(),
            )
        };
        let mut fields = Map::new();
        match self.task() {
            TaskKind::Classify => {
                fields.insert("label".into(), json!(names[argmax(logits)]));
                fields.insert("scores".into(), scores(softmax(logits)));
            }
            TaskKind::MultiLabel => {
                let set = is_set(logits);
                let chosen: Vec<_> = names
                    .iter()
                    .zip(set)
                    .filter(|(_, is_set)| *is_set)
                    .map(|(n, _)| n)
                    .collect();
                fields.insert("labels".into(), json!(chosen));
                fields.insert(
                    "scores".into(),
                    scores(logits.iter().copied().map(sigmoid).collect()),
                );
            }
            TaskKind::Regress => {
                fields.insert("score".into(), json!(logits[0]));
            }
            TaskKind::Tag => {
                fields.insert(
                    "tags".into(),
                    json!(self.objective.predicted_tags(logits, target)),
                );
            }
            TaskKind::Generate | TaskKind::Mask | TaskKind::Distill => {}
        }
        if with_logits {
            let rows: Vec<&[f32]> = logits.chunks(self.objective.num_outputs()).collect();
            let logits = if self.task() == TaskKind::Tag {
                json!(rows)
            } else {
                json!(logits)
            };
            fields.insert("logits".into(), logits);
        }
        fields
    }
}

/// The words of a row: its `tokens`, or its `text` cut at white space.
fn words(record: &Record) -> Result<Vec<String>, RowError> {
    if record.field("tokens").is_some() {
        return rekindle_tokens::words(record);
    }
    match rekindle_classification::input(record)? {
        TextInput::Single(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        TextInput::Pair(..) => Err(RowError::new(
            record.line,
            "is a second text, and words of one are tagged",
            "remove the field",
        )
        .in_field("text_pair")),
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| f64::from(x - peak).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn sigmoid(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}

/// [`Predictor::evaluate`] on a backend.
struct Scoring<'a> {
    predictor: &'a Predictor,
    backend: &'a Choice,
    rows: &'a [Row],
}

impl Job for Scoring<'_> {
    type Output = Result<Evaluated, Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        self.predictor.with_model::<B, _>(device, self)
    }
}

impl<B: TrainableBackend> UseModel<B> for Scoring<'_> {
    type Output = Result<Evaluated, Error>;

    fn call<M, T>(self, model: M, task: T) -> Self::Output
    where
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let model = self.predictor.load::<B, M>(model)?;
        let device = model.devices().remove(0);
        let runner = self.predictor.runner(&task, self.backend);
        Ok(runner.evaluate::<Inner<B>, _>(&model, self.rows, &device))
    }
}

/// [`Predictor::answer`] on a backend.
struct Answering<'a> {
    predictor: &'a Predictor,
    backend: &'a Choice,
    records: &'a mut dyn Iterator<Item = Result<Record, RowError>>,
    with_logits: bool,
    write: &'a mut WriteAnswer<'a>,
}

impl Job for Answering<'_> {
    type Output = Result<Answered, Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        self.predictor.with_model::<B, _>(device, self)
    }
}

impl<B: TrainableBackend> UseModel<B> for Answering<'_> {
    type Output = Result<Answered, Error>;

    fn call<M, T>(self, model: M, task: T) -> Self::Output
    where
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let model = self.predictor.load::<B, M>(model)?;
        let device = model.devices().remove(0);
        let runner = self.predictor.runner(&task, self.backend);
        self.stream::<Inner<B>, _, _>(&model, runner, &device)
    }
}

impl Answering<'_> {
    fn stream<B, M, T>(
        mut self,
        model: &M,
        runner: Runner<T>,
        device: &B::Device,
    ) -> Result<Answered, Error>
    where
        B: TrainBackend,
        M: Model<B>,
        T: Task<B, M>,
    {
        let mut answered = Answered::default();
        loop {
            let records: Vec<_> = (&mut self.records).take(ROWS_AT_ONCE).collect();
            if records.is_empty() {
                return Ok(answered);
            }
            let mut rows = Vec::new();
            let mut origins = Vec::new();
            let mut answers = Vec::new();
            for (index, (mut fields, row)) in self.predictor.rows(records).into_iter().enumerate() {
                match row {
                    Ok((row, is_truncated)) => {
                        answered.truncated += usize::from(is_truncated);
                        origins.push(index);
                        rows.push(row);
                    }
                    Err(error) => {
                        answered.failed += 1;
                        fields.insert("error".into(), json!(error.to_string()));
                    }
                }
                answers.push(fields);
            }
            let logits = runner.outputs(model, &rows, device);
            for ((index, row), logits) in origins.into_iter().zip(&rows).zip(&logits) {
                let fields = self.predictor.fields(logits, &row.target, self.with_logits);
                answers[index].extend(fields);
            }
            answered.rows += rows.len();
            for answer in answers {
                (self.write)(answer).map_err(|source| Error::Write {
                    path: "the answers".into(),
                    source,
                })?;
            }
        }
    }
}
