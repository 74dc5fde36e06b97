//! `rekindle generate`.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use rekindle::Error;
use rekindle::backend::{Choice, choose};
use rekindle::generate::{Answer, End, Generator};
use serde_json::json;

use crate::args::{Generate, LanguageModel};
use crate::failure::INTERRUPTED;
use crate::places::resolve;
use crate::progress::note;
use crate::stream::{Clock, Interrupt, Stream};

/// Opens the model that a command names, and the backend that it asks for.
pub(crate) fn open(model: &LanguageModel) -> Result<(Generator, Choice), Error> {
    let backend = choose(&model.backend)?;
    let folder = resolve(&model.model)?;
    let generator = Generator::open(&folder, model.max_length)?;
    Ok((generator, backend))
}

/// Goes on with a text, and writes what comes as it comes.
pub(crate) fn run(arguments: &Generate) -> Result<ExitCode> {
    let (generator, backend) = open(&arguments.model)?;
    let asked = arguments.writing.asked();
    let options = generator.options(&asked)?;
    let text = text(&arguments.prompt)?;
    let prompt = generator.text(&text, asked.max_tokens)?;
    let interrupt = Interrupt::listen()?;
    let prompts = [prompt];
    let (answers, clock) = generator.run(&backend, |write| -> Result<_> {
        let mut stream = if arguments.json {
            Stream::silent(&interrupt)
        } else {
            Stream::shown(&interrupt, false)
        };
        let answers = write(&options, &prompts, &mut |piece| stream.push(piece.text));
        Ok((answers.map_err(Error::from)?, stream.finish()?))
    })??;
    let answer = &answers[0];
    if arguments.json {
        print(&text, prompts[0].ids.len(), answer, clock)?;
    } else if answer.end == End::Length && asked.max_tokens.is_none() {
        note(format_args!(
            "cut off after {} tokens; `--max-tokens` allows more",
            answer.ids.len()
        ));
    }
    Ok(match answer.end {
        End::Cancelled => ExitCode::from(INTERRUPTED),
        End::Token | End::Length | End::StopString => ExitCode::SUCCESS,
    })
}

/// The prompt, from standard input if it is `-`.
fn text(prompt: &str) -> Result<String> {
    if prompt != "-" {
        return Ok(prompt.to_owned());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let line = text.strip_suffix('\n');
    let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.unwrap_or(&text).to_owned())
}

fn print(prompt: &str, prompt_tokens: usize, answer: &Answer, clock: Clock) -> Result<()> {
    let object = json!({
        "prompt": prompt,
        "completion": answer.text,
        "end": answer.end.name(),
        "prompt_tokens": prompt_tokens,
        "tokens": answer.ids.len(),
        "seconds_to_first_token": clock.seconds_to_first(),
        "tokens_per_second": clock.tokens_per_second(),
    });
    writeln!(io::stdout(), "{object}")?;
    Ok(())
}
