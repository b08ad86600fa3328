//! Everything that can be called, by subject. The second generation's address wherever there is one (5.0).

mod capability;
mod category;
mod component;
mod domain;
mod package;
mod profile;

use std::borrow::Cow;

use crate::platform::Title;
use crate::platform::call::Method::{self, Get, Post};
use crate::platform::operation::{Answers, Bearer, Effect, Kind, Operation, Param, Place};
use crate::platform::token::Family;

/// The merchant's token of the second generation.
const MERCHANT: Bearer = Bearer::Authorizer(Family::Current);
/// The merchant's token of the first generation, for what the second does not have.
const MERCHANT_V1: Bearer = Bearer::Authorizer(Family::V1);
/// The component's own token.
const COMPONENT: Bearer = Bearer::Component(Family::Current);

/// Bytes of most pictures (5.10).
const PICTURE: u32 = 2 * 1024 * 1024;

/// Every row.
pub fn rows() -> Vec<Operation> {
    [profile::rows(), category::rows(), domain::rows(), package::rows(), capability::rows(), component::rows()].concat()
}

/// Name, Chinese title, English title.
type Names = (&'static str, &'static str, &'static str);

fn row(names: Names, bearer: Bearer, method: Method, path: &'static str, effect: Effect, reference: &'static str) -> Operation {
    let (name, zh, en) = names;
    Operation {
        name,
        title: Title { zh, en },
        bearer,
        method,
        path: Cow::Borrowed(path),
        params: Vec::new(),
        effect,
        answers: Answers::Json,
        reference,
        disabled: None,
    }
}

fn read(names: Names, bearer: Bearer, path: &'static str, reference: &'static str) -> Operation {
    row(names, bearer, Get, path, Effect::Read, reference)
}

fn repeatable(names: Names, bearer: Bearer, path: &'static str, reference: &'static str) -> Operation {
    row(names, bearer, Post, path, Effect::Repeatable, reference)
}

fn once(names: Names, bearer: Bearer, path: &'static str, reference: &'static str) -> Operation {
    row(names, bearer, Post, path, Effect::Once, reference)
}

/// A row with these parameters.
fn with(mut operation: Operation, params: impl Into<Vec<Param>>) -> Operation {
    operation.params = params.into();
    operation
}

/// An optional parameter.
fn may(names: Names, kind: Kind, place: Place, example: &'static str) -> Param {
    let (name, zh, en) = names;
    Param { name, kind, required: false, place, title: Title { zh, en }, example }
}

/// A required parameter.
fn must(names: Names, kind: Kind, place: Place, example: &'static str) -> Param {
    Param { required: true, ..may(names, kind, place, example) }
}

const fn json(name: &'static str) -> Place {
    Place::Json(Cow::Borrowed(name))
}

const fn query(name: &'static str) -> Place {
    Place::Query(Cow::Borrowed(name))
}

const fn part(name: &'static str) -> Place {
    Place::Part(Cow::Borrowed(name))
}
