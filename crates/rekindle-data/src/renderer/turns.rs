//! Which parts of a rendered chat the assistant's messages are.
//!
//! No text is searched for. A message's turn begins where the prompt ended that the model would have
//! been given for it, and ends with the first end token that the template itself wrote after it. Where
//! its content lies is known from rendering the chat with marks around it. What contradicts itself is
//! an error, never a guess.

use std::ops::Range;

use serde_json::{Map, Value};

use super::RenderError;
use super::encode::{Encoder, MARK_END};
use super::marks::{self, Edges};
use super::template::{self, ChatTemplate};
use crate::{Message, Role};

/// A chat as the template writes it.
#[derive(Debug)]
pub(super) struct Written {
    /// All of it, of guarded texts.
    pub(super) text: String,
    /// What is learned.
    pub(super) targets: Vec<Range<usize>>,
    /// What the assistant says and is not to learn.
    pub(super) passed: Vec<Range<usize>>,
    /// Whether the last message is learned, and no token ends it.
    pub(super) is_open: bool,
}

/// Where the content of a message lies; an edge that the template cut away is not known.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    begin: Option<usize>,
    end: Option<usize>,
}

/// All that the template writes of a chat, and what is where in it.
struct Whole {
    text: String,
    /// Of each message.
    places: Vec<Place>,
    /// Tokens at which an answer may end.
    closing: Vec<Range<usize>>,
}

/// A chat before a template.
#[derive(Debug)]
pub(super) struct Chat<'r> {
    template: &'r ChatTemplate,
    encoder: &'r Encoder,
    messages: &'r [Message],
    fields: Vec<Map<String, Value>>,
    /// The same as the template takes them.
    values: Vec<template::Value>,
    tools: Option<Value>,
}

impl<'r> Chat<'r> {
    /// A chat whose texts hold no special token any more.
    pub(super) fn new(
        template: &'r ChatTemplate,
        encoder: &'r Encoder,
        messages: &'r [Message],
        tools: Option<&Value>,
    ) -> Result<Self, RenderError> {
        let fields = messages.iter().map(|message| {
            // Templates of models know absent fields, not empty ones.
            let held = message.fields.iter().filter(|(_, value)| !value.is_null());
            held.map(|(name, value)| {
                let is_role = name == "role";
                let value = if is_role {
                    Ok(value.clone())
                } else {
                    encoder.guard_value(value)
                };
                Ok((name.clone(), value?))
            })
            .collect::<Result<Map<_, _>, RenderError>>()
        });
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            template,
            encoder,
            messages,
            values: fields.iter().map(template::value).collect(),
            fields,
            tools: tools.map(|tools| encoder.guard_value(tools)).transpose()?,
        })
    }

    /// The prompt that the model is given to answer the chat.
    pub(super) fn prompt(&self) -> Result<String, RenderError> {
        let text = self.write(self.fields.len(), true)?;
        // Nothing that was said may be lost on the way to the model.
        if let Ok(whole) = self.write(self.fields.len(), false) {
            self.places(&whole)?;
        }
        Ok(text)
    }

    /// All of the chat, with the parts that the assistant says.
    pub(super) fn trace(&self, ends: &[u32]) -> Result<Written, RenderError> {
        let whole = self.whole(ends)?;
        let (mut targets, mut passed) = (Vec::new(), Vec::new());
        let (mut last_end, mut is_open) = (0, false);
        for (number, message) in self.messages.iter().enumerate() {
            if message.role != Role::Assistant {
                continue;
            }
            let begin = self.begin(number, &whole)?;
            let (end, lacks_token) = self.end(number, begin, &whole)?;
            if begin < last_end || end <= begin {
                return Err(untraceable(number, "begins"));
            }
            last_end = end;
            if message.weight {
                targets.push(begin..end);
                is_open = lacks_token;
            } else {
                passed.push(begin..end);
            }
        }
        Ok(Written {
            text: whole.text,
            targets,
            passed,
            is_open,
        })
    }

    fn whole(&self, ends: &[u32]) -> Result<Whole, RenderError> {
        let text = self.write(self.fields.len(), false)?;
        let places = self.places(&text)?;
        let closing = self.encoder.specials_in(&text).into_iter();
        let closing = closing.filter(|(id, _)| ends.contains(id));
        let closing = closing.map(|(_, range)| range).collect();
        Ok(Whole {
            text,
            places,
            closing,
        })
    }

    /// Where the turn of a message begins: after the prompt for it.
    ///
    /// All that the model has to write by itself is part of the turn, as an empty block of thoughts that
    /// the template puts before an answer. A template that writes earlier turns otherwise than the last
    /// one may not continue that prompt; the turn is the content then.
    fn begin(&self, number: usize, whole: &Whole) -> Result<usize, RenderError> {
        let content = whole.places[number].begin;
        let prompt = self.write(number, true).ok();
        let prompt = prompt.filter(|prompt| whole.text.starts_with(prompt.as_str()));
        let prompt = prompt.map(|prompt| prompt.len());
        let prompt = prompt.filter(|length| content.is_none_or(|content| *length <= content));
        prompt
            .or(content)
            .ok_or_else(|| untraceable(number, "begins"))
    }

    /// Where the turn of a message ends, and whether it is the last one and no token ends it.
    fn end(
        &self,
        number: usize,
        begin: usize,
        whole: &Whole,
    ) -> Result<(usize, bool), RenderError> {
        let content = whole.places[number].end;
        let from = content.map_or(begin, |end| end.max(begin));
        let is_last = number + 1 == self.fields.len();
        // Written up to here alone, the chat may end as it does as a part of the whole.
        let alone = || {
            let text = self.write(number + 1, false).ok();
            let text = text.filter(|text| whole.text.starts_with(text.as_str()));
            text.map(|text| text.len())
        };
        let until = if is_last {
            Some(whole.text.len())
        } else {
            whole.places[number + 1].begin.or_else(alone)
        };
        let until = until.ok_or_else(|| untraceable(number, "ends"))?;
        let mut closing = whole.closing.iter();
        let token = closing.find(|token| token.start >= from && token.end <= until);
        let calls_tools = self.fields[number].contains_key("tool_calls");
        match (token, content) {
            (Some(token), _) => Ok((token.end, false)),
            (None, _) if is_last => Ok((whole.text.len(), true)),
            (None, Some(content)) if !calls_tools => Ok((content, false)),
            (None, _) => alone()
                .map(|end| (end, false))
                .ok_or_else(|| untraceable(number, "ends")),
        }
    }

    /// Where the content of each message lies; unknown if it is empty or the template works on it.
    ///
    /// All contents are marked at once, each with the number of its message. Where the text without the
    /// marks is another one, since the template looks at a content, each half is tried by itself.
    fn places(&self, whole: &str) -> Result<Vec<Place>, RenderError> {
        let mut places = vec![Place::default(); self.fields.len()];
        let has_text = |number: &usize| !self.content(*number).trim().is_empty();
        let mut untried = vec![(0..self.fields.len()).filter(has_text).collect::<Vec<_>>()];
        while let Some(mut numbers) = untried.pop() {
            match self.edges(&numbers, whole) {
                Some(edges) => {
                    for (number, edges) in numbers.into_iter().zip(edges) {
                        places[number] = self.between(number, &edges)?;
                    }
                }
                None if numbers.len() > 1 => {
                    let second = numbers.split_off(numbers.len() / 2);
                    untried.extend([second, numbers]);
                }
                None => {}
            }
        }
        Ok(places)
    }

    /// The edges of the contents of these messages, if the template writes the same text around marks.
    fn edges(&self, numbers: &[usize], whole: &str) -> Option<Vec<Edges>> {
        let mut messages = self.values.clone();
        for &number in numbers {
            let mut fields = self.fields[number].clone();
            let marked = marks::around(self.content(number), number, self.fields.len());
            fields.insert("content".to_owned(), Value::String(marked));
            messages[number] = template::value(&fields);
        }
        let text = self.template.render(messages, self.tools.as_ref(), false);
        marks::read(&text.ok()?, numbers, self.fields.len())
            .filter(|(text, _)| text == whole)
            .map(|(_, edges)| edges)
    }

    /// The place of a content with these edges; one that is written twice has none.
    fn between(&self, number: usize, Edges { begins, ends }: &Edges) -> Result<Place, RenderError> {
        let role = self.messages[number].role;
        if begins.is_empty() && ends.is_empty() && role != Role::Assistant {
            let number = number + 1;
            return Err(RenderError::LeftOut { number, role });
        }
        if begins.len() > 1 || ends.len() > 1 {
            return Ok(Place::default());
        }
        let [begin, end] = [begins, ends].map(|edge| edge.first().copied());
        Ok(Place { begin, end })
    }

    /// The text of a message; empty if it has none.
    fn content(&self, number: usize) -> &str {
        let content = self.fields[number].get("content").and_then(Value::as_str);
        content.unwrap_or_default()
    }

    /// What the template writes of the first messages.
    fn write(&self, count: usize, generation_prompt: bool) -> Result<String, RenderError> {
        let messages = self.values[..count].to_vec();
        self.template
            .render(messages, self.tools.as_ref(), generation_prompt)
    }
}

/// The token that a template ends the assistant's turn with, if it is a special one.
pub(super) fn turn_end(template: &ChatTemplate, encoder: &Encoder) -> Option<u32> {
    let question = Message::new(Role::User, "q").fields;
    let answer = Message::new(Role::Assistant, format!("a{MARK_END}")).fields;
    let messages = [question, answer].iter().map(template::value).collect();
    let text = template.render(messages, None, false).ok()?;
    let (_, after) = text.split_once(MARK_END)?;
    let (id, place) = encoder.specials_in(after).into_iter().next()?;
    after[..place.start].trim().is_empty().then_some(id)
}

fn untraceable(number: usize, edge: &'static str) -> RenderError {
    let number = number + 1;
    RenderError::Untraceable { number, edge }
}
