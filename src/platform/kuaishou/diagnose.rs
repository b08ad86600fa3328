//! Which variant opens a captured Kuaishou push (appendix D): every recipe, every reading of the key, every cipher variant.
//!
//! Both halves confirm themselves: neither a matching digest nor a padded JSON object with our id happens by chance.

use serde_json::{Map, Value};

use super::push::{Envelope, SIGNATURE_HEADER};
use super::seal::{self, IV_MODES, Key, KeyForm, LAYOUTS, Layout, RARE_RECIPES, RECIPES, Recipe, Variant};
use super::{Application, first, text};
use crate::platform::diagnose::{Diagnose, Diagnosis, Step};
use crate::platform::push::RawPush;

impl Diagnose for Application {
    fn diagnose(&self, raw: &RawPush) -> Diagnosis {
        let mut found = Found::default();
        if raw.is_get {
            found.step("method", true, "a GET is a check of the address and is answered at once");
            return found.done(true, None);
        }
        let signed = self.find_recipe(raw, &mut found);
        let envelope = match Envelope::read(&raw.body) {
            Ok(envelope) => envelope,
            Err(error) => {
                found.step("envelope", false, &error.to_string());
                return found.done(false, None);
            }
        };
        let ours = envelope.app_id == self.app_id;
        found.step(
            "envelope",
            ours,
            &match ours {
                true => String::from("`componentAppId` is ours"),
                false => format!("`componentAppId` is {}, the settings say {}", envelope.app_id, self.app_id),
            },
        );
        let inner = self.find_variant(&envelope, &mut found);
        if signed && inner.is_some() && !ours {
            found.proposal.push(setting("component_app_id", &envelope.app_id));
        }
        let opens = signed && inner.is_some();
        let content = inner.map(|inner| {
            let mut content = Value::Object(inner);
            self.vocabulary.seal(&mut content);
            content
        });
        found.done(opens, content)
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    steps: Vec<Step>,
    proposal: Vec<String>,
}

impl Found {
    fn step(&mut self, step: &str, ok: bool, detail: &str) {
        self.steps.push(Step { step: step.to_owned(), ok, detail: detail.to_owned() });
    }

    fn done(self, opens: bool, content: Option<Value>) -> Diagnosis {
        Diagnosis { steps: self.steps, opens, proposal: if opens { self.proposal } else { Vec::new() }, content }
    }
}

/// A line of the component's table.
fn setting(key: &str, value: &str) -> String {
    format!("{key} = {}", Value::from(value))
}

impl Application {
    /// Tries the configured recipes, then all others; whether one matched.
    fn find_recipe(&self, raw: &RawPush, found: &mut Found) -> bool {
        let Some(sent) = raw.header(SIGNATURE_HEADER).map(str::trim) else {
            found.step("signature", false, &format!("no `{SIGNATURE_HEADER}` header came with it"));
            return false;
        };
        let length = match sent.len() {
            32 => "as long as an MD5",
            40 => "as long as a SHA-1",
            64 => "as long as a SHA-256",
            _ => "as long as no hash known here",
        };
        // Saving a body to a file often appends a line break that was never signed.
        let bodies = [(raw.body.as_ref(), ""), (raw.body.trim_ascii_end(), " without the white space at its end")];
        for (body, remark) in bodies.into_iter().filter(|(body, remark)| remark.is_empty() || body.len() < raw.body.len()) {
            for recipe in self.recipes() {
                let holds = recipe.holds(sent, body, &self.token, &self.app_secret);
                let detail = if holds { "matches" } else { length };
                found.step(&format!("signature {}{remark}", recipe.name), holds, detail);
                if holds {
                    if !self.push.recipes.contains(recipe) || self.push.recipes.len() > 1 {
                        found.proposal.push(setting("push.signature_mode", recipe.name));
                    }
                    return true;
                }
            }
        }
        found.step(
            "signature",
            false,
            "no recipe matches: token or component_app_secret is not the console's, or the body was changed on the way",
        );
        false
    }

    fn recipes(&self) -> impl Iterator<Item = &'static Recipe> {
        let configured = self.push.recipes;
        configured.iter().chain(RECIPES.iter().chain(&RARE_RECIPES).filter(|recipe| !configured.contains(recipe)))
    }

    /// Tries the configured variant, then all others, with every key in every form; the decrypted object.
    fn find_variant(&self, envelope: &Envelope, found: &mut Found) -> Option<Map<String, Value>> {
        let sealed = match seal::decode(&envelope.encrypted) {
            Ok(sealed) => sealed,
            Err(error) => {
                found.step("base64", false, &error.to_string());
                return None;
            }
        };
        let ours = self.push.variant;
        let forms = [self.push.key_form, if self.push.key_form == KeyForm::Base64 { KeyForm::Raw } else { KeyForm::Base64 }];
        let exact = LAYOUTS.iter().map(|(_, layout)| *layout).filter(|layout| *layout != Layout::Auto);
        let others = IV_MODES.iter().flat_map(|(_, iv)| exact.clone().map(|layout| Variant { iv: *iv, layout, max_padding: 32 }));
        let variants: Vec<Variant> = std::iter::once(ours).chain(others).collect();
        for variant in variants {
            for form in forms {
                for (name, key_text) in &self.key_texts {
                    // A key that cannot be read in this form was never meant in it.
                    let Ok(key) = Key::read(key_text, form) else { continue };
                    let step = format!("decrypt with {name} as {}, iv {}, layout {}", word(form), iv(variant), layout(variant));
                    match seal::open(&key, variant, &sealed, &envelope.app_id) {
                        Ok(inner) if self.confirms(&inner) => {
                            found.step(&step, true, &format!("a JSON object with {} members", inner.len()));
                            self.propose(variant, form, found);
                            return Some(inner);
                        }
                        Ok(_) => found.step(&step, false, "a JSON object, but with neither our id nor an event's name"),
                        Err(error) => found.step(&step, false, &error.to_string()),
                    }
                }
            }
        }
        found.step("decrypt", false, "nothing opens it: the key is not the console's present or former one");
        None
    }

    fn confirms(&self, inner: &Map<String, Value>) -> bool {
        let event = first(inner, &["event", "Event", "eventType", "event_type"]).is_some();
        event || first(inner, &["componentAppId", "component_app_id"]).and_then(text).is_some_and(|id| id == self.app_id)
    }

    fn propose(&self, variant: Variant, form: KeyForm, found: &mut Found) {
        let ours = self.push.variant;
        if form != self.push.key_form {
            found.proposal.push(setting("push.key_form", word(form)));
        }
        if variant.iv != ours.iv {
            found.proposal.push(setting("push.iv_mode", iv(variant)));
        }
        if variant.layout != ours.layout && ours.layout != Layout::Auto {
            found.proposal.push(setting("push.plaintext_layout", layout(variant)));
        }
        // Only a variant tried after the configured one pads further than that.
        if variant != ours && ours.max_padding < variant.max_padding {
            found.proposal.push(format!("push.max_padding = {}", variant.max_padding));
        }
    }
}

fn word(form: KeyForm) -> &'static str {
    match form {
        KeyForm::Base64 => "base64",
        KeyForm::Raw => "raw",
    }
}

fn iv(variant: Variant) -> &'static str {
    IV_MODES.iter().find(|(_, iv)| *iv == variant.iv).map_or("", |(word, _)| word)
}

fn layout(variant: Variant) -> &'static str {
    LAYOUTS.iter().find(|(_, layout)| *layout == variant.layout).map_or("", |(word, _)| word)
}
