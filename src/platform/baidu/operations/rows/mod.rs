//! Baidu's operations as data: one row each, with the plan of what is not a single call.
//!
//! Read by `super`; a new call of the vendor is a new row here and a new answer of the twin. Nothing is sent or decided here.

mod capabilities;
mod categories;
mod component;
mod domains;
mod packages;
mod profile;

use std::borrow::Cow;

use serde_json::Value;

use super::read;
use crate::platform::operation::{Answers, Bearer, Effect, Kind, Operation, Param, Place};
use crate::platform::token::Family;
use crate::platform::{Method, Title};

/// A row, and what carrying it out takes.
pub(in crate::platform::baidu) struct Row {
    /// What people and other rooms see.
    pub operation: Operation,
    /// What only this folder needs.
    pub plan: Plan,
}

/// How a row is carried out.
#[derive(Debug, Clone)]
pub(in crate::platform::baidu) struct Plan {
    /// Fields that the vendor wants and nobody gives: `action`, `type`.
    pub fixed: &'static [(&'static str, &'static str)],
    /// `type` with which pictures given as files are uploaded first (5.3.1).
    pub picture: &'static str,
    /// What is read before the main call.
    pub before: Before,
    /// What the main call carries besides placed parameters.
    pub sends: Sends,
    /// What tells whether the main call took place when its answer was lost.
    pub asks: Asks,
    /// How the answer reads.
    pub reads: Reads,
    /// Codes that mean: it is so already.
    pub already: &'static [i64],
}

/// What is read before the main call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::baidu) enum Before {
    /// Nothing.
    Nothing,
    /// `app/info`.
    Info,
    /// The list of templates.
    Templates,
    /// The list of packages, always.
    Packages,
    /// The list of packages unless `package_id` is given: the newest of these states, or the one of `version`.
    /// Without states it is read for `version` only.
    Package(&'static [i64]),
    /// As [`Before::Package`], with the states of the parameter `stage`.
    Stage,
}

/// What the main call carries besides placed parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::baidu) enum Sends {
    /// Nothing.
    Plain,
    /// `package_id`, given or found.
    Package,
    /// The same with `content` and `remark`.
    Submission,
    /// `ext_json`; afterwards the package is waited for.
    Upload,
    /// The whole set of categories with these more.
    AddCategories,
    /// The whole set with other materials for these.
    ModifyCategories,
    /// The whole set without these.
    DeleteCategories,
    /// `user_type`, tried where it is not given.
    Message,
    /// `id_list`, joined with commas.
    Ids,
}

/// What tells whether a main call took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::baidu) enum Asks {
    /// Nothing does.
    Nothing,
    /// `app/info`.
    Info,
    /// The list of packages.
    Packages,
    /// The state of the phone number permission.
    Phone,
    /// The list of templates.
    Templates,
    /// The domains: the same address with `action=get`.
    Domains,
}

/// How an answer reads.
#[derive(Debug, Clone, Copy)]
pub(in crate::platform::baidu) enum Reads {
    /// `data`, in normal names.
    Data(fn(&Value) -> Value),
    /// The package that was acted on, in this state now.
    Package(&'static str),
    /// A file, with this name.
    File(&'static str),
}

const APP: Bearer = Bearer::Authorizer(Family::Current);
const TP: Bearer = Bearer::Component(Family::Current);
/// Bytes of a picture, where nothing smaller is said (5.3.1).
const PICTURE: Kind = Kind::Picture(5 << 20);

/// Every row, in the order in which people are shown them.
pub(in crate::platform::baidu) fn all() -> Vec<Row> {
    let groups = [profile::rows(), categories::rows(), domains::rows(), packages::rows(), capabilities::rows(), component::rows()];
    groups.into_iter().flatten().collect()
}

fn get(name: &'static str, zh: &'static str, en: &'static str, bearer: Bearer, path: &'static str, reference: &'static str) -> Row {
    row(name, Title { zh, en }, bearer, (Method::Get, path), Effect::Read, reference)
}

fn post(name: &'static str, zh: &'static str, en: &'static str, bearer: Bearer, path: &'static str, reference: &'static str) -> Row {
    row(name, Title { zh, en }, bearer, (Method::Post, path), Effect::Repeatable, reference)
}

fn row(name: &'static str, title: Title, bearer: Bearer, call: (Method, &'static str), effect: Effect, reference: &'static str) -> Row {
    let (method, path) = call;
    let path = match path.starts_with('/') {
        true => Cow::Borrowed(path),
        false => Cow::Owned(format!("/rest/2.0/smartapp/{path}")),
    };
    let (params, answers, disabled) = (Vec::new(), Answers::Json, None);
    Row {
        operation: Operation { name, title, bearer, method, path, params, effect, answers, reference, disabled },
        plan: Plan {
            fixed: &[],
            picture: "2",
            before: Before::Nothing,
            sends: Sends::Plain,
            asks: Asks::Nothing,
            reads: Reads::Data(read::examined),
            already: &[],
        },
    }
}

impl Row {
    fn takes(mut self, params: impl IntoIterator<Item = Param>) -> Self {
        self.operation.params.extend(params);
        self
    }

    fn read_only(mut self) -> Self {
        self.operation.effect = Effect::Read;
        self
    }

    /// Must not be done twice; this tells whether it was done.
    fn once(mut self, asks: Asks) -> Self {
        self.operation.effect = Effect::Once;
        self.plan.asks = asks;
        self
    }

    fn fixed(mut self, fixed: &'static [(&'static str, &'static str)]) -> Self {
        self.plan.fixed = fixed;
        self
    }

    fn picture(mut self, kind: &'static str) -> Self {
        self.plan.picture = kind;
        self
    }

    fn before(mut self, before: Before) -> Self {
        self.plan.before = before;
        self
    }

    fn sends(mut self, sends: Sends) -> Self {
        self.plan.sends = sends;
        self
    }

    fn reads(mut self, read: fn(&Value) -> Value) -> Self {
        self.plan.reads = Reads::Data(read);
        self
    }

    /// Acts on a package, which is in that state afterwards.
    fn leaves(mut self, state: &'static str) -> Self {
        self.plan.reads = Reads::Package(state);
        self
    }

    fn file(mut self, name: &'static str) -> Self {
        self.operation.answers = Answers::File;
        self.plan.reads = Reads::File(name);
        self
    }

    fn already(mut self, codes: &'static [i64]) -> Self {
        self.plan.already = codes;
        self
    }
}

fn param(name: &'static str, kind: Kind, place: Place, zh: &'static str, en: &'static str, example: &'static str) -> Param {
    Param { name, kind, required: false, place, title: Title { zh, en }, example }
}

fn must(param: Param) -> Param {
    Param { required: true, ..param }
}

fn query(name: &'static str) -> Place {
    Place::Query(Cow::Borrowed(name))
}

fn form(name: &'static str) -> Place {
    Place::Form(Cow::Borrowed(name))
}

fn joined(name: &'static str) -> Place {
    Place::Joined(Cow::Borrowed(name))
}

fn package_id() -> Param {
    param("package_id", Kind::Digits, Place::Own, "代码包 ID", "id of the package", "\"745001\"")
}

fn version() -> Param {
    param("version", Kind::Text(64), Place::Own, "版本号，缺少 package_id 时据此查找", "finds the package where no id is given", "1.0.3")
}
