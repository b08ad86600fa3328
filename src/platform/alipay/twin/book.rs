//! What the pretended platform remembers of merchants' authorizations: tokens, codes, and which of them are spent (4.2, 4.4).
//!
//! Asked by the twin only. Times are handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Timestamp, china_text};
use crate::envelope::digest;

/// `re_expires_in`.
pub const REFRESH_LIFETIME_SECONDS: i64 = 32_140_800;

/// `expires_in`, which means nothing any more.
pub const OBSOLETE_LIFETIME_SECONDS: i64 = 31_536_000;

/// How long a code can be exchanged.
const CODE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long a replaced access token still works: "a short while", by the vendor's words.
const OVERLAP: Duration = Duration::from_secs(60);

/// An access token and its refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub access: String,
    pub refresh: String,
}

struct Authorization {
    pair: Pair,
    granted_at: Timestamp,
    refresh_expires_at: Timestamp,
    is_access_valid: bool,
    former: Option<(String, Timestamp)>,
}

struct Code {
    app_id: String,
    expires_at: Timestamp,
}

/// The memory.
#[derive(Default)]
pub struct Book {
    authorizations: BTreeMap<String, Authorization>,
    codes: BTreeMap<String, Code>,
    /// Refresh tokens that were superseded, by a refresh, a new grant or a withdrawal.
    superseded: Vec<String>,
    issued: u64,
}

impl Book {
    /// Forty characters in the manner of Alipay's: the month, and what tells it from all others.
    fn text(&mut self, now: Timestamp, length: usize) -> String {
        self.issued += 1;
        let unique = hex::encode_upper(digest::sha256(&[b"alipay", &self.issued.to_be_bytes()]));
        let month: String = china_text(now).chars().filter(char::is_ascii_digit).take(6).collect();
        format!("{month}BB{unique}").chars().take(length).collect()
    }

    fn pair(&mut self, now: Timestamp) -> Pair {
        Pair { access: self.text(now, 40), refresh: self.text(now, 40) }
    }

    /// A merchant authorizes, or does so again: new tokens, and a code for them.
    pub fn grant(&mut self, app_id: &str, now: Timestamp) -> (Pair, String) {
        let pair = self.renew(app_id, now);
        let code = self.text(now, 32);
        self.codes.insert(code.clone(), Code { app_id: app_id.to_owned(), expires_at: later(now, CODE_LIFETIME) });
        if let Some(authorization) = self.authorizations.get_mut(app_id) {
            authorization.granted_at = now;
        }
        (pair, code)
    }

    fn renew(&mut self, app_id: &str, now: Timestamp) -> Pair {
        let pair = self.pair(now);
        let former = self.authorizations.remove(app_id);
        let granted_at = former.as_ref().map_or(now, |former| former.granted_at);
        let former = former.map(|former| {
            self.superseded.push(former.pair.refresh);
            (former.pair.access, if former.is_access_valid { later(now, OVERLAP) } else { now })
        });
        let refresh_expires_at = later(now, Duration::from_secs(REFRESH_LIFETIME_SECONDS.unsigned_abs()));
        let authorization = Authorization { pair: pair.clone(), granted_at, refresh_expires_at, is_access_valid: true, former };
        self.authorizations.insert(app_id.to_owned(), authorization);
        pair
    }

    /// Spends a code. It gives the tokens of its authorization, which the notice carried too.
    pub fn exchange(&mut self, code: &str, now: Timestamp) -> Result<(String, Pair), &'static str> {
        let known = self.codes.get(code).ok_or("AUTH_CODE_NOT_EXIST")?;
        if known.expires_at <= now {
            return Err("AUTH_CODE_NOT_VALID");
        }
        let app_id = self.codes.remove(code).ok_or("AUTH_CODE_NOT_EXIST")?.app_id;
        let pair = self.authorizations.get(&app_id).ok_or("AUTH_CODE_NOT_EXIST")?.pair.clone();
        Ok((app_id, pair))
    }

    /// Spends a refresh token.
    pub fn refresh(&mut self, refresh: &str, now: Timestamp) -> Result<(String, Pair), &'static str> {
        if self.superseded.iter().any(|spent| spent == refresh) {
            return Err("REFRESH_TOKEN_NOT_VALID");
        }
        let found = self.authorizations.iter().find(|(_, authorization)| authorization.pair.refresh == refresh);
        let (app_id, authorization) = found.ok_or("REFRESH_TOKEN_NOT_EXIST")?;
        if authorization.refresh_expires_at <= now {
            return Err("REFRESH_TOKEN_TIME_OUT");
        }
        let app_id = app_id.clone();
        let pair = self.renew(&app_id, now);
        Ok((app_id, pair))
    }

    /// A merchant withdraws: tokens and codes die at once.
    pub fn revoke(&mut self, app_id: &str) {
        if let Some(gone) = self.authorizations.remove(app_id) {
            self.superseded.push(gone.pair.refresh);
        }
        self.codes.retain(|_, code| code.app_id != app_id);
    }

    /// Access tokens of a merchant stop working; the refresh token goes on.
    pub fn expire(&mut self, app_id: &str) {
        if let Some(authorization) = self.authorizations.get_mut(app_id) {
            authorization.is_access_valid = false;
            authorization.former = None;
        }
    }

    /// Whose access token this is, if it works now.
    pub fn holder(&self, access: &str, now: Timestamp) -> Option<&str> {
        let works = |authorization: &Authorization| {
            let present = authorization.is_access_valid && authorization.pair.access == access;
            present || authorization.former.as_ref().is_some_and(|(former, until)| former == access && now < *until)
        };
        self.authorizations.iter().find(|(_, authorization)| works(authorization)).map(|(app_id, _)| app_id.as_str())
    }

    /// The authorizations, or the one of a mini program: app id, time, access token.
    pub fn list<'a>(&'a self, app_id: Option<&'a str>) -> impl Iterator<Item = (&'a str, Timestamp, &'a str)> {
        let wanted = self.authorizations.iter().filter(move |(known, _)| app_id.is_none_or(|app_id| app_id == known.as_str()));
        wanted.map(|(known, authorization)| (known.as_str(), authorization.granted_at, authorization.pair.access.as_str()))
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
