//! What a line for people says: its message, then its fields as `name=value`.
//!
//! What vendors, handlers and callers say reaches some of them as it is, so every character that commands a terminal, or that would begin a line of
//! its own, is written out. Every push is told in a line, so what nearly all lines are made of is not sent through `Debug`.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes message and fields.
pub struct Words;

impl<'writer> FormatFields<'writer> for Words {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_empty: true, told: Ok(()) };
        fields.record(&mut line);
        line.told
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    is_empty: bool,
    told: fmt::Result,
}

impl Line<'_> {
    fn tell(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        self.told = self.told.and_then(|()| {
            if !std::mem::take(&mut self.is_empty) {
                self.writer.write_char(' ')?;
            }
            let name = field.name();
            if name != "message" {
                self.writer.write_str(name.strip_prefix("r#").unwrap_or(name))?;
                self.writer.write_char('=')?;
            }
            value(&mut self.writer)
        });
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.tell(field, |writer| write!(Plain(writer), "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_simple = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        self.tell(field, |writer| match is_simple {
            true => {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            }
            false => write!(Plain(writer), "{value:?}"),
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.tell(field, |writer| write!(writer, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.tell(field, |writer| write!(writer, "{value}"));
    }
}

/// Passes text on so that nothing in it acts on a terminal: control characters and those that turn the direction of writing, as `\u{1b}`.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let acts = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|c| if acts(c) { write!(self.0, "{}", c.escape_unicode()) } else { self.0.write_char(c) })
    }
}
