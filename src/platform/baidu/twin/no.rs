//! How Baidu says no, in its three shapes (6), and yes.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::platform::issued::{Issued, State};
use crate::platform::twin::Request;

/// A no: HTTP status and body.
pub(super) struct No(pub u16, pub Value);

pub(super) fn platform(errno: i64, msg: &str) -> No {
    No(200, json!({"errno": errno, "msg": msg, "requestId": Uuid::new_v4().simple().to_string()}))
}

pub(super) fn gateway(code: i64, msg: &str) -> No {
    No(200, json!({"error_code": code, "error_msg": msg}))
}

pub(super) fn oauth(error: &str, description: &str) -> No {
    No(400, json!({"error": error, "error_description": description}))
}

/// Checks the token in the query against those handed out.
pub(super) fn bearer<W>(issued: &Issued<W>, request: &Request, now: Timestamp) -> Result<(), No> {
    let token = request.query_value("access_token").ok_or_else(|| gateway(100, "Invalid parameter"))?;
    match issued.state(&token, now) {
        State::Good => Ok(()),
        State::Expired => Err(gateway(111, "Access token expired")),
        State::Used | State::Unknown => Err(gateway(110, "Access token invalid or no longer valid")),
    }
}

pub(super) fn success(data: Value) -> Value {
    json!({"errno": 0, "msg": "success", "data": data})
}
