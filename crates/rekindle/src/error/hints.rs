//! What to do about each error.

use super::Error;

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Recipe(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::Texts(error) => error.hint(),
            Self::Corpus(error) => error.hint(),
            Self::Tokenizer(error) | Self::Row { source: error, .. } => error.hint(),
            Self::Renderer(error) | Self::Unrendered { source: error, .. } => error.hint(),
            Self::Generate(error) => error.hint(),
            Self::Hub(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Adapt(error) => error.hint(),
            Self::Adapter(error) => error.hint(),
            Self::Weights(error) => error.hint(),
            Self::Scratch(error) => error.hint(),
            Self::NewTokenizer(error) => error.hint(),
            Self::Backend(error) => error.hint(),
            Self::Train(error) => error.hint(),
            Self::Save(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::Unfinished(error) => error.hint(),
            Self::Record(error) => error.hint(),
            Self::Serve(error) => error.hint(),
            _ => self.own_hint(),
        }
    }

    /// What to do about an error that has no cause with a hint of its own.
    fn own_hint(&self) -> Option<String> {
        let hints = [
            Self::hint_of_adapter,
            Self::hint_of_data,
            Self::hint_of_model,
            Self::hint_of_run,
            Self::hint_of_file,
        ];
        hints.into_iter().find_map(|hint| hint(self))
    }

    /// What to do about a file or a folder.
    fn hint_of_file(&self) -> Option<String> {
        match self {
            Self::Write { .. } => Some("choose another path, one that can be written".into()),
            Self::Checkpoints(_) | Self::Read { .. } => {
                Some("look at the path and its permissions".into())
            }
            Self::Unfaithful { .. } => {
                Some("do not use the saved model; this is a bug worth a report".into())
            }
            _ => None,
        }
    }

    /// What to do about the rows of a file.
    fn hint_of_data(&self) -> Option<String> {
        match self {
            Self::Skipped { .. } => Some(
                "give a larger `--max-length`; in training, `--set data.truncation=left` keeps the answers"
                    .into(),
            ),
            Self::OtherTask { expected, .. } => {
                Some(format!("give data for the task `{expected}`"))
            }
            Self::NoRows { .. } => {
                Some("give a larger `--max-length`, or `truncation = \"right\"`".into())
            }
            Self::Lesson(_) => Some("the cache or the disk is at fault, not the text".into()),
            Self::RawText { .. } => {
                Some("give rows with labels, and leave the task out".into())
            }
            Self::OneLabel(_) => Some("add rows with another label".into()),
            _ => None,
        }
    }

    /// What to do about what a model cannot do.
    fn hint_of_model(&self) -> Option<String> {
        match self {
            Self::Headless { path, .. } => Some(format!(
                "fine-tune it first: `rekindle train --model {} --data FILE`",
                path.display()
            )),
            Self::Config { .. } => {
                Some("copy it again from where the model came from, or choose another model".into())
            }
            Self::Architecture { known, .. } => Some(format!("known: {}", known.join(", "))),
            Self::OtherKind {
                is_decoder: true, ..
            } => Some(
                "give rows with `prompt` and `completion`, `messages` or `text`; or take an encoder, such as BERT".into(),
            ),
            Self::OtherKind { .. } => {
                Some("take a decoder, such as Llama, Qwen or GPT-2, for data without labels; or `--task mask`, so that this one learns the words of a text".into())
            }
            Self::NoAnswer { path } => Some(format!(
                "train it on rows with labels first: `rekindle train --model {} --data FILE`",
                path.display()
            )),
            Self::Quantized { .. } => {
                Some("take the model that it was made from, in f32, f16 or bf16".into())
            }
            Self::IdleKey { key, .. } => Some(format!("remove `{key}`")),
            Self::IdleDate => Some("remove `data.date`".into()),
            Self::LongSample { .. } => Some("shorten it".into()),
            Self::NoHead => Some(
                "`--method last-layers` trains the blocks next to it, `--method lora` adapters in all of them".into(),
            ),
            Self::Precision { .. } => Some("`--dtype f32` computes everywhere".into()),
            Self::Vocabulary { .. } => Some(
                "tokenizer and weights are of different models; copy both from one folder".into(),
            ),
            Self::TooLong { most, .. } => Some(format!("give `--max-length {most}` or less")),
            _ => None,
        }
    }

    /// What to do about an adapter.
    fn hint_of_adapter(&self) -> Option<String> {
        let hint = match self {
            Self::NoBase { adapter, .. } => format!(
                "put the base there, or merge with a copy of it: `rekindle export --model {} --base DIR --to merged --output DIR`",
                adapter.display()
            ),
            Self::OtherBase { .. } => {
                "`base_model_name_or_path` of its `adapter_config.json` names the base; the names and shapes above are what does not fit".to_owned()
            }
            Self::IncompleteAdapter { .. } => {
                "copy or download it again; other tools may have saved it in part".to_owned()
            }
            Self::TiedOutput { .. } => {
                "train it again without `lm_head` in `target_modules` and `modules_to_save`, or on a base whose `config.json` says `\"tie_word_embeddings\": false`".to_owned()
            }
            Self::ChangedLayer { .. } => {
                "give the base that it was trained on, or merge it with peft: `model.merge_and_unload().save_pretrained(folder)`".to_owned()
            }
            Self::OtherAdapter { .. } => "leave the key out, or start from the base".to_owned(),
            Self::OtherLabels { adapter } => format!(
                "merge it, and train the result: `rekindle export --model {} --to merged --output DIR`",
                adapter.display()
            ),
            Self::NoAdapter { .. } => {
                "it is a full model as it is; `--to merged --dtype f16` writes it in half the bytes"
                    .to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }

    /// What to do about a run folder.
    fn hint_of_run(&self) -> Option<String> {
        match self {
            Self::OtherInputs { .. } => Some(
                "put the files back as they were, or begin a new run with another `--output`"
                    .into(),
            ),
            Self::OtherRecipe { path, .. } => Some(format!(
                "`rekindle train {} --resume` goes on as it was; another `--output` begins a new run",
                path.display()
            )),
            Self::WhichRun { .. } => Some("`rekindle train runs/NAME --resume`".into()),
            Self::Incomplete { path } => Some(format!(
                "remove it to go on from the one before: `{}`",
                path.display()
            )),
            Self::Device { folder, .. } => Some(format!(
                "go on from the last checkpoint: `rekindle train {} --resume`",
                folder.display()
            )),
            Self::Occupied { what, path } if what.contains("a run") => Some(format!(
                "`rekindle train {} --resume` goes on with it; else choose another `--output`",
                path.display()
            )),
            Self::Occupied { .. } => Some("choose another `--output`, or remove the folder".into()),
            _ => None,
        }
    }
}
