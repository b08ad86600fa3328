//! What the pages say, in Chinese and English: a table, so that neither language is forgotten.

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::http::kind::{Kind, Said};
use crate::http::problem::Problem;
use crate::platform::{Class, Title};

/// One language.
pub struct Words {
    /// For `lang` and `Content-Language`.
    pub lang: &'static str,
    /// The other language, and its name in itself.
    pub other: &'static str,
    pub other_name: &'static str,
    pub brand: &'static str,
    pub authorize_title: &'static str,
    pub authorize_lead: &'static str,
    pub step_open: &'static str,
    pub step_confirm: &'static str,
    pub step_return: &'static str,
    pub go_to: &'static str,
    pub scan: &'static str,
    pub application: &'static str,
    pub valid_until: &'static str,
    pub once: &'static str,
    pub done_title: &'static str,
    pub already_title: &'static str,
    pub done_lead: &'static str,
    pub registered_title: &'static str,
    pub registered_lead: &'static str,
    pub mini_program: &'static str,
    pub close: &'static str,
    pub what_to_do: &'static str,
    pub again: &'static str,
    pub vendor_said: &'static str,
    pub reference: &'static str,
    pub problems_title: &'static str,
    pub problems_lead: &'static str,
    pub problems_all: &'static str,
    pub this_time: &'static str,
    no_such: Said,
    expired: Said,
    refused: Said,
    too_often: Said,
    later: Said,
}

static ZH: Words = Words {
    lang: "zh-CN",
    other: "en",
    other_name: "English",
    brand: "驿站",
    authorize_title: "授权你的小程序",
    authorize_lead: "授权后，服务商可以代你上传版本、提交审核和发布。你可以随时在平台后台取消授权。",
    step_open: "点击下方按钮，前往平台的授权页面。",
    step_confirm: "用小程序管理员账号登录，确认权限。",
    step_return: "完成后会自动回到这里并显示结果。",
    go_to: "前往",
    scan: "也可以用手机扫码，在手机上授权",
    application: "第三方应用",
    valid_until: "链接有效期至（北京时间）",
    once: "此链接只能使用一次。过期或失败时，刷新本页即可获得新链接。",
    done_title: "授权成功",
    already_title: "此前已完成授权",
    done_lead: "服务商已获得授权，接下来无需你再做任何操作。",
    registered_title: "已同意注册",
    registered_lead: "平台已收到你的同意，接下来由服务商为你注册账号、创建小程序。",
    mini_program: "小程序",
    close: "现在可以关闭本页。",
    what_to_do: "可以怎么做",
    again: "重新授权",
    vendor_said: "平台的答复",
    reference: "查询编号",
    problems_title: "错误类型",
    problems_lead: "每个错误答复的 type 都指向这里的一页，说明出了什么问题、可以怎么做。",
    problems_all: "全部错误类型",
    this_time: "答复中的 detail 写明这一次的具体情况，hint 是针对它的建议。用 request_id 可以在日志中找到这次请求。",
    no_such: Said {
        title: "没有这个授权入口", what: "链接中的应用在这里不存在。", next: "请检查链接是否完整，或向服务商索取正确的链接。"
    },
    expired: Said {
        title: "授权链接已失效",
        what: "这个链接已经用过、已经过期，或不是从这里发起的。",
        next: "请重新打开授权页面，再授权一次。",
    },
    refused: Said {
        title: "平台没有接受这次授权",
        what: "平台拒绝了请求，授权没有完成。",
        next: "请重新授权一次。若仍然失败，请把下面的查询编号告诉服务商。",
    },
    too_often: Said { title: "访问太频繁", what: "短时间内打开的次数过多。", next: "请等一分钟后再试。" },
    later: Said {
        title: "暂时无法授权",
        what: "服务正在准备，或平台暂时没有响应。你的小程序没有受到任何影响。",
        next: "请过几分钟再试。若一直如此，请把下面的查询编号告诉服务商。",
    },
};

static EN: Words = Words {
    lang: "en",
    other: "zh",
    other_name: "中文",
    brand: "Yizhan",
    authorize_title: "Authorize your mini program",
    authorize_lead: "With your authorization the service provider can upload versions, submit them for review and release them for you. You can withdraw it in the platform's console at any time.",
    step_open: "The button below leads to the platform's authorization page.",
    step_confirm: "Log in there as an administrator of the mini program and confirm the permissions.",
    step_return: "You come back here by yourself and see the result.",
    go_to: "Go to ",
    scan: "Or scan this code and authorize on your phone",
    application: "Third-party application",
    valid_until: "Link valid until (Beijing time)",
    once: "This link works once. If it has expired or failed, reload this page for a new one.",
    done_title: "Authorized",
    already_title: "Authorized already",
    done_lead: "The service provider has your authorization. There is nothing more for you to do.",
    registered_title: "Registration agreed",
    registered_lead: "The platform has your consent. The service provider now registers your account and creates the mini program.",
    mini_program: "Mini program",
    close: "You can close this page now.",
    what_to_do: "What you can do",
    again: "Authorize again",
    vendor_said: "The platform's answer",
    reference: "Reference",
    problems_title: "Kinds of problems",
    problems_lead: "The type of every error leads to a page here that says what is wrong and what to do next.",
    problems_all: "All kinds of problems",
    this_time: "In the answer itself, detail says what it was this time, and hint what to do about just that. The log knows the request by its request_id.",
    no_such: Said {
        title: "There is no such authorization page",
        what: "The application named in this link does not exist here.",
        next: "Check that the link is complete, or ask the service provider for the right one.",
    },
    expired: Said {
        title: "This authorization link is no longer valid",
        what: "It was used before, it has expired, or it was not started here.",
        next: "Open the authorization page again and authorize once more.",
    },
    refused: Said {
        title: "The platform did not accept this authorization",
        what: "The platform refused the request, so the authorization was not completed.",
        next: "Authorize once more. If it fails again, give the reference below to the service provider.",
    },
    too_often: Said { title: "Too many visits", what: "This page was opened too often in a short time.", next: "Try again in a minute." },
    later: Said {
        title: "Authorization is not possible right now",
        what: "The service is getting ready, or the platform does not answer. Nothing has happened to your mini program.",
        next: "Try again in a few minutes. If it stays like this, give the reference below to the service provider.",
    },
};

impl Words {
    /// The language that a browser prefers, unless `chosen` (`zh`, `en`) says otherwise.
    pub fn for_browser(request: &HttpRequest, chosen: Option<&str>) -> &'static Self {
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        match (chosen.and_then(Self::of), accepted) {
            (Some(words), _) => words,
            (None, Some(accepted)) => Self::preferred(accepted),
            (None, None) => &ZH,
        }
    }

    fn of(tag: &str) -> Option<&'static Self> {
        let language = tag.trim().split(['-', '_']).next().unwrap_or_default();
        [&ZH, &EN].into_iter().find(|words| words.lang.get(..2).is_some_and(|ours| ours.eq_ignore_ascii_case(language)))
    }

    /// The first of ours among the accepted ones by weight (RFC 9110 12.5.4); who names neither reads English.
    pub fn preferred(accepted: &str) -> &'static Self {
        let mut best: Option<(f32, &'static Self)> = None;
        for entry in accepted.split(',') {
            let (tag, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if let Some(words) = Self::of(tag)
                && weight > best.map_or(0.0, |(best, _)| best)
            {
                best = Some((weight, words));
            }
        }
        best.map_or(&EN, |(_, words)| words)
    }

    /// A name in this language.
    pub fn name(&self, title: Title) -> &'static str {
        if self.lang == EN.lang { title.en } else { title.zh }
    }

    /// What is said of a kind of problem in this language.
    pub fn of_kind(&self, kind: Kind) -> &'static Said {
        if self.lang == EN.lang { kind.english() } else { kind.chinese() }
    }

    /// What to say of a problem to a merchant.
    pub fn trouble(&self, problem: &Problem) -> &Said {
        match problem.kind() {
            Kind::NotFound | Kind::NotApplicable => &self.no_such,
            Kind::Conflict => &self.expired,
            Kind::VendorRefused if problem.refusal().is_some_and(|refusal| is_no_judgement(refusal.class)) => &self.later,
            Kind::VendorRefused | Kind::NotAuthorized | Kind::Revoked => &self.refused,
            Kind::RateLimited => &self.too_often,
            _ => &self.later,
        }
    }
}

/// Whether a vendor that says so said nothing of the merchant's grant: it is in trouble, or we are with it.
pub const fn is_no_judgement(class: Class) -> bool {
    matches!(class, Class::Retry | Class::RateLimited | Class::Configuration | Class::RenewComponentToken | Class::TicketInvalid)
}
