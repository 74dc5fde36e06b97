//! The commands `generate`, `chat` and `predict` with a language model: a fine-tuned model writes.

mod rows;

use std::fs;
use std::path::Path;

use rekindle_data::{Message, Renderer, TaskKind};
use rekindle_generate::Engine;
use rekindle_nn::{CausalLm, TrainBackend};
use rekindle_train::task::{Inner, TrainableBackend};
use serde_json::{Map, Value};

pub use rekindle_generate::{Answer, End, GenerateError, Options, Piece, Prompt, Sampling, Watch};

use crate::architecture::UseDecoder;
use crate::backend::{Choice, Job};
use crate::base::Base;
use crate::error::Error;

/// Tokens of an answer where nothing is said, at most.
const DEFAULT_MAX_TOKENS: usize = 128;

/// Temperature of a chat where neither the user nor the model says one.
const CHAT_TEMPERATURE: f64 = 0.7;

/// What a base model without a chat template would go on with after its answer.
const PLAIN_STOP: &str = "\n\nUser:";

/// A language model and how texts become its tokens; the weights are not read yet.
#[derive(Debug)]
pub struct Generator {
    base: Base,
    renderer: Renderer,
    positions: usize,
    defaults: Map<String, Value>,
}

/// Settings that the user may leave open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Tokens of an answer, at most.
    pub max_tokens: Option<usize>,
    /// See [`Sampling::temperature`].
    pub temperature: Option<f64>,
    /// See [`Sampling::top_k`].
    pub top_k: Option<usize>,
    /// See [`Sampling::top_p`].
    pub top_p: Option<f64>,
    /// See [`Sampling::repetition_penalty`].
    pub repetition_penalty: Option<f64>,
    /// See [`Sampling::seed`].
    pub seed: Option<u64>,
    /// See [`Options::stop`].
    pub stop: Vec<String>,
}

/// Writes answers with a loaded model.
pub type Write<'a> =
    dyn Fn(&Options, &[Prompt], &mut Watch) -> Result<Vec<Answer>, GenerateError> + 'a;

impl Generator {
    /// Reads a model folder; `longest` limits prompt and answer together, to less than the model reads.
    pub fn open(folder: &Path, longest: Option<usize>) -> Result<Self, Error> {
        Self::of(Base::open(folder)?, longest)
    }

    pub(crate) fn of(mut base: Base, longest: Option<usize>) -> Result<Self, Error> {
        base.architecture.check(TaskKind::Generate, &base.folder)?;
        let most = base.architecture.max_length();
        let positions = longest.unwrap_or(most);
        if positions > most {
            return Err(Error::TooLong {
                asked: positions,
                most,
            });
        }
        let renderer = base.renderer.take();
        Ok(Self {
            renderer: renderer.expect("what passed the check is a decoder, which has one"),
            positions,
            defaults: generation_config(&base.folder),
            base,
        })
    }

    /// Whether chats are written with a template that came with the model; else with a plain one.
    pub fn has_chat_template(&self) -> bool {
        self.renderer.has_chat_template()
    }

    /// Tokens that prompt and answer may have together.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// How texts are completed: greedily, if nothing else is asked for.
    pub fn options(&self, asked: &Asked) -> Result<Options, Error> {
        let sampling = Sampling {
            temperature: asked.temperature.unwrap_or_default(),
            top_k: asked.top_k,
            top_p: asked.top_p,
            repetition_penalty: asked.repetition_penalty.unwrap_or(1.0),
            seed: asked.seed.unwrap_or(Sampling::default().seed),
        };
        if asked.seed.is_some() && sampling.temperature == 0.0 {
            return Err(GenerateError::Greedy { name: "seed" }.into());
        }
        let options = Options {
            sampling,
            stop: asked.stop.clone(),
        };
        options.check()?;
        Ok(options)
    }

    /// How chats are answered: as the model's `generation_config.json` says, where nothing is asked for,
    /// and at a temperature of 0.7 where that says nothing either.
    pub fn chat_options(&self, asked: &Asked) -> Result<Options, Error> {
        let number = |key: &str| self.defaults.get(key).and_then(Value::as_f64);
        let temperature = match self.defaults.get("do_sample") {
            Some(Value::Bool(false)) => Some(0.0),
            _ => number("temperature"),
        };
        let temperature = asked.temperature.or(temperature);
        let temperature = temperature.unwrap_or(CHAT_TEMPERATURE);
        let is_drawn = temperature != 0.0;
        let top_k = number("top_k").map(|top_k| top_k as usize);
        let top_k = top_k.filter(|&top_k| is_drawn && top_k > 0);
        let top_p = number("top_p").filter(|_| is_drawn);
        let mut asked = Asked {
            temperature: Some(temperature),
            top_k: asked.top_k.or(top_k),
            top_p: asked.top_p.or(top_p),
            repetition_penalty: asked
                .repetition_penalty
                .or_else(|| number("repetition_penalty")),
            ..asked.clone()
        };
        if !self.has_chat_template() {
            asked.stop.push(PLAIN_STOP.to_owned());
        }
        self.options(&asked)
    }

    /// The tokens of a text that is to be gone on with.
    pub fn text(&self, text: &str, max_tokens: Option<usize>) -> Result<Prompt, Error> {
        let ids = self.renderer.prompt(text)?;
        Ok(self.prompt(ids, max_tokens)?)
    }

    /// The tokens of a chat whose next message is the model's, which gets what room there is.
    pub fn chat(&self, messages: &[Message], max_tokens: Option<usize>) -> Result<Prompt, Error> {
        let ids = self.renderer.chat(messages, None)?;
        let room = self.positions.saturating_sub(ids.len());
        let max_tokens = max_tokens.map(|asked| asked.min(room.max(1)));
        Ok(self.prompt(ids, max_tokens)?)
    }

    /// Without a number of tokens, the answer gets those of the default for which there is room.
    fn prompt(&self, ids: Vec<u32>, max_tokens: Option<usize>) -> Result<Prompt, GenerateError> {
        let room = self.positions.saturating_sub(ids.len());
        let prompt = Prompt {
            max_tokens: max_tokens.unwrap_or(DEFAULT_MAX_TOKENS.min(room).max(1)),
            number: 0,
            ids,
        };
        prompt.check(self.positions)?;
        Ok(prompt)
    }

    /// Reads the weights and calls `work` once with a function that writes answers.
    pub fn run<T>(&self, backend: &Choice, work: impl FnOnce(&Write) -> T) -> Result<T, Error> {
        let (mut work, mut result) = (Some(work), None);
        self.run_with(backend, &mut |write| {
            result = work.take().map(|work| work(write));
        })?;
        let Some(result) = result else {
            unreachable!("a loaded model calls `work` once");
        };
        Ok(result)
    }

    /// Does the same without a type parameter: a generic function would be compiled again, with every model
    /// and every kernel, in each crate that calls it.
    fn run_with(&self, backend: &Choice, work: &mut dyn FnMut(&Write)) -> Result<(), Error> {
        backend.run(Loading {
            generator: self,
            work,
        })
    }
}

/// What the model's makers say of how it writes.
fn generation_config(folder: &Path) -> Map<String, Value> {
    let text = fs::read_to_string(folder.join("generation_config.json"));
    // The renderer has read the file before, and would have said what is wrong with it.
    serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
}

/// [`Generator::run`] on a backend.
struct Loading<'a> {
    generator: &'a Generator,
    work: &'a mut dyn FnMut(&Write),
}

impl Job for Loading<'_> {
    type Output = Result<(), Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let architecture = &self.generator.base.architecture;
        let loaded = Loaded {
            loading: self,
            device,
        };
        architecture.with_decoder::<Inner<B>, _>(device, loaded)?
    }
}

/// The same with a device.
struct Loaded<'a, 'd, D> {
    loading: Loading<'a>,
    device: &'d D,
}

impl<B: TrainBackend> UseDecoder<B> for Loaded<'_, '_, B::Device> {
    type Output = Result<(), Error>;

    fn call<M: CausalLm<B>>(self, model: M) -> Self::Output {
        let Loading { generator, work } = self.loading;
        let base = &generator.base;
        let model = base.load_trained::<B, M>(model, TaskKind::Generate)?;
        work(&|options, prompts, watch| {
            let engine = Engine {
                model: &model,
                device: self.device,
                positions: generator.positions,
                renderer: &generator.renderer,
                options,
            };
            engine.answer(prompts, watch)
        });
        Ok(())
    }
}
