//! `rekindle chat`.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use rekindle::Error;
use rekindle::data::{Message, Role};
use rekindle::generate::{End, GenerateError, Generator, Options, Prompt, Write};
use serde_json::{Value, json};

use crate::args::{Chat, Line};
use crate::eval::cannot_write;
use crate::failure::{FAILED, report};
use crate::generate::open;
use crate::progress::note;
use crate::stream::{Interrupt, Stream};

const HELP: &str = "\
/help       show this
/reset      begin a new conversation
/save FILE  add the conversation to a file that `train --data` reads
/quit       leave; Ctrl-D does too
Ctrl-C stops an answer. A line with a space before its slash is no command.";

/// A conversation.
struct Session<'a> {
    generator: &'a Generator,
    write: &'a Write<'a>,
    options: Options,
    max_tokens: Option<usize>,
    interrupt: Interrupt,
    is_terminal: bool,
    /// Messages that every conversation begins with.
    system: Vec<Message>,
    messages: Vec<Message>,
    /// Answers so far, those of earlier conversations included.
    answers: u64,
    has_failed: bool,
}

/// Talks with the user until there is nothing more to read.
pub(crate) fn run(arguments: &Chat) -> Result<ExitCode> {
    let (generator, backend) = open(&arguments.model)?;
    let asked = arguments.writing.asked();
    let options = generator.chat_options(&asked)?;
    let system = arguments.system.iter();
    let system: Vec<_> = system
        .map(|text| Message::new(Role::System, text.as_str()))
        .collect();
    let interrupt = Interrupt::listen()?;
    if !generator.has_chat_template() {
        note("this model came without a chat template: a plain one is used");
    }
    generator.run(&backend, |write| {
        let session = Session {
            generator: &generator,
            write,
            options,
            max_tokens: asked.max_tokens,
            interrupt,
            is_terminal: io::stdin().is_terminal(),
            messages: system.clone(),
            system,
            answers: 0,
            has_failed: false,
        };
        session.talk()
    })?
}

impl Session<'_> {
    fn talk(mut self) -> Result<ExitCode> {
        if self.is_terminal {
            note("/help lists commands, Ctrl-C stops an answer");
        }
        loop {
            let Some(line) = self.read()? else { break };
            match Line::parse(&line) {
                Line::Blank => {}
                Line::Text(text) => self.answer(text)?,
                Line::Help => note(HELP),
                Line::Reset => {
                    self.messages.clone_from(&self.system);
                    note("a new conversation begins");
                }
                Line::Save(file) => self.save(file.as_deref()),
                Line::Quit => break,
                Line::Unknown(command) => {
                    self.fail(format_args!(
                        "unknown command `{command}`; /help lists those there are"
                    ));
                }
            }
        }
        // A person has seen what went wrong, a script has not.
        Ok(if self.has_failed && !self.is_terminal {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn read(&self) -> Result<Option<String>> {
        if self.is_terminal {
            let mut terminal = io::stderr();
            write!(terminal, "> ")?;
            terminal.flush()?;
        }
        let mut line = String::new();
        let bytes = io::stdin().lock().read_line(&mut line)?;
        if bytes == 0 && self.is_terminal {
            note("");
        }
        Ok((bytes > 0).then_some(line))
    }

    /// Answers a message; one that cannot be answered is taken back.
    fn answer(&mut self, text: String) -> Result<()> {
        self.messages.push(Message::new(Role::User, text));
        let prompt = match self.generator.chat(&self.messages, self.max_tokens) {
            Ok(prompt) => prompt,
            Err(error) => {
                self.messages.pop();
                self.refuse(error);
                return Ok(());
            }
        };
        let most = prompt.max_tokens;
        let prompts = [Prompt {
            number: self.answers,
            ..prompt
        }];
        self.answers += 1;
        let mut stream = Stream::shown(&self.interrupt, true);
        let written = (self.write)(&self.options, &prompts, &mut |piece| {
            stream.push(piece.text)
        });
        stream.finish()?;
        let answer = written.map_err(Error::from)?.swap_remove(0);
        if self.is_terminal {
            note("");
        }
        if answer.end == End::Length {
            note(format_args!("(cut off after {most} tokens)"));
        }
        let text = answer.text.trim();
        if text.is_empty() {
            note("(the model wrote nothing)");
            self.messages.pop();
            return Ok(());
        }
        self.messages.push(Message {
            // What is broken off is nothing to learn from.
            weight: matches!(answer.end, End::Token | End::StopString),
            ..Message::new(Role::Assistant, text)
        });
        Ok(())
    }

    fn refuse(&mut self, error: Error) {
        if let Error::Generate(GenerateError::TooLong { prompt, most, .. }) = error {
            self.fail(format_args!(
                "the conversation has {prompt} tokens, and the model reads {most}"
            ));
            note("hint: /reset begins a new one");
            return;
        }
        self.has_failed = true;
        let _ = report(&error.into());
    }

    /// Adds the conversation to a file, as a row that `train` reads.
    fn save(&mut self, file: Option<&Path>) {
        let Some(file) = file else {
            self.fail("no file is named: `/save chats.jsonl`");
            return;
        };
        if !self.messages.iter().any(Message::is_target) {
            self.fail("nothing to save: the conversation has no complete answer");
            return;
        }
        let row = json!({"messages": self.messages.iter().map(object).collect::<Vec<_>>()});
        let opened = OpenOptions::new().create(true).append(true).open(file);
        match opened.and_then(|mut out| out.write_all(format!("{row}\n").as_bytes())) {
            Ok(()) => note(format_args!("added to {}", file.display())),
            Err(source) => {
                self.has_failed = true;
                let _ = report(&cannot_write(file, source).into());
            }
        }
    }

    fn fail(&mut self, message: impl std::fmt::Display) {
        self.has_failed = true;
        note(format_args!("error: {message}"));
    }
}

/// A message as a data file holds it.
fn object(message: &Message) -> Value {
    let mut fields = message.fields.clone();
    if !message.weight {
        fields.insert("weight".to_owned(), json!(0));
    }
    Value::Object(fields)
}
