//! A lenient reader of DER for the few members of a certificate that its serial number (Alipay 1.4) is made of.
//!
//! Called by `certificate`. Alipay's root file holds an SM2 certificate that strict parsers refuse; here only the
//! start of a certificate is looked at, and nothing is verified.

/// One element: its tag, what it holds, all of its bytes, and what follows it.
pub struct Element<'a> {
    /// The tag byte.
    pub tag: u8,
    /// What it holds.
    pub content: &'a [u8],
    /// What follows.
    pub rest: &'a [u8],
}

/// Tag of a sequence.
pub const SEQUENCE: u8 = 0x30;
/// Tag of a set.
pub const SET: u8 = 0x31;
/// Tag of an integer.
pub const INTEGER: u8 = 0x02;
/// Tag of an object identifier.
pub const OID: u8 = 0x06;
/// Tag of a UTF-16 text.
pub const BMP_TEXT: u8 = 0x1e;
/// Tag of the version in a certificate.
pub const VERSION: u8 = 0xa0;

/// The first element. A length that reaches beyond the input is cut: the caller looks at the beginning only.
pub fn first(input: &[u8]) -> Option<Element<'_>> {
    let (&tag, input) = input.split_first()?;
    let (&short, input) = input.split_first()?;
    let (length, input) = match short {
        0..=0x7f => (usize::from(short), input),
        0x81..=0x84 => {
            let (bytes, input) = input.split_at_checked(usize::from(short & 0x7f))?;
            (bytes.iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?, input)
        }
        _ => return None,
    };
    let (content, rest) = input.split_at(length.min(input.len()));
    Some(Element { tag, content, rest })
}

/// The first element, if it has that tag.
pub fn expect(input: &[u8], tag: u8) -> Option<Element<'_>> {
    first(input).filter(|element| element.tag == tag)
}

/// Every element of a constructed one.
pub fn all(mut input: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let element = first(input)?;
        input = element.rest;
        Some(element)
    })
}

/// An object identifier in dotted text.
pub fn oid(content: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for byte in content {
        arc = arc.saturating_mul(128).saturating_add(u64::from(byte & 0x7f));
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let root = (arc / 40).min(2);
                arcs.extend([root, arc - root * 40]);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// A big-endian magnitude as a decimal number.
pub fn decimal(bytes: &[u8]) -> String {
    let mut digits: Vec<u8> = vec![0];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            let value = u32::from(*digit) * 256 + carry;
            *digit = u8::try_from(value % 10).unwrap_or_default();
            carry = value / 10;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 10).unwrap_or_default());
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}
