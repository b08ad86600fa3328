//! Merchants' mini programs of a component, and links for new ones.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::body::{moment, second};
use super::caller::{AuthorizationsCreate, Caller, Read};
use super::components::TokenBody;
use super::list::Listing;
use super::parameters::{Nothing, Query};
use super::problem::{Kind, Problem};
use super::{Face, body, pages};
use crate::clock::Timestamp;
use crate::platform::Family;
use crate::vault::{Asker, Authorizer, AuthorizerState, TokenState};
use crate::versions::{VersionNote, Versions};

#[derive(Serialize)]
struct AuthorizerBody {
    app_id: String,
    component: String,
    name: Option<String>,
    state: AuthorizerState,
    permissions: Vec<PermissionBody>,
    /// Of the family to use.
    token_expires_at: Option<Timestamp>,
    tokens: Vec<TokenBody>,
    granted_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_event_at: Option<Timestamp>,
    versions: VersionsBody,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct PermissionBody {
    id: String,
    name: String,
}

/// Which versions it has, as far as we heard of them.
#[derive(Serialize)]
struct VersionsBody {
    released: Option<VersionBody>,
    previous: Option<VersionBody>,
    approved: Option<VersionBody>,
    in_audit: Option<VersionBody>,
    uploaded: Option<VersionBody>,
}

#[derive(Serialize)]
struct VersionBody {
    version: Option<String>,
    package_id: Option<String>,
    audit_id: Option<String>,
    /// Since when it is there.
    at: Timestamp,
}

impl From<VersionNote> for VersionBody {
    fn from(note: VersionNote) -> Self {
        Self { version: note.version, package_id: note.package_id, audit_id: note.audit_id, at: moment(note.at) }
    }
}

impl From<Versions> for VersionsBody {
    fn from(versions: Versions) -> Self {
        let Versions { released, previous, approved, in_audit, uploaded } = versions;
        let body = |slot: Option<VersionNote>| slot.map(VersionBody::from);
        Self {
            released: body(released),
            previous: body(previous),
            approved: body(approved),
            in_audit: body(in_audit),
            uploaded: body(uploaded),
        }
    }
}

#[derive(Serialize)]
struct InvitationBody {
    url: String,
    /// For the vendor's own app, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile_url: Option<String>,
    /// Where a merchant grants several of its applications at once, if the vendor has such a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_url: Option<String>,
    /// Of the addresses; the page that the code leads to has no end.
    expires_at: Option<Timestamp>,
    qr_svg: String,
}

/// `GET /v1/components/{c}/authorizers`.
pub async fn list(_: Caller<Read>, face: web::Data<Face>, component: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    face.component(&component)?;
    let listing = Listing::<()>::read(format!("authorizers of {component}"), query, ())?;
    let page = face.app.vault.authorizers(&component, listing.after.as_ref(), listing.limit).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for authorizer in page.items {
        let (authorizer, tokens) = match face.app.vault.authorizer(&authorizer.component, &authorizer.app_id).await {
            Ok(both) => both,
            Err(error) => match Problem::from(error) {
                problem if problem.kind() == Kind::Unavailable => return Err(problem),
                _ => (authorizer, Vec::new()),
            },
        };
        items.push(describe(&face, authorizer, &tokens).await?);
    }
    listing.answer(&items, page.next.as_ref())
}

/// `GET /v1/components/{c}/authorizers/{a}`.
pub async fn one(_: Caller<Read>, face: web::Data<Face>, path: web::Path<(String, String)>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let (component, app_id) = path.into_inner();
    face.component(&component)?;
    // Whoever asks for the record of an unknown one asks for a thing that is not there, not for a token that is missing.
    let known = face.app.vault.authorizer(&component, &app_id).await.map_err(|error| match Problem::from(error) {
        problem if problem.kind() == Kind::NotAuthorized => Problem::no_such("authorizer", &app_id),
        problem => problem,
    });
    let (authorizer, tokens) = known?;
    body::json(&describe(&face, authorizer, &tokens).await?)
}

/// `POST /v1/components/{c}/authorizations`.
pub async fn invite(
    caller: Caller<AuthorizationsCreate>,
    face: web::Data<Face>,
    component: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    face.component(&component)?;
    let link = face.link(&component, Asker::Caller).await?;
    tracing::info!(component = %component, key = caller.name(), "authorization link made");
    // Who scans comes without a Referer, and is turned away by the page at `url` (Baidu 4.3, Douyin 4.3): he is led there by our own page, which asks
    // for a link of its own. Nothing is lost by that: a link says nothing of whom it is for.
    let page = face.page_address(&component);
    let qr_svg = pages::qr_code(link.mobile_url.as_ref().unwrap_or(&page)).unwrap_or_default();
    let invitation = InvitationBody {
        url: link.url,
        mobile_url: link.mobile_url,
        batch_url: link.batch_url,
        expires_at: link.expires_at.map(second),
        qr_svg,
    };
    body::json(&invitation)
}

async fn describe(face: &Face, authorizer: Authorizer, tokens: &[TokenState]) -> Result<AuthorizerBody, Problem> {
    let now = face.app.clock.now();
    let last_event_at = face.app.log.last_received(&authorizer.component, Some(&authorizer.app_id)).await?;
    let versions = face.app.versions.of(&authorizer.component, &authorizer.app_id).await?;
    Ok(AuthorizerBody {
        last_event_at: last_event_at.map(moment),
        versions: versions.into(),
        app_id: authorizer.app_id,
        component: authorizer.component,
        name: authorizer.name,
        state: authorizer.state,
        permissions: authorizer
            .permissions
            .into_iter()
            .map(|permission| PermissionBody { id: permission.id, name: permission.name })
            .collect(),
        token_expires_at: tokens.iter().find(|token| token.family == Family::Current).and_then(|token| token.expires_at).map(second),
        tokens: tokens.iter().map(|token| TokenBody::new(token, now)).collect(),
        granted_at: authorizer.granted_at.map(moment),
        revoked_at: authorizer.revoked_at.map(moment),
        updated_at: moment(authorizer.updated_at),
    })
}
