//! A chat template, rendered as transformers renders it.
//!
//! Settings, globals and filters are those of its `chat_template_utils.py`.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::PathBuf;

use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
pub(super) use minijinja::value::Value;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Map;

use super::RenderError;
use super::json::to_json;
use super::settings::Settings;

/// The template of models that come without one.
///
/// Each message is a paragraph that begins with who speaks; an answer ends with the token that ends a
/// text. The beginning-of-sequence token is not written by it, it is added as in any other text.
const PLAIN: &str = "\
{%- for message in messages -%}
{%- if message.tool_calls is defined -%}
{{ raise_exception('without a chat template of its own, a model cannot call tools') }}
{%- elif message.role == 'assistant' -%}
{{ 'Assistant: ' ~ message.content | trim ~ eos_token ~ '\\n\\n' }}
{%- elif message.role == 'user' -%}
{{ 'User: ' ~ message.content | trim ~ '\\n\\n' }}
{%- elif message.role == 'tool' -%}
{{ 'Tool: ' ~ message.content | trim ~ '\\n\\n' }}
{%- else -%}
{{ 'System: ' ~ message.content | trim ~ '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif -%}
";

/// Name of the one template of an environment.
const NAME: &str = "chat";

/// The function by which a template reads the clock.
const NOW: &str = "strftime_now";

/// What `raise_exception` of a template says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// A chat template, ready to render.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    tokens: BTreeMap<&'static str, String>,
    /// Whether the model came without a template.
    pub(super) is_plain: bool,
    /// Whether the template reads the clock.
    pub(super) asks_for_date: bool,
}

impl ChatTemplate {
    /// The template that a model's files hold, else the plain one.
    pub(super) fn new(settings: &Settings) -> Result<Self, RenderError> {
        let plain = (PathBuf::new(), PLAIN.to_owned());
        let (path, text) = settings.template.clone().unwrap_or(plain);
        let mut environment = Environment::new();
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .expect("the delimiters are the usual ones"),
        );
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        let now = |format: &str| strftime(format, &Zoned::now());
        environment.add_function(NOW, now);
        environment.add_filter("tojson", tojson);
        let added = environment.add_template_owned(NAME, without_generation_tags(&text));
        added.map_err(|source| RenderError::Template {
            path,
            source: Box::new(source),
        })?;
        let named = settings.named.iter();
        Ok(Self {
            environment,
            tokens: named
                .map(|(name, token)| (*name, token.text.clone()))
                .collect(),
            is_plain: settings.template.is_none(),
            asks_for_date: text.contains(NOW),
        })
    }

    /// Lets the template read midnight of a day from the clock, from here on.
    pub(super) fn fix_date(&mut self, date: Date) {
        let midnight = date.to_zoned(TimeZone::UTC);
        let midnight = midnight.expect("every midnight is a time in UTC");
        let now = move |format: &str| strftime(format, &midnight);
        self.environment.add_function(NOW, now);
    }

    /// What the template writes of messages.
    pub(super) fn render(
        &self,
        messages: Vec<Value>,
        tools: Option<&serde_json::Value>,
        generation_prompt: bool,
    ) -> Result<String, RenderError> {
        let template = self.environment.get_template(NAME);
        let template = template.expect("the environment holds this template since it was made");
        let context = context! {
            messages => Value::from(messages),
            tools => tools.map(|tools| Value::from(Serde(tools))),
            documents => Value::from(()),
            add_generation_prompt => generation_prompt,
            ..Value::from(Serde(&self.tokens))
        };
        template.render(context).map_err(failure)
    }
}

/// A message as a template takes it.
pub(super) fn value(message: &Map<String, serde_json::Value>) -> Value {
    Value::from(Serde(message))
}

fn failure(error: Error) -> RenderError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(Refusal(message)) = inner.downcast_ref() {
            let message = message.clone();
            return RenderError::Refused { message };
        }
        source = inner.source();
    }
    let source = Box::new(error);
    RenderError::Chat { source }
}

fn raise_exception(message: String) -> Result<String, Error> {
    let error = Error::new(ErrorKind::InvalidOperation, "the template refuses");
    Err(error.with_source(Refusal(message)))
}

/// A time, in the format of Python's `strftime`.
fn strftime(format: &str, time: &Zoned) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, time).map_err(|source| {
        Error::new(ErrorKind::InvalidOperation, "no format of a time").with_source(source)
    })
}

/// JSON as Python's `json.dumps` writes it.
fn tojson(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    let ensure_ascii = options.get::<Option<bool>>("ensure_ascii")?;
    let sort_keys = options.get::<Option<bool>>("sort_keys")?;
    options.assert_all_used()?;
    if value.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            "nothing to write as JSON",
        ));
    }
    let value = serde_json::to_value(&value)
        .map_err(|source| Error::new(ErrorKind::BadSerialization, "no JSON").with_source(source))?;
    let text = to_json(value, indent, sort_keys.unwrap_or(false));
    Ok(if ensure_ascii.unwrap_or(false) {
        escaped(&text)
    } else {
        text
    })
}

/// JSON with all characters beyond ASCII as escapes; they occur in its strings alone.
fn escaped(text: &str) -> String {
    let mut ascii = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// A template in which `{% generation %}`, by which transformers finds answers, is a plain block.
fn without_generation_tags(template: &str) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, tag)) = rest.split_once("{%") {
        let Some((inside, after)) = tag.split_once("%}") else {
            break;
        };
        let name = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let inside = match name {
            "generation" => inside.replacen(name, "if true", 1),
            "endgeneration" => inside.replacen(name, "endif", 1),
            _ => inside.to_owned(),
        };
        text.push_str(&format!("{before}{{%{inside}%}}"));
        rest = after;
    }
    text + rest
}
