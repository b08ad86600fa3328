//! The rules by which Alipay signs what it pushes (2.3). Two are documented or proven, each with two readings of empty values and of
//! the certificate's number, so a push is held against all that can differ for it.
//!
//! Called by `push`, `diagnose` and the twin. Only RSA2 is ever accepted: what was pushed does not choose the algorithm.

use std::borrow::Cow;

use super::catalogue::ENVELOPE_FIELDS;
use super::form::{self, Form};
use super::joins;
use super::trust::Trust;
use crate::envelope::rsa2::PrivateKey;
use crate::platform::push::PushError;

/// Which fields stay out of the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `sign` and `sign_type`: the documented one.
    V1,
    /// `sign` only: the gateway check, and a real `servicemarket_order_notify`.
    V2,
}

/// What happens to fields with empty values: official clients disagree (Alipay 8, conflict 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empties {
    /// They stay, as `name=`.
    Kept,
    /// Those that the envelope is known to have are left out. Others stay even then: whatever is left out, anybody could add.
    Dropped,
}

/// What happens to `alipay_cert_sn` in certificate mode (unverified, Alipay 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateNumber {
    /// It is left out; it still chooses the certificate.
    LeftOut,
    /// It stays.
    Kept,
}

/// One reading of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The rule.
    pub rule: Rule,
    /// Empty values.
    pub empties: Empties,
    /// The certificate's number.
    pub certificate_number: CertificateNumber,
}

/// The field that names the certificate.
const CERTIFICATE_NUMBER: &str = "alipay_cert_sn";

impl Variant {
    /// All readings, the likeliest first.
    pub fn all() -> impl Iterator<Item = Self> {
        [CertificateNumber::LeftOut, CertificateNumber::Kept].into_iter().flat_map(|certificate_number| {
            [Empties::Kept, Empties::Dropped]
                .into_iter()
                .flat_map(move |empties| [Rule::V1, Rule::V2].into_iter().map(move |rule| Self { rule, empties, certificate_number }))
        })
    }

    /// The readings that give different strings for this form. The certificate's number counts in certificate mode only: in key mode
    /// it is a field like any other, and signed.
    pub fn for_form(form: &Form, trust: &Trust) -> impl Iterator<Item = Self> {
        let some_empty = form.fields().any(|(name, value)| is_empty_and_known(name, value));
        let some_number = trust.own().is_some() && form.get(CERTIFICATE_NUMBER).is_some();
        Self::all().filter(move |variant| {
            (some_empty || variant.empties == Empties::Kept) && (some_number || variant.certificate_number == CertificateNumber::Kept)
        })
    }

    /// The fields that are signed, of those that the form has.
    fn signed(self, form: &Form) -> impl Iterator<Item = (&[u8], &[u8])> {
        form.fields().filter(move |(name, value)| {
            *name != b"sign"
                && (*name != b"sign_type" || self.rule == Rule::V2)
                && (*name != CERTIFICATE_NUMBER.as_bytes() || self.certificate_number == CertificateNumber::Kept)
                && (self.empties == Empties::Kept || !is_empty_and_known(name, value))
        })
    }

    /// The string that is signed.
    #[must_use]
    pub fn sign_string(self, form: &Form) -> Vec<u8> {
        // A proxy or a client may have taken it off; the platform signed it (Alipay A.3, third row).
        let missing = self.rule == Rule::V2 && form.get("sign_type").is_none();
        form::sign_string(self.signed(form).chain(missing.then_some((b"sign_type".as_slice(), b"RSA2".as_slice()))))
    }

    /// Its name for people: `V1 (without sign and sign_type), empty values kept, …`.
    #[must_use]
    pub fn name(self) -> String {
        let rule = match self.rule {
            Rule::V1 => "V1 (without sign and sign_type)",
            Rule::V2 => "V2 (without sign)",
        };
        let empties = match self.empties {
            Empties::Kept => "empty values kept",
            Empties::Dropped => "empty values dropped",
        };
        let number = match self.certificate_number {
            CertificateNumber::LeftOut => "alipay_cert_sn left out",
            CertificateNumber::Kept => "alipay_cert_sn kept",
        };
        format!("{rule}, {empties}, {number}")
    }
}

fn is_empty_and_known(name: &[u8], value: &[u8]) -> bool {
    value.is_empty() && ENVELOPE_FIELDS.iter().any(|known| known.as_bytes() == name)
}

/// Checks the signature of a form; gives the reading that holds.
///
/// # Errors
/// [`PushError::BadSignature`] with the first thing that was wrong; [`PushError::Malformed`] when the same text, and so the same signature,
/// is that of other forms too.
pub fn verify(form: &Form, trust: &Trust) -> Result<Variant, PushError> {
    let bad = |what: &str| PushError::BadSignature(what.to_owned());
    if !matches!(form.get("sign_type"), None | Some(b"RSA2")) {
        return Err(bad("sign_type is not RSA2, the only algorithm that is accepted"));
    }
    let sign = signature(form).ok_or_else(|| bad("there is no sign"))?;
    let number = form.ascii(CERTIFICATE_NUMBER);
    // Bytes that anybody may have added must not decide in which charset all the others are read.
    let is_ascii = form.get(CERTIFICATE_NUMBER).is_none_or(<[u8]>::is_ascii);
    if !is_ascii || trust.named(number).next().is_none() {
        return Err(bad("alipay_cert_sn names a certificate that is not configured"));
    }
    let holds = |variant: &Variant| {
        let string = variant.sign_string(form);
        trust.named(number).any(|trusted| trusted.key.verify(&string, &sign))
    };
    let variant = Variant::for_form(form, trust).find(holds).ok_or_else(|| bad("sign is not Alipay's over this body, by no rule"))?;
    match joins::two_ways(form, variant.signed(form)) {
        None => Ok(variant),
        Some(why) => Err(PushError::Malformed(format!("its signature is that of other forms too: {why}"))),
    }
}

/// The signature's base64. A proxy, or a sender that does not escape, turns its plus signs into blanks (Alipay 2.2).
#[must_use]
pub fn signature(form: &Form) -> Option<Cow<'_, str>> {
    form.ascii("sign").map(|sign| if sign.contains(' ') { Cow::Owned(sign.replace(' ', "+")) } else { Cow::Borrowed(sign) })
}

/// Signs a form as the platform does. For the twin.
pub fn sign(form: &mut Form, variant: Variant, key: &PrivateKey) {
    let sign = key.sign(&variant.sign_string(form));
    form.set("sign", &sign);
}
