//! The twin's desk: which operation a call is, whose token it needs, and who in this folder answers it (5.1).

use bytes::Bytes;
use serde_json::{Value, json};

use super::no::{No, gateway, success};
use super::{BaiduTwin, pictures};
use crate::clock::Timestamp;
use crate::platform::call::{Method, Reply};
use crate::platform::push::Door;
use crate::platform::twin::{About, Answer, Outgoing, Request};

/// Whose token a call needs.
enum Whose {
    App,
    Tp,
    Either,
}

/// A yes.
enum Yes {
    Json(Value),
    File(&'static str, Bytes),
}

impl From<Value> for Yes {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

/// The operation of an address; its normal name counts as the deed.
fn known(request: &Request) -> Option<(Whose, &'static str)> {
    use Method::{Get, Post};
    use Whose::{App, Either, Tp};
    let path = request.path.trim_end_matches('/');
    if (request.method, path) == (Post, "/file/2.0/smartapp/upload/image") {
        return Some((Either, "media.upload"));
    }
    let action = request.form_value("action");
    let by_action = |names: [&'static str; 5]| {
        let [get, add, set, delete, copy] = names;
        match action.as_deref() {
            Some("get") => get,
            Some("add") => add,
            Some("delete") => delete,
            Some(_) => set,
            None => copy,
        }
    };
    Some(match (request.method, path.strip_prefix("/rest/2.0/smartapp/")?) {
        (Get, "app/checknamewithqual") => (App, "profile.check_name"),
        (Post, "app/setnicknamewithqual") => (App, "profile.set_name"),
        (Post, "app/modifyheadimage") => (App, "profile.set_icon"),
        (Post, "app/modifysignature") => (App, "profile.set_intro"),
        (Post, "app/offline/update") => (App, "profile.correct"),
        (Post, "app/pause") => (App, "service.pause"),
        (Post, "app/resume") => (App, "service.resume"),
        (Get, "app/getsupportversion") => (App, "base_library.get"),
        (Post, "app/setsupportversion") => (App, "base_library.set"),
        (Post, "app/modifywebstatus") => (App, "web_switch.set"),
        (Post, "message/custom/sendbytp") => (App, "message.send"),
        (Get, "app/category/list") => (Either, "category.catalogue"),
        (Post, "app/category/update") => (App, "category.modify"),
        (Post, "app/modifydomain") => {
            let names = ["server_domain.get", "server_domain.add", "server_domain.set", "server_domain.delete", "server_domain.copy"];
            (App, by_action(names))
        }
        (Post, "app/modifywebviewdomain") => {
            let names = ["webview_domain.get", "webview_domain.add", "webview_domain.set", "webview_domain.delete", "webview_domain.copy"];
            (App, by_action(names))
        }
        (Post, "tp/modifydomain") => {
            let [get, add] = ["component_server_domain.get", "component_server_domain.add"];
            let [set, delete] = ["component_server_domain.set", "component_server_domain.delete"];
            (Tp, by_action([get, add, set, delete, set]))
        }
        (Post, "tp/modifywebviewdomain") => {
            let [get, add] = ["component_webview_domain.get", "component_webview_domain.add"];
            let [set, delete] = ["component_webview_domain.set", "component_webview_domain.delete"];
            (Tp, by_action([get, add, set, delete, set]))
        }
        (Get, "tp/download/domaincer") => (Tp, "webview_domain.check_file"),
        (Post, "app/apply/mobileauth") => (App, "phone_number.apply"),
        (Post, "app/cancel/mobileauth") => (App, "phone_number.cancel"),
        (Get, "app/get/mobileauthstatus") => (App, "phone_number.status"),
        (Post, "appflow/control") if request.form_value("type").as_deref() == Some("1") => (App, "traffic.resume"),
        (Post, "appflow/control") => (App, "traffic.pause"),
        (Post, "appflow/applyRecovery") => (App, "traffic.appeal"),
        (Get, "app/violation") => (App, "violation.list"),
        (Post, "package/upload") => (App, "package.upload"),
        (Get, "package/get") => (App, "package.list"),
        (Get, "package/getdetail") => (App, "package.get"),
        (Post, "package/submitaudit") => (App, "audit.submit"),
        (Post, "package/withdraw") => (App, "audit.withdraw"),
        (Get, "package/auditquota") => (App, "audit.quota"),
        (Post, "package/release") => (App, "package.release"),
        (Post, "package/rollback") => (App, "package.rollback"),
        (Get, "app/qrcode") if request.query_value("package_id").is_some() => (App, "trial.qrcode"),
        (Get, "app/qrcode") => (App, "qrcode.create"),
        (Get, "template/gettemplatelist") => (Tp, "template.list"),
        (Get, "template/gettemplatedraftlist") => (Tp, "template.drafts"),
        (Post, "template/addtotemplate") => (Tp, "template.add"),
        (Post, "template/deltemplate") => (Tp, "template.delete"),
        (Get, "pushmsg/getmsg") => (Tp, "pushes.missed"),
        _ => return None,
    })
}

impl BaiduTwin {
    pub(super) fn operation(&mut self, request: &Request, now: Timestamp) -> Answer {
        let Some((whose, deed)) = known(request) else {
            let No(status, body) = gateway(3, "Unsupported openapi method");
            return Answer::json("other", false, status, &body);
        };
        let (mut pushes, mut about) = (Vec::new(), None);
        let told = match whose {
            Whose::App => self.holder(request, now).and_then(|app_id| {
                let yes = self.of_app(deed, &app_id, request, now, &mut pushes)?;
                let version = self.programs.get(&app_id).and_then(|program| program.named_version(request));
                about = Some(About { app_id, version });
                Ok(yes)
            }),
            Whose::Tp => self.tp(request, now).and_then(|()| self.of_tp(deed, request, now)),
            Whose::Either => {
                let either = self.tp(request, now).or_else(|_| self.holder(request, now).map(drop));
                either.and_then(|()| self.of_tp(deed, request, now))
            }
        };
        match told {
            Ok(Yes::Json(body)) => Answer { pushes, about, ..Answer::json(deed, true, 200, &body) },
            Ok(Yes::File(content_type, body)) => {
                let reply = Reply { status: 200, content_type: content_type.to_owned(), body };
                Answer { reply, pushes, deed, accepted: true, about }
            }
            Err(No(status, body)) => Answer::json(deed, false, status, &body),
        }
    }

    fn of_tp(&mut self, deed: &str, request: &Request, now: Timestamp) -> Result<Yes, No> {
        let library = &mut self.library;
        Ok(match deed {
            "media.upload" => pictures::upload(request)?.into(),
            "category.catalogue" => library.catalogue(request)?.into(),
            "template.list" => library.templates(request).into(),
            "template.drafts" => library.drafts(request).into(),
            "template.add" => library.add_template(request, now)?.into(),
            "template.delete" => library.delete_template(request)?.into(),
            "pushes.missed" => library.missed(request, now)?.into(),
            "webview_domain.check_file" => Yes::File("application/octet-stream", Bytes::from_static(b"0123456789abcdef0123456789abcdef")),
            _ if deed.starts_with("component_server_domain.") => library.server_domains(request)?.into(),
            _ => library.webview_domains(request)?.into(),
        })
    }

    fn of_app(&mut self, deed: &str, app_id: &str, request: &Request, now: Timestamp, pushes: &mut Vec<Outgoing>) -> Result<Yes, No> {
        self.program(app_id).settle(now);
        if let Some(event) = match deed {
            "service.pause" => Some("APP_SERVER_PAUSE"),
            "service.resume" => Some("APP_SERVER_RESUME"),
            _ => None,
        } {
            let pause = deed == "service.pause";
            if self.program(app_id).paused != pause {
                pushes.push(self.event(Door::Message, app_id, event, json!({}), now));
            }
            return Ok(success(json!({})).into());
        }
        let (library, audits) = (&mut self.library, &mut self.audits);
        let Some(program) = self.programs.get_mut(app_id) else { return Err(gateway(6, "no permission to access data")) };
        Ok(match deed {
            "profile.check_name" => program.check_name(request)?.into(),
            "profile.set_name" => program.set_name(request, library)?.into(),
            "profile.set_icon" => program.set_icon(request, library)?.into(),
            "profile.set_intro" => program.set_intro(request, library)?.into(),
            "profile.correct" => program.correct(request, library)?.into(),
            "base_library.get" => program.base_library().into(),
            "base_library.set" => program.set_base_library(request)?.into(),
            "web_switch.set" => program.set_web_status(request)?.into(),
            "message.send" => program.send_message(request)?.into(),
            "category.modify" => program.set_categories(request, library)?.into(),
            "phone_number.apply" => program.apply_phone(request)?.into(),
            "phone_number.cancel" => {
                program.phone = (0, None);
                success(json!({})).into()
            }
            "phone_number.status" => program.phone_status().into(),
            "traffic.pause" | "traffic.resume" => program.control_traffic(request)?.into(),
            "traffic.appeal" => program.appeal(request)?.into(),
            "violation.list" => program.violations().into(),
            "package.upload" => program.upload(request, library, audits, now)?.into(),
            "package.list" => program.list().into(),
            "package.get" => program.detail(request)?.into(),
            "audit.submit" => program.submit(request, audits, now)?.into(),
            "audit.withdraw" => program.withdraw(request)?.into(),
            "audit.quota" => program.quota(audits, now).into(),
            "package.release" => program.release(request)?.into(),
            "package.rollback" => program.rollback(request, now)?.into(),
            "trial.qrcode" | "qrcode.create" => Yes::File("image/png", program.qrcode(request)?.into()),
            _ if deed.starts_with("server_domain.") => program.server_domains(request, library)?.into(),
            _ => program.webview_domains(request, library)?.into(),
        })
    }
}
