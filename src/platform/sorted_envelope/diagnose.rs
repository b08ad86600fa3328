//! Why a captured push of this envelope does not open: every step, with what would mend it.

use serde_json::{Map, Value};

use super::{Fields, Layout, Plain, Sealing};
use crate::platform::diagnose::{Diagnosis, Step};
use crate::platform::loose;
use crate::platform::push::{Acknowledgement, Opened, PushError, RawPush};

/// What one platform's component tells about itself.
pub struct Subject<'a> {
    /// Its token and keys.
    pub sealing: &'a Sealing,
    /// The setting with its id at the vendor.
    pub id_setting: &'static str,
    /// That id.
    pub id: &'a str,
    /// The member of an event that names the receiver.
    pub id_member: &'static str,
    /// Whether another id behind the frame is refused.
    pub strict_tail: bool,
    /// The setting that makes it lenient, where there is one.
    pub tail_setting: Option<&'static str>,
}

/// The steps taken so far.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn note(&mut self, step: impl Into<String>, ok: bool, detail: impl Into<String>) -> bool {
        self.0.push(Step { step: step.into(), ok, detail: detail.into() });
        ok
    }

    fn end(self, opens: bool, proposal: Vec<String>, content: Option<Value>) -> Diagnosis {
        Diagnosis { steps: self.0, opens, proposal, content }
    }
}

/// Goes through all steps. `opened` is what the component itself makes of the request.
#[must_use]
pub fn diagnose(raw: &RawPush, subject: &Subject<'_>, opened: Result<Opened, PushError>) -> Diagnosis {
    let mut steps = Steps::default();
    if let Ok(Opened::Check(answer)) = &opened {
        // A bare GET is answered without being verified: that proves nothing.
        let verified = answer.body != Acknowledgement::success().body;
        let detail = if verified { "an echo request whose signature holds" } else { "answered, but nothing in it can be verified" };
        steps.note("check of the address", verified, detail);
        return steps.end(verified, Vec::new(), None);
    }
    let fields = match Fields::of_body(&raw.body) {
        Ok(fields) => fields,
        Err(error) => {
            steps.note("read the envelope", false, error.to_string());
            return steps.end(false, Vec::new(), None);
        }
    };
    if fields.echo.is_some() {
        let detail = opened.err().map_or_else(String::new, |error| error.to_string());
        steps.note("signature sha1(sorted token, timestamp, nonce) of an echo request", false, detail);
        return steps.end(false, Vec::new(), None);
    }
    let parts =
        [("Nonce", &fields.nonce), ("TimeStamp", &fields.timestamp), ("Encrypt", &fields.encrypt), ("MsgSignature", &fields.signature)];
    let seen: Vec<String> = parts
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}: {} characters", value.len()),
            None => format!("{name}: missing"),
        })
        .collect();
    steps.note("read the envelope", parts.iter().all(|(_, value)| value.is_some()), seen.join(", "));

    let signed = match subject.sealing.verified(&fields) {
        Ok(_) => steps.note("signature sha1(sorted token, TimeStamp, Nonce, Encrypt)", true, "holds with `token`"),
        Err(error) => steps.note(
            "signature sha1(sorted token, TimeStamp, Nonce, Encrypt)",
            false,
            format!("{error}; compare `token` with the console's, or the capture was changed on its way"),
        ),
    };
    let Some(encrypt) = fields.encrypt.as_deref() else { return steps.end(false, Vec::new(), None) };
    let Some((plain, mut content)) = decrypted(&mut steps, subject, encrypt) else { return steps.end(false, Vec::new(), None) };

    let mut proposal = Vec::new();
    let tail = String::from_utf8_lossy(plain.tail()).into_owned();
    let tail_fits = tail == subject.id;
    steps.note(
        format!("receiver id behind the body is `{}`", subject.id_setting),
        tail_fits || !subject.strict_tail,
        if tail_fits { String::from("equal") } else { format!("`{}` is configured, `{tail}` was sent", subject.id) },
    );
    let named = loose::text_of(&content, &[subject.id_member]).map(std::borrow::Cow::into_owned);
    let named_fits = named.as_deref().is_none_or(|named| named == subject.id);
    steps.note(
        format!("`{}` is `{}`", subject.id_member, subject.id_setting),
        named_fits,
        match &named {
            None => String::from("not in this push"),
            Some(_) if named_fits => String::from("equal"),
            Some(named) => format!("`{}` is configured, `{named}` was sent", subject.id),
        },
    );
    match (named_fits, tail_fits || !subject.strict_tail, subject.tail_setting) {
        (false, _, _) => proposal.push(format!("{} = \"{}\"", subject.id_setting, named.as_deref().unwrap_or(&tail))),
        (true, false, Some(setting)) if named.is_some() => proposal.push(format!("{setting} = false")),
        (true, false, _) => proposal.push(format!("{} = \"{tail}\"", subject.id_setting)),
        (true, true, _) => {}
    }
    if let Err(error) = opened
        && signed
        && proposal.is_empty()
    {
        steps.note("read the event", false, error.to_string());
        return steps.end(false, proposal, None);
    }
    loose::seal(&mut content);
    steps.end(signed, if signed { proposal } else { Vec::new() }, Some(Value::Object(content)))
}

/// Tries each key in this platform's layout, then in the other, so that a push of the neighbour is recognised.
fn decrypted(steps: &mut Steps, subject: &Subject<'_>, encrypt: &str) -> Option<(Plain, Map<String, Value>)> {
    let ours = subject.sealing.layout();
    let other = match ours {
        Layout::KeyPrefix => Layout::Leading,
        Layout::Leading => Layout::KeyPrefix,
    };
    for layout in [ours, other] {
        let iv = match layout {
            Layout::KeyPrefix => "from the key",
            Layout::Leading => "from the ciphertext",
        };
        for (setting, result) in subject.sealing.attempts(encrypt, layout) {
            let step = format!("decrypt with `{setting}`, AES-256-CBC, initialisation vector {iv}");
            match result.map(|plain| (loose::object(plain.body()), plain)) {
                Err(error) => steps.note(step, false, error.to_string()),
                Ok((None, _)) => steps.note(step, false, "the frame fits, but holds no JSON object"),
                Ok((Some(_), _)) if layout != ours => {
                    steps.note(step, false, "opens, but this is another platform's layout: the push belongs to another component")
                }
                Ok((Some(content), plain)) => {
                    steps.note(step, true, format!("a JSON object of {} bytes", plain.body().len()));
                    return Some((plain, content));
                }
            };
        }
    }
    None
}
