//! Prompts of a recipe that the model answers at each evaluation.

use burn::module::Module;
use burn::tensor::backend::Backend;
use rekindle_data::{Message, RenderError, Renderer, Role};
use rekindle_generate::{Engine, Options, Prompt};
use rekindle_nn::{CausalLm, TrainBackend};
use rekindle_train::mask_task::MaskTask;
use rekindle_train::task::{
    Inner, RowTask, TagTask, TrainableBackend, TrainableModel, TrainableTask,
};
use rekindle_train::token_task::TokenTask;

use crate::base::Base;
use crate::error::Error;
use crate::general::Remembers;
use crate::rows::Opening;

/// Tokens of an answer, at most.
const MAX_TOKENS: usize = 64;

/// Prompts ready for a model, and how its answers are read.
pub(crate) struct Samples<'a> {
    renderer: Option<&'a Renderer>,
    positions: usize,
    prompts: &'a [SamplePrompt],
}

/// A prompt and its tokens.
#[derive(Clone, Debug)]
pub(crate) struct SamplePrompt {
    text: String,
    ids: Vec<u32>,
}

impl SamplePrompt {
    /// Tokenizes prompts: as they are, or each as an instruction, or as the user's message of a chat.
    pub(crate) fn of(texts: &[String], base: &Base, opening: Opening) -> Result<Vec<Self>, Error> {
        let Some(renderer) = &base.renderer else {
            return Ok(Vec::new());
        };
        let ids = |text: &String| -> Result<Vec<u32>, RenderError> {
            match opening {
                Opening::Chat => renderer.chat(&[Message::new(Role::User, text.as_str())], None),
                Opening::Instruction if !rekindle_instruct::is_instruction(text) => {
                    renderer.prompt(&rekindle_instruct::instruction(text, ""))
                }
                Opening::Instruction | Opening::Text => renderer.prompt(text),
            }
        };
        let prompt = |text: &String| {
            let ids = ids(text)?;
            let most = base.architecture.max_length();
            if ids.len() >= most {
                return Err(Error::LongSample {
                    length: ids.len(),
                    most,
                });
            }
            Ok(Self {
                text: text.clone(),
                ids,
            })
        };
        texts.iter().map(prompt).collect()
    }
}

impl<'a> Samples<'a> {
    pub(crate) fn new(base: &'a Base, prompts: &'a [SamplePrompt]) -> Self {
        Self {
            renderer: base.renderer.as_ref(),
            positions: base.architecture.max_length(),
            prompts,
        }
    }

    /// The likeliest answers, each with its prompt.
    fn answers<B: TrainBackend, M: CausalLm<B>>(&self, model: &M) -> Vec<(String, String)> {
        let Some(renderer) = self.renderer.filter(|_| !self.prompts.is_empty()) else {
            return Vec::new();
        };
        let options = Options::default();
        let engine = Engine {
            model,
            device: &device_of::<B, M>(model),
            positions: self.positions,
            renderer,
            options: &options,
        };
        let prompts = self.prompts.iter().zip(0..).map(|(prompt, number)| Prompt {
            ids: prompt.ids.clone(),
            number,
            max_tokens: MAX_TOKENS.min(self.positions - prompt.ids.len()),
        });
        let answers = engine.answer(&prompts.collect::<Vec<_>>(), &mut |_| {
            std::ops::ControlFlow::Continue(())
        });
        let texts = match answers {
            Ok(answers) => answers.into_iter().map(|answer| answer.text).collect(),
            // A model that writes no number at all has nothing to say; the loss tells the same.
            Err(error) => vec![format!("({error})"); self.prompts.len()],
        };
        let prompts = self.prompts.iter().map(|prompt| prompt.text.clone());
        prompts.zip(texts).collect()
    }
}

/// Where a model lies.
pub(crate) fn device_of<B: Backend, M: Module<B>>(model: &M) -> B::Device {
    model.devices().remove(0)
}

/// A task whose model may be able to answer prompts.
pub(crate) trait AnswersPrompts<B: TrainBackend, M> {
    /// The answers of a model that writes; none of one that scores.
    fn answers(&self, _model: &M, _samples: &Samples) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl<B: TrainBackend, M> AnswersPrompts<B, M> for RowTask {}

impl<B: TrainBackend, M> AnswersPrompts<B, M> for TagTask {}

impl<B: TrainBackend, M> AnswersPrompts<B, M> for MaskTask {}

impl<B: TrainBackend, M: CausalLm<B>> AnswersPrompts<B, M> for TokenTask {
    fn answers(&self, model: &M, samples: &Samples) -> Vec<(String, String)> {
        samples.answers::<B, M>(model)
    }
}

/// A task that can be trained, and asked while it is.
pub(crate) trait ObservedTask<B: TrainableBackend, M: TrainableModel<B>>:
    TrainableTask<B, M> + AnswersPrompts<Inner<B>, M::InnerModule> + Remembers<Inner<B>, M::InnerModule>
{
}

impl<B: TrainableBackend, M: TrainableModel<B>, T> ObservedTask<B, M> for T where
    T: TrainableTask<B, M>
        + AnswersPrompts<Inner<B>, M::InnerModule>
        + Remembers<Inner<B>, M::InnerModule>
{
}
