//! What Douyin has handed out, and its rules (4.1, 4.2, 4.5): lifetimes, single use, how many component tokens live side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::platform::issued::{Issued, State};
use crate::platform::loose::after;
use crate::platform::token::Family;

/// Lifetimes in seconds.
const TICKET_SECONDS: i64 = 10_800;
pub(super) const TOKEN_SECONDS: i64 = 7200;
pub(super) const REFRESH_TOKEN_SECONDS: i64 = 2_592_000;
pub(super) const CODE_SECONDS: i64 = 3600;
/// What a V2 component token has left once a newer one was made.
const GRACE_SECONDS: i64 = 300;
/// V1 answers the same component token while more than this is left.
const V1_SAME_SECONDS: i64 = 1800;

/// What was handed out for an authorizer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct For {
    pub app_id: String,
    pub family: Family,
}

/// An authorizer's newest pair in one generation.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub access: String,
    pub refresh: String,
}

/// Everything handed out.
#[derive(Default)]
pub(super) struct Ledger {
    tickets: Issued<()>,
    component: Issued<Family>,
    /// V2's component tokens, newest first: two live.
    current: VecDeque<String>,
    /// V1's component token and its end.
    v1: Option<(String, Timestamp)>,
    pre_auth_codes: Issued<()>,
    /// Codes with the app they are for and the generation they work in; both for those of a grant.
    codes: Issued<(String, Option<Family>)>,
    access: Issued<For>,
    refresh: Issued<For>,
    pairs: HashMap<For, Pair>,
    /// Standing grants with the time they were given.
    grants: BTreeMap<String, Timestamp>,
}

fn hex32() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Token text as Douyin writes it: a prefix in V2, long hex in V1.
fn token_text(family: Family, prefix: &str) -> String {
    match family {
        Family::Current => format!("{prefix}.{}{}", hex32(), hex32()),
        Family::V1 => format!("{}{}{}", hex32(), hex32(), hex32()),
    }
}

impl Ledger {
    pub(super) fn ticket(&mut self, now: Timestamp) -> String {
        let ticket = hex32();
        self.tickets.issue(ticket.clone(), (), after(now, TICKET_SECONDS), now);
        ticket
    }

    pub(super) fn ticket_state(&self, ticket: &str, now: Timestamp) -> State {
        self.tickets.state(ticket, now)
    }

    /// A component token and the seconds it has left.
    pub(super) fn component_token(&mut self, family: Family, now: Timestamp) -> (String, i64) {
        if family == Family::V1
            && let Some((token, dies)) = &self.v1
        {
            let left = dies.duration_since(now).as_secs();
            if left > V1_SAME_SECONDS && self.component.state(token, now) == State::Good {
                return (token.clone(), left);
            }
        }
        let token = token_text(family, "clt");
        let dies = after(now, TOKEN_SECONDS);
        self.component.issue(token.clone(), family, dies, now);
        match family {
            Family::V1 => self.v1 = Some((token.clone(), dies)),
            Family::Current => {
                if let Some(former) = self.current.front() {
                    self.component.shorten(former, after(now, GRACE_SECONDS));
                }
                self.current.push_front(token.clone());
                for dropped in self.current.drain(2.min(self.current.len())..) {
                    self.component.withdraw(&dropped);
                }
            }
        }
        (token, TOKEN_SECONDS)
    }

    pub(super) fn component_state(&self, token: &str, family: Family, now: Timestamp) -> State {
        match self.component.good(token, now) {
            Ok(of) if *of == family => State::Good,
            Ok(_) => State::Unknown,
            Err(state) => state,
        }
    }

    pub(super) fn pre_auth_code(&mut self, seconds: i64, now: Timestamp) -> String {
        let code = hex32();
        self.pre_auth_codes.issue(code.clone(), (), after(now, seconds), now);
        code
    }

    pub(super) fn pre_auth_state(&self, code: &str, now: Timestamp) -> State {
        self.pre_auth_codes.state(code, now)
    }

    pub(super) fn grant(&mut self, app_id: &str, now: Timestamp) {
        self.grants.entry(app_id.to_owned()).or_insert(now);
    }

    pub(super) fn stands(&self, app_id: &str) -> bool {
        self.grants.contains_key(app_id)
    }

    /// Standing grants in the order of their ids.
    pub(super) fn grants(&self) -> impl ExactSizeIterator<Item = (&String, &Timestamp)> {
        self.grants.iter()
    }

    /// Ends a grant with all that hangs on it, in both generations. False when there was none.
    pub(super) fn revoke(&mut self, app_id: &str) -> bool {
        for family in [Family::Current, Family::V1] {
            if let Some(pair) = self.pairs.remove(&For { app_id: app_id.to_owned(), family }) {
                self.access.withdraw(&pair.access);
                self.refresh.withdraw(&pair.refresh);
            }
        }
        self.codes.withdraw_all(|(of, _)| of == app_id);
        self.grants.remove(app_id).is_some()
    }

    /// A code that works in that generation, or in either.
    pub(super) fn code(&mut self, app_id: &str, family: Option<Family>, now: Timestamp) -> String {
        let code = hex32();
        self.codes.issue(code.clone(), (app_id.to_owned(), family), after(now, CODE_SECONDS), now);
        code
    }

    /// Uses a code of that generation up. One that was retrieved in the other generation is refused and stays as it is (4.4).
    pub(super) fn exchange(&mut self, code: &str, family: Family, now: Timestamp) -> Option<(For, Pair)> {
        let (app_id, only) = self.codes.good(code, now).ok()?;
        if only.is_some_and(|only| only != family) {
            return None;
        }
        let of = For { app_id: app_id.clone(), family };
        self.codes.spend(code);
        let pair = self.pair(&of, now);
        Some((of, pair))
    }

    /// Uses a refresh token up: the former access token dies with it, at once (4.5).
    pub(super) fn refresh(&mut self, token: &str, family: Family, now: Timestamp) -> Option<(For, Pair)> {
        let of = self.refresh.good(token, now).ok().filter(|of| of.family == family)?.clone();
        let pair = self.pair(&of, now);
        Some((of, pair))
    }

    fn pair(&mut self, of: &For, now: Timestamp) -> Pair {
        let pair = Pair { access: token_text(of.family, "isvact"), refresh: token_text(of.family, "isvrft") };
        self.access.issue(pair.access.clone(), of.clone(), after(now, TOKEN_SECONDS), now);
        self.refresh.issue(pair.refresh.clone(), of.clone(), after(now, REFRESH_TOKEN_SECONDS), now);
        if let Some(former) = self.pairs.insert(of.clone(), pair.clone()) {
            self.access.withdraw(&former.access);
            self.refresh.spend(&former.refresh);
        }
        pair
    }

    /// Whose access token that is.
    pub(super) fn bearer(&self, token: &str, family: Family, now: Timestamp) -> Result<&For, State> {
        self.access.good(token, now).and_then(|of| if of.family == family { Ok(of) } else { Err(State::Unknown) })
    }

    pub(super) fn expire_tokens(&mut self, app_id: Option<&str>) {
        match app_id {
            None => {
                self.component.withdraw_all(|_| true);
                self.current.clear();
                self.v1 = None;
            }
            Some(app_id) => {
                for family in [Family::Current, Family::V1] {
                    if let Some(pair) = self.pairs.get(&For { app_id: app_id.to_owned(), family }) {
                        self.access.withdraw(&pair.access);
                    }
                }
            }
        }
    }

    pub(super) fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        match app_id {
            None => self.component.state(token, now) == State::Good,
            Some(app_id) => self.access.good(token, now).is_ok_and(|of| of.app_id == app_id),
        }
    }
}
