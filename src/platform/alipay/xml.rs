//! XML as the JSON of its elements, for the gateway check (Alipay 2.6). quick-xml reads it; document types and named entities are refused,
//! so nothing outside of the text is ever looked at.
//!
//! Called by `push` after the signature was checked.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Why a text is not taken.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum XmlError {
    /// Not well-formed.
    #[error("not well-formed XML")]
    Form,
    /// `<!DOCTYPE`.
    #[error("XML with a document type")]
    DocumentType,
    /// `&name;` other than the five that XML itself knows.
    #[error("XML with an entity of its own")]
    Entity,
    /// Elements inside elements inside elements.
    #[error("XML nested too deeply")]
    Depth,
}

/// Deepest nesting that is taken.
const DEEPEST: usize = 16;

/// An element that is still open.
#[derive(Default)]
struct Open {
    name: String,
    text: String,
    children: Map<String, Value>,
}

impl Open {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Its text, or its elements where it has any.
    fn value(self) -> Value {
        if self.children.is_empty() { Value::String(self.text.trim().to_owned()) } else { Value::Object(self.children) }
    }

    fn adopt(&mut self, child: Self) {
        let name = child.name.clone();
        let value = child.value();
        match self.children.get_mut(&name) {
            None => {
                self.children.insert(name, value);
            }
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
}

/// `{"XML":{"AppId":"…"}}` of `<XML><AppId>…</AppId></XML>`: elements by name, repeated ones as a list, attributes dropped.
///
/// # Errors
/// What is not taken.
pub fn elements(text: &str) -> Result<Value, XmlError> {
    if !text.chars().all(is_allowed) {
        return Err(XmlError::Form);
    }
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Open::default()];
    loop {
        let event = reader.read_event().map_err(|_| XmlError::Form)?;
        let top = stack.last_mut().ok_or(XmlError::Form)?;
        match event {
            Event::Start(start) => {
                let open = Open::named(start.name().as_ref());
                stack.push(open);
                if stack.len() > DEEPEST {
                    return Err(XmlError::Depth);
                }
            }
            Event::Empty(start) => top.adopt(Open::named(start.name().as_ref())),
            Event::End(_) => {
                let closed = stack.pop().ok_or(XmlError::Form)?;
                stack.last_mut().ok_or(XmlError::Form)?.adopt(closed);
            }
            Event::Text(piece) => top.text.push_str(&piece.xml10_content()),
            Event::CData(piece) => top.text.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => top.text.push(character(&reference)?),
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    // All closed, exactly one root, no text beside it.
    match (stack.pop(), stack.is_empty()) {
        (Some(document), true) if document.text.trim().is_empty() && document.children.len() == 1 => Ok(Value::Object(document.children)),
        _ => Err(XmlError::Form),
    }
}

/// Whether XML 1.0 knows a character at all (its production `Char`), which the reader does not ask.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, XmlError> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return if is_allowed(character) { Ok(character) } else { Err(XmlError::Entity) };
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(XmlError::Entity),
    }
}
