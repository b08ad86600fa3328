//! `yizhan diagnose` for Alipay: holds a captured push against every rule, charset and key, and says which step fails.
//!
//! Called by `cli`. Opens nothing that [`Pushes::open`] would not open; what it shows has its secrets sealed.

use super::form::{self, Form};
use super::rules::{self, Empties, Rule, Variant};
use super::settings::Application;
use super::{content, push};
use crate::platform::diagnose::{Diagnose, Diagnosis, Step};
use crate::platform::push::{Opened, PushError, Pushes, RawPush};

impl Diagnose for Application {
    fn diagnose(&self, raw: &RawPush) -> Diagnosis {
        let mut diagnosis = Diagnosis { steps: Vec::new(), opens: false, proposal: Vec::new(), content: None };
        if raw.is_get {
            note(&mut diagnosis, "method", true, "a GET is a check of the address and is answered at once");
            diagnosis.opens = true;
            return diagnosis;
        }
        let form = match Form::decode(&raw.body) {
            Ok(form) => form,
            Err(error) => {
                note(&mut diagnosis, "read the form", false, format!("{error}; {} bytes", raw.body.len()));
                return diagnosis;
            }
        };
        note(&mut diagnosis, "read the form", true, format!("{} fields: {}", form.fields().len(), names(&form)));
        self.try_signatures(&form, &mut diagnosis);
        try_charsets(&form, &mut diagnosis);
        self.try_content(&form, &mut diagnosis);
        self.try_reading(&form, raw, &mut diagnosis);
        diagnosis
    }
}

fn note(diagnosis: &mut Diagnosis, step: &str, ok: bool, detail: impl Into<String>) {
    diagnosis.steps.push(Step { step: step.to_owned(), ok, detail: detail.into() });
}

fn names(form: &Form) -> String {
    let names: Vec<String> = form.fields().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    names.join(", ")
}

impl Application {
    fn try_signatures(&self, form: &Form, diagnosis: &mut Diagnosis) {
        match form.get("sign_type") {
            Some(b"RSA2") => note(diagnosis, "sign_type", true, "RSA2"),
            None => note(diagnosis, "sign_type", true, "absent, taken as RSA2"),
            Some(_) => note(diagnosis, "sign_type", false, "not RSA2; switch 接口加签方式 in the console to RSA2"),
        }
        let Some(sign) = rules::signature(form) else {
            return note(diagnosis, "sign", false, "there is none");
        };
        let number = form.ascii("alipay_cert_sn");
        if self.gateway.trust().named(number).next().is_none() {
            let detail =
                "names a certificate that is not configured: put the new alipayCertPublicKey_RSA2.crt below the old one in alipay_cert";
            note(diagnosis, "alipay_cert_sn", false, detail);
        }
        let verifies = |string: &[u8]| {
            let place = self.gateway.trust().keys().iter().position(|trusted| trusted.key.verify(string, &sign))?;
            Some(format!("with key {} of {}", place + 1, self.gateway.trust().keys().len()))
        };
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let mut held = false;
        for variant in Variant::all() {
            let string = variant.sign_string(form);
            if seen.contains(&string) {
                continue;
            }
            let found = verifies(&string);
            held |= found.is_some();
            let detail = found.clone().unwrap_or_else(|| format!("does not hold over {} bytes", string.len()));
            note(diagnosis, &format!("signature {}", variant.name()), found.is_some(), detail);
            seen.push(string);
        }
        if !held {
            self.try_unaccepted(form, &verifies, diagnosis);
        }
    }

    /// Readings that are not accepted, but that tell what happened.
    fn try_unaccepted(&self, form: &Form, verifies: &dyn Fn(&[u8]) -> Option<String>, diagnosis: &mut Diagnosis) {
        for rule in [Rule::V1, Rule::V2] {
            let fields =
                form.fields().filter(|(name, value)| *name != b"sign" && (*name != b"sign_type" || rule == Rule::V2) && !value.is_empty());
            if verifies(&form::sign_string(fields)).is_some() {
                let detail = "it holds only when an empty field of unknown name is dropped, which anybody could have added: not accepted";
                note(diagnosis, "signature without any empty value", false, detail);
            }
        }
        let own = self.gateway.key().public();
        let signed_by_us = Variant::all()
            .filter(|variant| variant.empties == Empties::Kept)
            .any(|variant| rules::signature(form).is_some_and(|sign| own.verify(&variant.sign_string(form), &sign)));
        if signed_by_us {
            note(diagnosis, "signature with the application's own key", false, "it is signed with app_private_key: not a push of Alipay's");
        }
    }

    fn try_content(&self, form: &Form, diagnosis: &mut Diagnosis) {
        if form.ascii("encrypt_type").is_none() {
            return note(diagnosis, "decrypt", true, "not needed: there is no encrypt_type");
        }
        let sealed = form.ascii("biz_content").unwrap_or_default();
        let detail = match self.gateway.content_key() {
            None => Err("there is no aes_key: copy 接口内容加密方式 from the console"),
            Some(key) => key.open(sealed).ok_or("aes_key does not open biz_content: compare it with 接口内容加密方式 in the console"),
        };
        match detail {
            Ok(plain) => note(diagnosis, "decrypt with aes_key", true, format!("{} bytes", plain.len())),
            Err(why) => note(diagnosis, "decrypt with aes_key", false, why),
        }
    }

    fn try_reading(&self, form: &Form, raw: &RawPush, diagnosis: &mut Diagnosis) {
        match self.read(form, raw.received_at) {
            Ok(verified) => diagnosis.content = Some(push::vendor(verified.fields)),
            Err(error) => {
                note(diagnosis, "read the content", false, error.to_string());
                let signed = rules::verify(form, self.gateway.trust()).is_ok();
                // Not secret; and only believed from a body that Alipay signed.
                if let (true, PushError::WrongAppId(_), Some(app_id)) = (signed, &error, form.ascii("app_id")) {
                    diagnosis.proposal.push(format!("app_id = {}", serde_json::Value::from(app_id)));
                }
            }
        }
        match self.open(raw) {
            Ok(Opened::Check(_)) => note(diagnosis, "open", true, "a check of the gateway address, answered at once"),
            Ok(Opened::Push(push)) => note(diagnosis, "open", true, format!("{} ({})", push.notice.kind(), push.vendor_type)),
            Err(error) => return note(diagnosis, "open", false, error.to_string()),
        }
        diagnosis.opens = true;
    }
}

fn try_charsets(form: &Form, diagnosis: &mut Diagnosis) {
    let named = form.get("charset").map(|name| String::from_utf8_lossy(name).into_owned());
    let shown = named.clone().unwrap_or_else(|| String::from("UTF-8 (none is named)"));
    match form::charset(named.as_deref()) {
        None => note(diagnosis, "charset", false, "is neither UTF-8 nor of the GBK family"),
        Some(charset) if form.texts(charset).is_some() => note(diagnosis, "charset", true, shown),
        Some(_) => {
            let others = [encoding_rs::UTF_8, encoding_rs::GBK].into_iter().filter(|other| form.texts(other).is_some());
            let fits: Vec<&str> = others.map(encoding_rs::Encoding::name).collect();
            let instead = if fits.is_empty() { String::from("nothing known") } else { fits.join(" and ") };
            note(diagnosis, "charset", false, format!("{shown} does not fit; {instead} would"));
        }
    }
    let content = form.get("biz_content").unwrap_or_default();
    if let Some(Ok(serde_json::Value::Object(members))) = std::str::from_utf8(content).ok().map(serde_json::from_str) {
        let named: Vec<&str> = members.keys().map(String::as_str).collect();
        let about = content::text(&members, "mini_app_id").map(|app| format!(", about {app}")).unwrap_or_default();
        note(diagnosis, "biz_content", true, format!("JSON with {}{about}", named.join(", ")));
    }
}
