//! A form as bytes: signatures cover the decoded bytes of names and values, whatever charset they are text in (Alipay 2.2).
//!
//! Called by `push`, `rules` and the twin. Knows nothing of what a field means.

use std::borrow::Cow;
use std::ops::Range;

use encoding_rs::Encoding;

/// Room for the fields of most forms, the largest of which has about twenty (Alipay 3.6).
const USUAL_FIELDS: usize = 16;

/// Why a body is no form of Alipay's. Says which field, never what is in it.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum FormError {
    /// No field at all.
    #[error("the body is empty")]
    Empty,
    /// A piece between ampersands without an equals sign.
    #[error("field {0} has no equals sign")]
    NoValue(usize),
    /// A percent sign that two hexadecimal digits do not follow: usually a truncated body.
    #[error("field {0} has a broken percent escape")]
    Escape(usize),
    /// Some escapes in upper and some in lower case. One encoder writes one case; both mean that somebody changed the body.
    #[error("percent escapes in both upper and lower case")]
    MixedEscapes,
    /// A name that comes twice: nobody could say which of the two was meant.
    #[error("field {0} repeats a name")]
    Repeated(usize),
}

/// Where a field's name and value are among the decoded bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// The fields of a form in the order of the body; every name once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// Names and values, decoded once, one behind the other.
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

impl Form {
    /// Decodes `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// What is not of that form.
    pub fn decode(body: &[u8]) -> Result<Self, FormError> {
        if body.is_empty() {
            return Err(FormError::Empty);
        }
        let mut form = Self { bytes: vec![0; body.len()], fields: Vec::with_capacity(USUAL_FIELDS) };
        let (mut end, mut marks) = (0, 0);
        for (index, piece) in pieces(body).enumerate() {
            let at = memchr::memchr(b'=', piece).ok_or(FormError::NoValue(index + 1))?;
            let (name, value) = piece.split_at(at);
            let mut decode = |part| {
                let start = end;
                let length = unescape(part, form.bytes.get_mut(start..)?, &mut marks)?;
                end = start + length;
                Some(start..end)
            };
            let field = decode(name).zip(decode(value.get(1..).unwrap_or_default())).filter(|_| marks & NO_DIGIT == 0);
            let (name, value) = field.ok_or(FormError::Escape(index + 1))?;
            form.fields.push(Field { name, value });
        }
        form.bytes.truncate(end);
        if let Some(index) = form.repeated() {
            return Err(FormError::Repeated(index + 1));
        }
        if marks & UPPER != 0 && marks & LOWER != 0 { Err(FormError::MixedEscapes) } else { Ok(form) }
    }

    /// A form of these texts, in `charset`; what the charset cannot hold becomes a character reference. For the twin.
    #[must_use]
    pub fn of(fields: &[(String, String)], charset: &'static Encoding) -> Self {
        let mut form = Self::default();
        for (name, value) in fields {
            form.push(&charset.encode(name).0, &charset.encode(value).0);
        }
        form
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.fields.push(Field { name: start..middle, value: middle..self.bytes.len() });
    }

    /// The body that decodes to this form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = String::new();
        for (name, value) in self.fields() {
            if !body.is_empty() {
                body.push('&');
            }
            body.extend(url::form_urlencoded::byte_serialize(name));
            body.push('=');
            body.extend(url::form_urlencoded::byte_serialize(value));
        }
        body.into_bytes()
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value of a field, if it is there, not empty, and ASCII.
    #[must_use]
    pub fn ascii(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty() && text.is_ascii())
    }

    /// Name and value of every field.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator + Clone {
        let part = |part: &Range<usize>| self.bytes.get(part.clone()).unwrap_or_default();
        self.fields.iter().map(move |field| (part(&field.name), part(&field.value)))
    }

    /// Sets the value of a field, at its place where it has one, else at the end. For the twin.
    pub fn set(&mut self, name: &str, value: &str) {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        let mut form = Self::default();
        for (known, old) in self.fields() {
            form.push(known, if known == name { value } else { old });
        }
        if !self.fields().any(|(known, _)| known == name) {
            form.push(name, value);
        }
        *self = form;
    }

    /// All names and values as text of that charset; `None` when something is not.
    #[must_use]
    pub fn texts(&self, charset: &'static Encoding) -> Option<Vec<(String, String)>> {
        let text = |bytes| charset.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned);
        self.fields().map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    /// Where a name comes for the second time. By sorting, as a form of 256 KiB can have 60,000 names, and this is read before any signature is
    /// checked: comparing each with each takes seconds.
    fn repeated(&self) -> Option<usize> {
        let mut names: Vec<(&[u8], usize)> = self.fields().enumerate().map(|(index, (name, _))| (name, index)).collect();
        names.sort_unstable();
        let twice = names.iter().zip(names.iter().skip(1)).filter(|((one, _), (next, _))| one == next);
        twice.map(|(_, (_, index))| *index).min()
    }
}

/// What stands between ampersands.
fn pieces(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let body = rest?;
        let Some(at) = memchr::memchr(b'&', body) else { return rest.take() };
        rest = body.get(at + 1..);
        body.get(..at)
    })
}

/// `name=value` sorted by name in byte order and joined by `&`: what all of Alipay's signatures cover (1.5, 2.3).
#[must_use]
pub fn sign_string<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> = fields.into_iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    let mut joined = Vec::with_capacity(fields.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
    for (name, value) in fields {
        if !joined.is_empty() {
            joined.push(b'&');
        }
        joined.extend_from_slice(name);
        joined.push(b'=');
        joined.extend_from_slice(value);
    }
    joined
}

/// The charset a push or a call names: UTF-8, or the GBK family, which one table decodes. Absent is UTF-8.
#[must_use]
pub fn charset(name: Option<&str>) -> Option<&'static Encoding> {
    let name = name.unwrap_or_default().trim();
    CHARSETS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, charset)| *charset)
}

static CHARSETS: &[(&str, &Encoding)] = &[
    ("utf-8", encoding_rs::UTF_8),
    ("utf8", encoding_rs::UTF_8),
    ("", encoding_rs::UTF_8),
    ("gbk", encoding_rs::GBK),
    ("gb2312", encoding_rs::GBK),
    ("gb18030", encoding_rs::GB18030),
];

/// Marks of digits, above what they are worth.
const UPPER: u8 = 0x10;
const LOWER: u8 = 0x20;
const NO_DIGIT: u8 = 0x80;

/// What a hexadecimal digit is worth, in the lower four bits, and its mark.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'F' => UPPER | (byte - b'A' + 10),
        b'a'..=b'f' => LOWER | (byte - b'a' + 10),
        _ => NO_DIGIT,
    }
}

/// Writes what an escaped text stands for, which is never longer; how long it is, or `None` for a broken escape. `marks` gathers those of
/// all digits.
fn unescape(text: &[u8], to: &mut [u8], marks: &mut u8) -> Option<usize> {
    let (mut rest, mut length) = (text, 0);
    loop {
        rest = match rest {
            [] => return Some(length),
            [b'%', high, low, rest @ ..] => {
                let (high, low) = (digit(*high), digit(*low));
                *marks |= high | low;
                *to.get_mut(length)? = high << 4 | low & 0x0f;
                length += 1;
                rest
            }
            [b'%', ..] => return None,
            [b'+', rest @ ..] => {
                *to.get_mut(length)? = b' ';
                length += 1;
                rest
            }
            plain => {
                let (plain, rest) = plain.split_at(memchr::memchr2(b'%', b'+', plain).unwrap_or(plain.len()));
                to.get_mut(length..length + plain.len())?.copy_from_slice(plain);
                length += plain.len();
                rest
            }
        };
    }
}
