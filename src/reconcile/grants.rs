//! Our merchants held against the vendor's list of those that granted (Douyin 4.7, Alipay 4.6; Baidu and Kuaishou have none).
//!
//! A merchant on the list that we do not know granted, and nobody told us: an event, and its tokens are won back by the vault. So are those
//! of a merchant whose grant was told and whose code the vault gave up; that is no event. One of ours that is not on the list withdrew, but
//! only when two whole lists, some time apart, lack it. A list is whole when its pages hold as many merchants as the vendor says there are;
//! one that is cut, or changes while it is read, revokes nobody. Nor does a list that holds some kinds of applications only, where
//! merchants may grant others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Corner, Reconcile, Report, locked};
use crate::clock::Timestamp;
use crate::event_type::EventType;
use crate::inbox::{Finding, Page};
use crate::platform::call::Class;
use crate::platform::looks::GrantList;
use crate::platform::loose;
use crate::platform::push::Grant;
use crate::platform::token::{Family, TokenKey};
use crate::vault::{Authorizer, AuthorizerState, LAG, VaultError};

/// Pages of one list: a hundred thousand merchants.
const MOST_PAGES: u64 = 2000;
/// Merchants found at once; more are found by the next look.
const MOST_FOUND: usize = 500;
/// The vendor is asked for the tokens of a merchant whose code was given up at most this often.
const ASKED_EVERY: Duration = Duration::from_secs(3600);
/// Two lists must lack a merchant, at least this far apart.
const APART: Duration = Duration::from_secs(300);
/// A list that lacks more than half of ours is not believed, where it is about more than a few.
const A_FEW: usize = 10;

/// What the vendor listed.
struct Listing {
    /// When its reading began.
    began: Timestamp,
    /// When each granted, where the list says so.
    merchants: BTreeMap<String, Option<Timestamp>>,
    /// Everything that there is was read.
    is_whole: bool,
}

impl Reconcile {
    /// Compares both.
    pub(super) async fn grants(&self, corner: &Corner) -> Report {
        let mut report = Report::default();
        let Some(list) = corner.component.grant_list() else { return report };
        let listing = self.listing(corner, list, &mut report).await;
        let ours = match self.ours(corner).await {
            Ok(ours) => ours,
            Err(error) => {
                report.fail(error);
                return report;
            }
        };
        self.unknown(corner, &listing, &ours, list, &mut report).await;
        self.given_up(corner, &listing, &ours).await;
        if listing.is_whole && list.holds_all {
            self.vanished(corner, &listing, &ours, list, &mut report).await;
        }
        report
    }

    async fn listing(&self, corner: &Corner, list: GrantList, report: &mut Report) -> Listing {
        let mut listing = Listing { began: self.clock.now(), merchants: BTreeMap::new(), is_whole: false };
        let mut total = None;
        for page in 1..=MOST_PAGES {
            let params = Map::from_iter([(list.page.to_owned(), json!(page)), (list.size.to_owned(), json!(list.most))]);
            report.asked += 1;
            let outcome = match self.desk.carry_out(corner.component.name(), None, list.operation, params).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    report.fail(error);
                    return listing;
                }
            };
            let items = outcome.result.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let said = outcome.result.get("total").and_then(Value::as_u64);
            if page > 1 && said != total {
                report.fail("the list of grants changed while it was read");
                return listing;
            }
            total = said;
            let before = listing.merchants.len();
            for item in items.iter().filter_map(Value::as_object) {
                let app_id = loose::text_of(item, &["app_id"]).filter(|app_id| !app_id.is_empty());
                let granted_at = loose::words_of(item, &[list.granted_at]).and_then(|at| at.parse().ok());
                if let Some(app_id) = app_id {
                    listing.merchants.insert(app_id.into_owned(), granted_at);
                }
            }
            let seen = u64::try_from(listing.merchants.len()).unwrap_or(u64::MAX);
            if total.is_some_and(|total| seen >= total) || listing.merchants.len() == before {
                break;
            }
        }
        let seen = u64::try_from(listing.merchants.len()).unwrap_or(u64::MAX);
        match total {
            Some(total) if total == seen => listing.is_whole = true,
            Some(total) => {
                report.fail(format!("the list of grants holds {seen} merchants and should hold {total}: nobody is taken for withdrawn"))
            }
            None => report.fail("the list of grants does not say how many there are: nobody is taken for withdrawn"),
        }
        listing
    }

    async fn ours(&self, corner: &Corner) -> Result<BTreeMap<String, Authorizer>, crate::vault::VaultError> {
        const PAGE: usize = 500;
        let (mut ours, mut after) = (BTreeMap::new(), None);
        loop {
            let Page { items, next } = self.vault.authorizers(corner.component.name(), after.as_ref(), PAGE).await?;
            ours.extend(items.into_iter().map(|authorizer| (authorizer.app_id.clone(), authorizer)));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(ours),
            }
        }
    }

    /// Merchants that granted and that we know no grant of.
    async fn unknown(&self, corner: &Corner, listing: &Listing, ours: &BTreeMap<String, Authorizer>, list: GrantList, report: &mut Report) {
        let component = corner.component.as_ref();
        let is_unknown = |app_id: &String, granted_at: Option<Timestamp>| match ours.get(app_id) {
            None => true,
            // Only a grant after the withdrawal is another one.
            Some(known) if known.state == AuthorizerState::Revoked => {
                let withdrawn = known.revoked_at.unwrap_or(known.updated_at);
                granted_at.is_some_and(|at| later(withdrawn, Duration::from_secs(1)) < at)
            }
            Some(_) => false,
        };
        let unknown = listing.merchants.iter().filter(|(app_id, granted_at)| is_unknown(app_id, **granted_at)).take(MOST_FOUND);
        for (app_id, granted_at) in unknown {
            let at = granted_at.unwrap_or(listing.began);
            let finding = Finding {
                authorizer: app_id,
                kind: EventType::AuthorizationGranted,
                data: Map::new(),
                asked: list.operation,
                vendor: json!({"app_id": app_id, "granted_at": granted_at}),
                at,
                since: *granted_at,
            };
            match self.inbox.derive(component, finding).await {
                Ok(Some(_)) => report.found += 1,
                // Told long ago, and still nothing is held: its code was lost on the way to the vault.
                Ok(None) if later(at, LAG) <= listing.began => {
                    let grant = Grant { code: None, tokens: None, permissions: Vec::new(), granted_at: at };
                    match self.vault.granted(component.name(), Some(app_id), &grant).await {
                        Ok(_) => {
                            tracing::info!(component = component.name(), authorizer = app_id, "a grant that was told and lost is won back")
                        }
                        Err(error) => {
                            tracing::warn!(component = component.name(), authorizer = app_id, %error, "a grant could not be won back")
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => return report.fail(error),
            }
        }
    }

    /// Merchants on the list whose code the vault gave up. Nobody but us would try again: their grant was told, and the vendor thinks that
    /// we have its tokens.
    async fn given_up(&self, corner: &Corner, listing: &Listing, ours: &BTreeMap<String, Authorizer>) {
        let component = corner.component.name();
        let Ok(with_codes) = self.vault.with_codes(component) else { return };
        let is_given_up = |authorizer: &&Authorizer| {
            let Some(listed) = listing.merchants.get(&authorizer.app_id) else { return false };
            // What came or changed in these minutes may be under way.
            let last = Some(authorizer.updated_at).max(authorizer.granted_at).max(*listed);
            authorizer.state == AuthorizerState::Pending
                && last.is_some_and(|at| later(at, LAG) <= listing.began)
                && !with_codes.contains(authorizer.app_id.as_str())
        };
        let given_up: BTreeSet<&str> = ours.values().filter(is_given_up).map(|authorizer| authorizer.app_id.as_str()).collect();
        let due: Vec<&str> = {
            let mut asked = locked(&corner.given_up);
            asked.retain(|app_id, _| given_up.contains(app_id.as_str()));
            let is_due = |app_id: &&str| asked.get(*app_id).is_none_or(|at| later(*at, ASKED_EVERY) <= listing.began);
            let mut due: Vec<&str> = given_up.into_iter().filter(is_due).collect();
            // Those that are refused again and again do not keep others from their turn.
            due.sort_by_key(|app_id| asked.get(*app_id).copied());
            due.truncate(MOST_FOUND);
            asked.extend(due.iter().map(|app_id| ((*app_id).to_owned(), listing.began)));
            due
        };
        for (place, app_id) in due.iter().enumerate() {
            // It may have granted again, or withdrawn, since the list was read.
            let before = ours.get(*app_id).map(|known| (known.state, known.updated_at));
            let now_known = self.vault.authorizer(component, app_id).await.ok().map(|(known, _)| (known.state, known.updated_at));
            if now_known != before || self.vault.has_code(component, app_id).unwrap_or_default() {
                continue;
            }
            let key = TokenKey::Authorizer { app_id: (*app_id).to_owned(), family: Family::Current };
            match self.vault.refresh(component, &key).await {
                Ok(_) => tracing::info!(component, authorizer = app_id, "a grant that was given up is won back"),
                Err(error) => {
                    tracing::warn!(component, authorizer = app_id, %error, "a grant that was given up could not be won back");
                    if is_for_all(&error) {
                        // The others wait for the next look, and the looks behind this one do not wait for them.
                        let rest = due.get(place.saturating_add(1)..).unwrap_or_default();
                        locked(&corner.given_up).retain(|app_id, _| !rest.contains(&app_id.as_str()));
                        return;
                    }
                }
            }
        }
    }

    /// Merchants of ours that two whole lists lack.
    async fn vanished(
        &self,
        corner: &Corner,
        listing: &Listing,
        ours: &BTreeMap<String, Authorizer>,
        list: GrantList,
        report: &mut Report,
    ) {
        let component = corner.component.as_ref();
        let granted: Vec<&Authorizer> = ours.values().filter(|authorizer| authorizer.state == AuthorizerState::Granted).collect();
        // A list may lag behind a grant of this minute.
        let is_old = |authorizer: &Authorizer| authorizer.granted_at.is_some_and(|at| later(at, LAG) <= listing.began);
        let lacking: Vec<&Authorizer> = granted
            .iter()
            .copied()
            .filter(|authorizer| !listing.merchants.contains_key(&authorizer.app_id) && is_old(authorizer))
            .collect();
        if lacking.len() > A_FEW && lacking.len() * 2 > granted.len() {
            report.fail(format!(
                "the list of grants lacks {} of our {} merchants: it is not believed; look at the platform's console",
                lacking.len(),
                granted.len()
            ));
            return;
        }
        let due: Vec<&Authorizer> = {
            let mut missing = locked(&corner.missing);
            missing.retain(|app_id, _| lacking.iter().any(|authorizer| authorizer.app_id == *app_id));
            lacking
                .into_iter()
                .filter(|authorizer| later(*missing.entry(authorizer.app_id.clone()).or_insert(listing.began), APART) <= listing.began)
                .collect()
        };
        for authorizer in due {
            let app_id = authorizer.app_id.as_str();
            // It may have granted again since the list was read.
            let now_known = self.vault.authorizer(component.name(), app_id).await.map(|(known, _)| known);
            if !now_known.is_ok_and(|known| known.state == AuthorizerState::Granted && known.granted_at == authorizer.granted_at) {
                continue;
            }
            let finding = Finding {
                authorizer: app_id,
                kind: EventType::AuthorizationRevoked,
                data: Map::new(),
                asked: list.operation,
                vendor: json!({"app_id": app_id, "listed": false, "total": listing.merchants.len()}),
                // Not later than the list: a grant that comes meanwhile outlives it.
                at: listing.began,
                since: authorizer.granted_at,
            };
            match self.inbox.derive(component, finding).await {
                Ok(Some(_)) => report.found += 1,
                Ok(None) => {}
                Err(error) => return report.fail(error),
            }
            locked(&corner.missing).remove(app_id);
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Whether it is the vendor's or our own trouble, which the next merchant meets as well.
fn is_for_all(error: &VaultError) -> bool {
    match error {
        VaultError::NoTicket { .. } | VaultError::VendorUnreachable(_) | VaultError::Store(_) => true,
        VaultError::VendorRefused(refusal) => {
            matches!(refusal.class, Class::RateLimited | Class::RenewComponentToken | Class::TicketInvalid | Class::Configuration)
        }
        _ => false,
    }
}
