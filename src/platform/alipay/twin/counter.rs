//! Which method does what at the pretended platform, as two tables, with the deed that each counts as: the normal name of its operation.

use serde_json::{Map, Value};

use super::mini_program::{Done, Given, MiniProgram};
use super::{AlipayTwin, front, shelf, versions};
use crate::clock::Timestamp;

/// Done to one mini program, in the name of its merchant.
type ForMerchant = fn(&mut MiniProgram, &Given, Timestamp) -> Done;
/// Done for the application.
type ForApplication = fn(&mut AlipayTwin, &Given, Timestamp) -> Done;

static MERCHANTS: &[(&str, &str, ForMerchant)] = &[
    ("alipay.open.mini.baseinfo.query", "profile.get", front::profile),
    ("alipay.open.mini.baseinfo.modify", "profile.modify", front::modify),
    ("alipay.open.mini.baseinfo.name.check", "profile.check_name", front::check_name),
    ("alipay.open.mini.category.query", "category.catalogue", front::categories),
    ("alipay.open.mini.category.require.query", "category.requirements", front::requirements),
    ("alipay.open.mini.safedomain.create", "safe_domain.add", front::add_domain),
    ("alipay.open.mini.safedomain.delete", "safe_domain.delete", front::delete_domain),
    ("alipay.open.mini.version.upload", "package.upload", versions::upload),
    ("alipay.open.mini.version.build.query", "package.build_status", versions::build),
    ("alipay.open.mini.version.list.query", "package.list", versions::list),
    ("alipay.open.mini.version.detail.query", "package.get", versions::detail),
    ("alipay.open.mini.version.delete", "package.delete", versions::delete),
    ("alipay.open.mini.version.audit.apply", "audit.submit", versions::submit),
    ("alipay.open.mini.version.audit.cancel", "audit.withdraw", versions::withdraw),
    ("alipay.open.mini.version.audited.cancel", "package.back_to_development", versions::back_to_development),
    ("alipay.open.mini.version.gray.online", "package.gray_online", versions::gray),
    ("alipay.open.mini.version.gray.cancel", "package.gray_cancel", versions::end_gray),
    ("alipay.open.mini.version.online", "package.release", versions::online),
    ("alipay.open.mini.version.offline", "package.offline", versions::offline),
    ("alipay.open.mini.version.rollback", "package.rollback", versions::rollback),
    ("alipay.open.mini.experience.create", "trial.create", versions::make_trial),
    ("alipay.open.mini.experience.query", "trial.status", versions::trial),
    ("alipay.open.mini.experience.cancel", "trial.cancel", versions::end_trial),
    ("alipay.open.app.members.create", "member.add", front::invite),
    ("alipay.open.app.members.delete", "member.remove", front::remove),
    ("alipay.open.app.members.query", "member.list", front::members),
    ("alipay.open.app.qrcode.create", "qrcode.create", front::code),
    ("alipay.open.app.qrcode.temporary.create", "qrcode.create_temporary", front::temporary_code),
    ("alipay.open.mini.qrcode.bind", "qrcode_rule.bind", front::bind),
    ("alipay.open.mini.qrcode.unbind", "qrcode_rule.unbind", front::unbind),
    ("alipay.open.mini.qrcode.query", "qrcode_rule.list", front::rules),
    ("alipay.open.mini.qrcode.pattern.create", "qrcode_rule.create_pattern", front::pattern),
    ("alipay.security.risk.content.detect", "content.check", front::check_text),
    ("alipay.security.risk.content.analyze", "content.analyze", front::analyze),
    ("alipay.security.risk.content.result.get", "content.result", front::analysis),
    ("alipay.security.risk.content.sync.detect", "content.sync_check", front::check_by_contract),
    ("alipay.open.auth.isv.query", "authorization.merchant", shelf::merchant),
];

static APPLICATION: &[(&str, &str, ForApplication)] = &[
    ("alipay.open.mini.templatelist.query", "template.list", shelf::templates),
    ("alipay.open.mini.template.usage.query", "template.usage", shelf::usage),
    ("alipay.open.mini.instantiate.query", "template.instances", shelf::instances),
    ("alipay.open.auth.appauth.invite.create", "authorization.invite", shelf::invite),
    ("alipay.open.app.message.topic.subscribe", "message_topic.subscribe", shelf::subscribe),
    ("alipay.open.app.message.topic.unsubscribe", "message_topic.unsubscribe", shelf::unsubscribe),
];

/// What counts against the quota of audits.
const SUBMISSION: &str = "audit.submit";

/// Why a method gave nothing.
pub enum Nothing {
    /// There is no such method.
    NoMethod,
    /// It acts for a merchant, and no token came.
    NoMerchant,
    /// It says no.
    Refused(&'static str),
}

impl AlipayTwin {
    /// Does what a method asks, for the mini program `holder`. Gives the deed, also of what was refused.
    pub(super) fn serve(
        &mut self,
        method: &str,
        given: &Given,
        holder: Option<&str>,
        now: Timestamp,
    ) -> (&'static str, Result<Map<String, Value>, Nothing>) {
        if let Some((_, deed, act)) = APPLICATION.iter().find(|(known, ..)| *known == method) {
            return (deed, members(act(self, given, now)));
        }
        let Some((_, deed, act)) = MERCHANTS.iter().find(|(known, ..)| *known == method) else {
            return ("other", Err(Nothing::NoMethod));
        };
        let Some(holder) = holder else { return (deed, Err(Nothing::NoMerchant)) };
        let program = self.programs.entry(holder.to_owned()).or_insert_with(MiniProgram::new);
        program.settle(now);
        if *deed == SUBMISSION && self.audits.used_up(now) {
            return (deed, Err(Nothing::Refused("SYSTEM_LIMIT")));
        }
        let done = act(program, given, now);
        if *deed == SUBMISSION && done.is_ok() {
            self.audits.take();
        }
        (deed, members(done))
    }
}

fn members(done: Done) -> Result<Map<String, Value>, Nothing> {
    match done.map_err(Nothing::Refused)? {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}
