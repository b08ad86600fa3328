//! Every call of Alipay as a row (Alipay 5): what it is called, what it takes, and where each parameter goes.
//!
//! A row with a parameter at [`Place::Part`] is one of the *multipart* or top-level methods, every other one takes `biz_content`.
//! Numbers of people and of rules are the vendor's; lengths are the widest that any official text allows (Alipay 8, conflict 6),
//! because the platform counts a Chinese character as two and its texts disagree.

mod application;
mod codes;
mod people;
mod profile;
pub mod versions;

use std::borrow::Cow;

use crate::platform::Title;
use crate::platform::call::Method;
use crate::platform::operation::{Answers, Bearer, Effect, Kind, Operation, Param, Place};
use crate::platform::token::Family;

/// All rows, in the order in which people are shown them.
#[must_use]
pub fn rows() -> Vec<Operation> {
    [profile::rows(), versions::rows(), people::rows(), codes::rows(), application::rows()].concat()
}

/// Clients for which a mini program can be built (Alipay 5.0).
const CLIENTS: &[&str] =
    &["com.alipay.alipaywallet", "com.alibaba.android.rimet", "com.amap.app", "com.alibaba.ailabs.genie.webapps", "com.alipay.iot.xpaas"];

/// Those for which a version can be submitted.
const AUDITED_CLIENTS: &[&str] = &["com.alipay.alipaywallet", "com.alipay.iot.xpaas"];

const MEBIBYTE: u32 = 1024 * 1024;

/// A row that acts for a merchant.
fn row(
    name: &'static str,
    (zh, en): (&'static str, &'static str),
    method: &'static str,
    effect: Effect,
    reference: &'static str,
) -> Operation {
    Operation {
        name,
        title: Title { zh, en },
        bearer: Bearer::Authorizer(Family::Current),
        method: Method::Post,
        path: Cow::Borrowed(method),
        params: Vec::new(),
        effect,
        answers: Answers::Json,
        reference,
        disabled: None,
    }
}

impl Operation {
    /// The same for the application itself.
    fn of_the_application(self) -> Self {
        Self { bearer: Bearer::Component(Family::Current), ..self }
    }

    /// With these parameters.
    fn taking(self, params: impl Into<Vec<Param>>) -> Self {
        Self { params: params.into(), ..self }
    }
}

fn param(name: &'static str, kind: Kind, place: Place, (zh, en): (&'static str, &'static str), example: &'static str) -> Param {
    Param { name, kind, required: false, place, title: Title { zh, en }, example }
}

/// The same, and it must be given.
fn must(param: Param) -> Param {
    Param { required: true, ..param }
}

/// A member of `biz_content`.
fn json(name: &'static str) -> Place {
    Place::Json(Cow::Borrowed(name))
}

/// A member of `biz_content` that is text to the vendor.
fn text(name: &'static str) -> Place {
    Place::JsonText(Cow::Borrowed(name))
}

/// A parameter at the top level, text or file.
fn part(name: &'static str) -> Place {
    Place::Part(Cow::Borrowed(name))
}

fn version(place: Place) -> Param {
    param("version", Kind::Text(64), place, ("版本号，x.y.z", "version, x.y.z"), "0.0.1")
}

fn client() -> Param {
    let title = ("客户端类型，默认支付宝", "client, Alipay by default");
    param("bundle_id", Kind::Word(CLIENTS), json("bundle_id"), title, "com.alipay.alipaywallet")
}
