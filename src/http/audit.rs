//! `GET /v1/audit`: who read which token when. Never the token.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::Face;
use super::body::moment;
use super::caller::{AuditRead, Caller};
use super::list::{Listing, gather};
use super::parameters::Query;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::vault::audit::Read;

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Filter {
    component: Option<String>,
}

#[derive(Serialize)]
struct ReadBody {
    at: Timestamp,
    key: String,
    action: String,
    component: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<String>,
    generation: u64,
    remote: String,
    count: u64,
}

/// `GET /v1/audit`.
pub async fn list(caller: Caller<AuditRead>, face: web::Data<Face>, mut query: Query) -> Result<HttpResponse, Problem> {
    let filter = Filter { component: query.text("component") };
    let listing = Listing::read("audit", query, filter)?;
    if listing.after.is_none() {
        // Whoever looks now sees what was done until now.
        face.app.audit.write_new().await;
    }
    let reach = caller.reach();
    let component = listing.filter.component.as_deref().or_else(|| reach.only_one());
    let page = gather(
        listing.limit,
        listing.after.as_ref(),
        async |after, limit| face.app.reads.reads(component, after, limit).await,
        async |read: &Read| Ok(reach.has(&read.component)),
    )
    .await?;
    let items: Vec<ReadBody> = page.items.into_iter().map(write).collect();
    listing.answer(&items, page.next.as_ref())
}

fn write(read: Read) -> ReadBody {
    ReadBody {
        at: moment(read.at),
        key: read.key,
        action: read.action,
        component: read.component,
        authorizer: read.authorizer,
        generation: read.generation,
        remote: read.remote,
        count: read.count,
    }
}
