//! From the messages in a record to those of a chat.

use rekindle_data::{Message, Record, Role, RowError, value_kind};
use serde_json::{Map, Value};

/// Names that `ShareGPT` and its kin give to roles.
const SHARED: [(&str, Role); 9] = [
    ("human", Role::User),
    ("user", Role::User),
    ("gpt", Role::Assistant),
    ("assistant", Role::Assistant),
    ("function_call", Role::Assistant),
    ("system", Role::System),
    ("tool", Role::Tool),
    ("observation", Role::Tool),
    ("function_response", Role::Tool),
];

/// One message in its row, to say where something is wrong.
#[derive(Clone, Copy)]
struct Place<'r> {
    record: &'r Record,
    field: &'r str,
    index: usize,
}

impl Place<'_> {
    fn error(self, key: &str, message: impl Into<String>, fix: impl Into<String>) -> RowError {
        let field = format!("{}[{}]{key}", self.field, self.index);
        RowError::new(self.record.line, message, fix).in_field(&field)
    }
}

/// The messages in `messages` or `conversations`.
pub(crate) fn messages(record: &Record) -> Result<Vec<Message>, RowError> {
    let is_open_ai = record.fields.contains_key("messages");
    let field = if is_open_ai {
        "messages"
    } else {
        "conversations"
    };
    let error = |message: String| {
        RowError::new(record.line, message, "write a list of messages").in_field(field)
    };
    let mut messages = match record.fields.get(field) {
        Some(Value::Array(list)) => self::list(record, field, list)?,
        Some(other) => return Err(error(format!("holds {}", value_kind(other)))),
        None => return Err(error("is missing".to_owned())),
    };
    // Some files of this shape keep the instructions beside the chat.
    let system = record.field("system").and_then(Value::as_str);
    if let Some(system) = system.filter(|text| !is_open_ai && !text.trim().is_empty()) {
        messages.insert(0, Message::new(Role::System, system));
    }
    Ok(messages)
}

/// The messages of a list.
pub(crate) fn list(record: &Record, field: &str, list: &[Value]) -> Result<Vec<Message>, RowError> {
    if list.is_empty() {
        let fix = "add messages or remove the row";
        return Err(RowError::new(record.line, "holds no messages", fix).in_field(field));
    }
    let messages = list.iter().enumerate().map(|(index, value)| {
        let place = Place {
            record,
            field,
            index,
        };
        match value {
            Value::Object(fields) => message(place, fields),
            other => {
                let fix = "write an object with `role` and `content`";
                Err(place.error("", format!("is {}", value_kind(other)), fix))
            }
        }
    });
    messages.collect()
}

/// The tools that the row offers.
pub(crate) fn tools(record: &Record) -> Result<Option<Value>, RowError> {
    match record.field("tools") {
        None => Ok(None),
        Some(Value::Array(tools)) if tools.is_empty() => Ok(None),
        Some(tools @ Value::Array(_)) => Ok(Some(tools.clone())),
        Some(other) => {
            let message = format!("holds {}", value_kind(other));
            let error = RowError::new(record.line, message, "write a list of tools");
            Err(error.in_field("tools"))
        }
    }
}

/// Refuses a chat without an answer to learn at its end.
pub(crate) fn require_answer(record: &Record, messages: &[Message]) -> Result<(), RowError> {
    let field = ["messages", "conversations", "completion"];
    let field = field
        .into_iter()
        .find(|name| record.fields.contains_key(*name));
    let error = |message: String, fix: &str| {
        RowError::new(record.line, message, fix).in_field(field.unwrap_or("messages"))
    };
    match messages.last().map(|last| last.role) {
        Some(Role::Assistant) => {}
        Some(role) => {
            let message = format!("the last message is of `{role}`, not of `assistant`");
            let fix = "end the chat with an answer, or remove what follows the last one";
            return Err(error(message, fix));
        }
        None => return Err(error("holds no messages".to_owned(), "add messages")),
    }
    if !messages.iter().any(Message::is_target) {
        let message = "every message of the assistant has weight 0".to_owned();
        return Err(error(
            message,
            "give weight 1 to what is to be learned, or remove the row",
        ));
    }
    Ok(())
}

fn message(place: Place, fields: &Map<String, Value>) -> Result<Message, RowError> {
    let is_shared = !fields.contains_key("role") && fields.contains_key("from");
    let role = role(place, fields, is_shared)?;
    let name = if is_shared { "value" } else { "content" };
    let calls_tools = fields
        .get("tool_calls")
        .is_some_and(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    let content = content(place, name, fields.get(name), calls_tools)?;
    let weight = weight(place, fields.get("weight"))?;
    let is_empty = content.as_ref().is_none_or(|text| text.trim().is_empty());
    if role == Role::Assistant && weight && is_empty && !calls_tools {
        let fix = "write the answer, or give the message weight 0";
        return Err(place.error(&format!(".{name}"), "is empty", fix));
    }
    let mut kept = Map::new();
    kept.insert("role".to_owned(), Value::String(role.to_string()));
    if let Some(text) = content {
        kept.insert("content".to_owned(), Value::String(text));
    }
    for (key, value) in fields {
        if !["role", "from", "content", "value", "weight"].contains(&key.as_str()) {
            kept.insert(key.clone(), value.clone());
        }
    }
    Ok(Message {
        role,
        fields: kept,
        weight,
    })
}

fn role(place: Place, fields: &Map<String, Value>, is_shared: bool) -> Result<Role, RowError> {
    let name = if is_shared { "from" } else { "role" };
    let key = format!(".{name}");
    let known: Vec<(String, Role)> = if is_shared {
        let shared = SHARED.iter();
        shared
            .map(|(name, role)| ((*name).to_owned(), *role))
            .collect()
    } else {
        Role::ALL.map(|role| (role.to_string(), role)).to_vec()
    };
    let names = || {
        let names = known.iter().map(|(name, _)| format!("`{name}`"));
        format!("use one of: {}", names.collect::<Vec<_>>().join(", "))
    };
    match fields.get(name) {
        None | Some(Value::Null) => Err(place.error(&key, "is missing", names())),
        Some(Value::String(found)) => {
            let role = known.iter().find(|(name, _)| name == found);
            let unknown = || place.error(&key, format!("role `{found}` is not known"), names());
            role.map(|(_, role)| *role).ok_or_else(unknown)
        }
        Some(other) => Err(place.error(&key, format!("holds {}", value_kind(other)), names())),
    }
}

/// The text of a message; a list of parts is joined, since the models here read text alone.
fn content(
    place: Place,
    name: &str,
    value: Option<&Value>,
    calls_tools: bool,
) -> Result<Option<String>, RowError> {
    let key = format!(".{name}");
    match value {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        None | Some(Value::Null) if calls_tools => Ok(None),
        None | Some(Value::Null) => Err(place.error(
            &key,
            "is missing",
            "write what is said, or remove the message",
        )),
        Some(Value::Array(parts)) => {
            let part = |part: &Value| match (&part["type"], &part["text"]) {
                (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text.clone()),
                _ => {
                    let fix = "write parts as `{\"type\": \"text\", \"text\": \"...\"}`";
                    Err(place.error(&key, "has a part that is no text", fix))
                }
            };
            let texts: Result<Vec<_>, _> = parts.iter().map(part).collect();
            Ok(Some(texts?.concat()))
        }
        Some(other) => Err(place.error(
            &key,
            format!("holds {}", value_kind(other)),
            "write a string",
        )),
    }
}

fn weight(place: Place, value: Option<&Value>) -> Result<bool, RowError> {
    let fix = "write 1 for what is to be learned, 0 for what is not";
    match value {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Number(number)) if number.as_f64() == Some(1.0) => Ok(true),
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(false),
        Some(Value::Number(number)) => {
            Err(place.error(".weight", format!("holds `{number}`, neither 0 nor 1"), fix))
        }
        Some(other) => {
            let message = format!("holds {}, neither 0 nor 1", value_kind(other));
            Err(place.error(".weight", message, fix))
        }
    }
}
