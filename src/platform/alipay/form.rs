//! A form as bytes: signatures cover the decoded bytes of names and values, whatever charset they are text in (Alipay 2.2).
//!
//! Called by `push`, `rules` and the twin. Knows nothing of what a field means.

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

/// One field, decoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// The fields of a form in the order of the body; every name once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form(Vec<Field>);

impl Form {
    /// Decodes `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// What is not of that form.
    pub fn decode(body: &[u8]) -> Result<Self, FormError> {
        if body.is_empty() {
            return Err(FormError::Empty);
        }
        let mut fields: Vec<Field> = Vec::with_capacity(USUAL_FIELDS);
        let mut case = Case::default();
        for (index, piece) in body.split(|byte| *byte == b'&').enumerate() {
            let at = piece.iter().position(|byte| *byte == b'=').ok_or(FormError::NoValue(index + 1))?;
            let (name, value) = piece.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            let decode = |part, case: &mut Case| unescaped(part, case).ok_or(FormError::Escape(index + 1));
            fields.push(Field { name: decode(name, &mut case)?, value: decode(value, &mut case)? });
        }
        if let Some(index) = repeated(&fields) {
            return Err(FormError::Repeated(index + 1));
        }
        if case.upper && case.lower { Err(FormError::MixedEscapes) } else { Ok(Self(fields)) }
    }

    /// A form of these texts, in `charset`; what the charset cannot hold becomes a character reference. For the twin.
    #[must_use]
    pub fn of(fields: &[(String, String)], charset: &'static Encoding) -> Self {
        let bytes = |text: &str| charset.encode(text).0.into_owned();
        Self(fields.iter().map(|(name, value)| Field { name: bytes(name), value: bytes(value) }).collect())
    }

    /// The body that decodes to this form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = String::new();
        for field in &self.0 {
            if !body.is_empty() {
                body.push('&');
            }
            body.extend(url::form_urlencoded::byte_serialize(&field.name));
            body.push('=');
            body.extend(url::form_urlencoded::byte_serialize(&field.value));
        }
        body.into_bytes()
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|field| field.name == name.as_bytes()).map(|field| field.value.as_slice())
    }

    /// The value of a field, if it is there, not empty, and ASCII.
    #[must_use]
    pub fn ascii(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty() && text.is_ascii())
    }

    /// Every field.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// Sets the value of a field, at its place where it has one, else at the end. For the twin.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = value.as_bytes().to_vec();
        match self.0.iter_mut().find(|field| field.name == name.as_bytes()) {
            Some(field) => field.value = value,
            None => self.0.push(Field { name: name.as_bytes().to_vec(), value }),
        }
    }

    /// All names and values as text of that charset; `None` when something is not.
    #[must_use]
    pub fn texts(&self, charset: &'static Encoding) -> Option<Vec<(String, String)>> {
        let text = |bytes: &[u8]| charset.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned());
        self.0.iter().map(|field| Some((text(&field.name)?, text(&field.value)?))).collect()
    }
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
    match name.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "utf-8" | "utf8") => Some(encoding_rs::UTF_8),
        Some("gbk" | "gb2312") => Some(encoding_rs::GBK),
        Some("gb18030") => Some(encoding_rs::GB18030),
        Some(_) => None,
    }
}

/// Where a name comes for the second time. By sorting, as a form of 256 KiB can have 60,000 names, and this is read before any signature is
/// checked: comparing each with each takes seconds.
fn repeated(fields: &[Field]) -> Option<usize> {
    let mut names: Vec<(&[u8], usize)> = fields.iter().enumerate().map(|(index, field)| (field.name.as_slice(), index)).collect();
    names.sort_unstable();
    let twice = names.iter().zip(names.iter().skip(1)).filter(|((one, _), (next, _))| one == next);
    twice.map(|(_, (_, index))| *index).min()
}

#[derive(Default)]
struct Case {
    upper: bool,
    lower: bool,
}

fn unescaped(text: &[u8], case: &mut Case) -> Option<Vec<u8>> {
    let mut bytes = text.iter();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => digit(*bytes.next()?, case)? << 4 | digit(*bytes.next()?, case)?,
            b'+' => b' ',
            other => *other,
        });
    }
    Some(out)
}

fn digit(byte: u8, case: &mut Case) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => {
            case.upper = true;
            Some(byte - b'A' + 10)
        }
        b'a'..=b'f' => {
            case.lower = true;
            Some(byte - b'a' + 10)
        }
        _ => None,
    }
}
