//! Opening Baidu's pushes (2, 3, 7.2): tickets, grants, results, customer messages, and the console's echo request.

use serde_json::{Map, Value};

use super::catalogue::{self, Meaning};
use super::{Application, Own};
use crate::clock::{CHINA, Timestamp};
use crate::event_type::EventType;
use crate::platform::push::{Acknowledgement, Opened, Push, PushError, Pushes, RawPush};
use crate::platform::sorted_envelope::dialect::{Dialect, Meant, filled};
use crate::platform::sorted_envelope::{Fields, Plain};

/// Member names of Baidu's events (3.0). Values are trimmed: two published samples of `event` begin with a space.
const DIALECT: Dialect = Dialect {
    authorizer: "appId",
    component: "tpAppId",
    event: &["event", "Event"],
    time: &["eventTime", "CreateTime"],
    code: "authorizationCode",
    code_expires_in: "authorizationCodeExpiresIn",
    // The shortest that any sample shows (3.1).
    code_seconds: 60,
    zone: CHINA,
};

impl Pushes for Application {
    fn open(&self, raw: &RawPush) -> Result<Opened, PushError> {
        let own = &self.of;
        // Where the echo parameters travel is not stated (7.2): the query comes first, a form or JSON body after it.
        if !raw.query.is_empty()
            && let Some(echo) = Fields::of_form(raw.query.as_bytes()).echo
        {
            return Ok(Opened::Check(Acknowledgement::text(own.sealing.echoed(&echo)?)));
        }
        if raw.is_get {
            return Ok(Opened::Check(Acknowledgement::success()));
        }
        let fields = Fields::of_body(&raw.body)?;
        if let Some(echo) = &fields.echo {
            return Ok(Opened::Check(Acknowledgement::text(own.sealing.echoed(echo)?)));
        }
        let encrypt = own.sealing.verified(&fields)?;
        let push = own.sealing.open(encrypt, |plain| {
            own.check_tail(plain)?;
            own.read(plain, raw.received_at)
        })?;
        Ok(Opened::Push(Box::new(push)))
    }

    /// `content` is what `Encrypt` was (5.9). Whether the same id stands behind the frame is unverified, so it is not insisted on.
    fn open_listed(&self, entry: &Value, received_at: Timestamp) -> Result<Push, PushError> {
        let own = &self.of;
        let content = entry.get("content").and_then(Value::as_str);
        let content = content.ok_or_else(|| PushError::Malformed(String::from("an entry without `content`")))?;
        own.sealing.open(content, |plain| own.read(plain, received_at))
    }
}

impl Own {
    fn read(&self, plain: &Plain, received_at: Timestamp) -> Result<Push, PushError> {
        let dialect = Dialect { zone: self.event_zone, ..DIALECT };
        dialect.push(plain, &self.tp_id, received_at, |vendor, event| self.meaning(vendor, event))
    }

    /// What a platform event means, by its row.
    fn meaning(&self, vendor: &Map<String, Value>, event: &str) -> Meant {
        match catalogue::named(event).map(|row| &row.meaning) {
            Some(Meaning::Granted) => Meant::Granted,
            Some(Meaning::Updated) => Meant::Updated,
            Some(Meaning::Revoked) => Meant::Revoked,
            Some(Meaning::Fact(kind, fields)) => Meant::Fact(*kind, filled(vendor, fields)),
            // The vendor's own content is sealed like every other.
            Some(Meaning::Registration(codes)) if self.register_codes => Meant::Fact(EventType::VendorOther, filled(vendor, codes)),
            Some(Meaning::ByReason { without, with, fields }) => {
                let data = filled(vendor, fields);
                Meant::Fact(if data.contains_key("reason") { *with } else { *without }, data)
            }
            Some(Meaning::Registration(_)) | None => Meant::other(),
        }
    }

    fn check_tail(&self, plain: &Plain) -> Result<(), PushError> {
        if plain.tail() == self.tp_id.as_bytes() {
            return Ok(());
        }
        if self.strict_tail {
            return Err(PushError::WrongAppId(String::from("the id behind the frame is not `tp_id`")));
        }
        tracing::debug!(tp_id = %self.tp_id, bytes = plain.tail().len(), "the id behind the frame is not `tp_id`");
        Ok(())
    }
}
