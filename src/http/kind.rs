//! The kinds of problems: one table with each one's name, status, and what it tells people in both languages.
//!
//! `problem` writes the name, the status and the English title into answers; `problems` shows the rest at the address that stands in `type`.
//! What was wrong in one case is never here: that is the answer's `detail`.

use actix_web::http::StatusCode;

/// What is said of one kind of trouble, in one language.
#[derive(Debug)]
pub struct Said {
    /// What it is.
    pub title: &'static str,
    /// What that means.
    pub what: &'static str,
    /// What to do.
    pub next: &'static str,
}

/// One row of the table.
struct Row {
    slug: &'static str,
    status: u16,
    en: Said,
    zh: Said,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $slug:literal $status:literal
        $title:literal $what:literal $next:literal
        $title_zh:literal $what_zh:literal $next_zh:literal,)+) => {
        /// What kind of problem; the last part of its `type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[doc = $doc])+ $variant,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            const fn row(self) -> &'static Row {
                match self { $(Self::$variant => const { &Row {
                    slug: $slug,
                    status: $status,
                    en: Said { title: $title, what: $what, next: $next },
                    zh: Said { title: $title_zh, what: $what_zh, next: $next_zh },
                } },)+ }
            }
        }
    };
}

kinds! {
    /// Not HTTP or not JSON as it should be.
    BadRequest = "bad-request" 400
        "The request cannot be read"
        "The body is not JSON, not a JSON object, or did not arrive whole."
        "Look at the line and column that detail names, send the body as UTF-8, and send the request again."
        "请求无法读取"
        "请求体不是 JSON、不是 JSON 对象，或没有完整到达。"
        "查看 detail 指出的行和列，用 UTF-8 编码，然后重新发送。",
    /// No key, or not one of ours.
    Unauthenticated = "unauthenticated" 401
        "An API key is needed"
        "The request has no API key, or one that this service does not know."
        "Send the header Authorization: Bearer yzk_…. The command yizhan keys new makes a key; its line belongs to [[api_keys]] in yizhan.toml, and the service reads that when it starts."
        "需要 API 密钥"
        "请求没有带 API 密钥，或者带的密钥这里不认识。"
        "发送请求头 Authorization: Bearer yzk_…。用 yizhan keys new 生成密钥，把它给出的配置写进 yizhan.toml 的 [[api_keys]]，服务启动时读取。",
    /// The key may not do this.
    Forbidden = "forbidden" 403
        "This API key may not do that"
        "The key is known, but it lacks the scope that detail names, or it is narrowed to other components."
        "Add the scope to the key in yizhan.toml and start the service again, or use another key."
        "这个 API 密钥没有权限"
        "密钥有效，但缺少 detail 中写明的权限，或只限于其他应用。"
        "在 yizhan.toml 中给这个密钥加上该权限并重启服务，或换一个密钥。",
    /// No such address or thing.
    NotFound = "not-found" 404
        "There is no such thing"
        "There is nothing at this address, or nothing of that name or id. A key that is narrowed to some components gets this answer for what belongs to others, too."
        "Compare the address with /openapi.json and the name or id with the list it comes from. Events older than the retention time are gone."
        "没有这个对象"
        "这个地址没有内容，或没有这个名字、编号的对象。只限于部分应用的密钥查看其他应用的对象时，也得到这个答复。"
        "对照 /openapi.json 检查地址，对照相应的列表检查名字或编号。超过保留期的事件已经删除。",
    /// The platform has no such thing.
    NotApplicable = "not-applicable" 404
        "The platform has no such thing"
        "The platform of this component works without it: Alipay, for example, has neither tickets nor component tokens."
        "Do without it for this platform. The description of each operation and address says which platforms have it."
        "该平台没有这一项"
        "这个应用所在的平台不使用它。例如支付宝既没有 ticket，也没有应用自己的令牌。"
        "对这个平台不要再请求它。每个操作和地址的说明写明了哪些平台具备。",
    /// The address has no such method.
    WrongMethod = "method-not-allowed" 405
        "This address has no such method"
        "The address exists, but it does not answer to this HTTP method."
        "Use one of the methods in the header Allow."
        "这个地址不支持该方法"
        "地址存在，但不支持这个 HTTP 方法。"
        "改用响应头 Allow 中列出的方法。",
    /// The request took too long to arrive.
    TooSlow = "request-timeout" 408
        "The request took too long to arrive"
        "The body had not arrived completely when the time for it was over. Nothing was done."
        "Send it again, over a faster connection if need be. The time is server.client_timeout in yizhan.toml."
        "请求到达得太慢"
        "规定时间内没有收到完整的请求体，什么也没有执行。"
        "重新发送，必要时换更快的网络。时限是 yizhan.toml 中的 server.client_timeout。",
    /// The state does not allow it.
    Conflict = "conflict" 409
        "The present state does not allow that"
        "The thing exists, but not in a state in which this is possible: it has ended, its name is taken, or somebody changed it meanwhile."
        "Look at its present state with GET and decide anew. With the header Retry-After, send the same request again after that time."
        "当前状态不允许"
        "对象存在，但当前状态不允许这样做：已经结束、名字已被占用，或同时被别人修改。"
        "先用 GET 查看当前状态再决定。若有响应头 Retry-After，到时间后原样重发即可。",
    /// A subscription from the file.
    ReadOnly = "read-only" 409
        "This comes from the configuration file"
        "What is written in the configuration file cannot be changed or deleted over the API."
        "Change it in yizhan.toml and start the service again. Pausing, resuming and testing work over the API."
        "来自配置文件"
        "配置文件中写明的内容不能通过 API 修改或删除。"
        "在 yizhan.toml 中修改并重启服务。暂停、恢复和测试可以通过 API 进行。",
    /// Unknown to us, or not yet granted.
    NotAuthorized = "not-authorized" 409
        "The mini program is not authorized"
        "No grant of this mini program is known here, so there is no token for it."
        "Check its app id. If it is right, let the merchant open /authorize/ followed by the component's name, and ask again after the grant."
        "小程序尚未授权"
        "这里没有这个小程序的授权，因此没有它的令牌。"
        "检查 app id。若无误，请商家打开 /authorize/ 加应用名的页面，授权之后再试。",
    /// The merchant withdrew.
    Revoked = "revoked" 410
        "The authorization was revoked"
        "The merchant has withdrawn the authorization. Tokens of this mini program work no more."
        "Stop calling for it. A new authorization by the merchant brings it back."
        "授权已被取消"
        "商家已经取消授权，这个小程序的令牌不再有效。"
        "停止代它调用。商家重新授权后即可恢复。",
    /// A body over the limit.
    TooLarge = "too-large" 413
        "The body is too large"
        "The body is larger than this address takes; detail says how much that is."
        "Send less at a time. The limits for pushes and for the API are server.max_push_bytes and server.max_body_bytes in yizhan.toml."
        "请求体过大"
        "请求体超过这个地址的上限，上限见 detail。"
        "分几次发送。推送和 API 的上限是 yizhan.toml 中的 server.max_push_bytes 和 server.max_body_bytes。",
    /// A parameter or member is not valid.
    InvalidParameter = "invalid-parameter" 422
        "A parameter is not valid"
        "A query parameter, a header or a member of the body is missing, unknown, or has a value that is not possible. Nothing was done."
        "The member parameters names every one of them with its reason: mend them all and send the request again. /openapi.json describes what is possible."
        "参数无效"
        "查询参数、请求头或请求体成员缺失、不认识，或取值不允许。什么也没有执行。"
        "成员 parameters 列出了每一个参数和原因，全部改正后重新发送。允许的取值见 /openapi.json。",
    /// Asked too often.
    RateLimited = "rate-limited" 429
        "Asked too often"
        "There were too many requests of this sort in a short time, such as wrong keys from one address or forced renewals of one token; or too many that last are open at a time, such as streams, long polls and replays."
        "Wait as long as the header Retry-After says. Read a token instead of renewing it; end what nobody needs any more."
        "请求太频繁"
        "短时间内这类请求过多，例如同一地址的错误密钥，或对同一令牌的强制刷新；或同时进行的长时间请求过多，例如事件流、长轮询和重放。"
        "等待响应头 Retry-After 给出的时间。读取令牌即可，不必刷新；不再需要的流和重放请结束。",
    /// Our fault.
    Internal = "internal" 500
        "Something went wrong here"
        "This is a fault of the service, not of the request."
        "Give request_id to whoever runs the service: the reason stands in its log under that id."
        "服务内部出错"
        "这是服务的错误，不是请求的问题。"
        "把 request_id 告诉服务的运维人员，日志中用它可以找到原因。",
    /// The operation is switched off until it is configured.
    OperationNotConfigured = "operation-not-configured" 501
        "The operation is not configured"
        "Nobody has verified how this operation looks on the wire, so it is switched off until the configuration says so."
        "Compare it with the platform's present documents, then write the settings that hint names into yizhan.toml and start the service again."
        "该操作尚未配置"
        "这个操作的报文格式没有经过验证，因此在配置之前保持关闭。"
        "对照平台当前的文档确认格式，再按 hint 给出的设置写进 yizhan.toml 并重启服务。",
    /// The vendor said no.
    VendorRefused = "vendor-refused" 502
        "The vendor refused"
        "The platform answered with an error. The member vendor holds its code and message."
        "Follow hint where there is one, else look the code up in the platform's documents. With the header Retry-After, the same may work after that time."
        "平台拒绝"
        "平台返回了错误，错误码和说明在成员 vendor 中。"
        "有 hint 时照它处理，否则在平台文档中查错误码。若有响应头 Retry-After，到时间后可以再试。",
    /// No ticket, or too old a one.
    NoTicket = "no-ticket" 503
        "There is no usable ticket"
        "The platform has pushed no ticket yet, or none for so long that the last one has expired. Without a ticket there are no tokens."
        "Platforms push a ticket every ten minutes: wait for it. If none comes, check the address for authorization events in the platform's console and GET /v1/rejected."
        "没有可用的 ticket"
        "平台还没有推送 ticket，或太久没有推送，最后一个已经过期。没有 ticket 就没有令牌。"
        "平台每十分钟推送一次，请等待。若一直没有，检查平台控制台中的授权事件接收 URL，并查看 GET /v1/rejected。",
    /// The store does not answer.
    Unavailable = "unavailable" 503
        "The service cannot answer right now"
        "The store does not take or give anything at this moment. A change that was answered like this may not have happened."
        "Send the request again after the time in Retry-After. If it stays like this, look at /readyz and at the log."
        "服务暂时无法答复"
        "存储此刻无法读写。得到这个答复的修改可能没有生效。"
        "到 Retry-After 的时间后重新发送。若一直如此，查看 /readyz 和日志。",
    /// The vendor did not answer.
    VendorUnreachable = "vendor-unreachable" 504
        "The vendor does not answer"
        "The platform could not be reached, or gave no answer in time."
        "Send the request again after the time in Retry-After. If it stays like this, check the way from this machine to the platform's host."
        "平台没有响应"
        "无法连接平台，或平台没有及时答复。"
        "到 Retry-After 的时间后重新发送。若一直如此，检查本机到平台的网络。",
    /// Sent, not answered or answered in a way that leaves it open, and not repeated.
    OutcomeUnknown = "outcome-unknown" 504
        "Nobody knows whether it was done"
        "The request was sent to the platform once, its answer was lost or left it open, and looking it up did not tell. It was not sent again, because doing it twice would do harm."
        "Look at the platform's console, or ask with the operation's list or get. Send it again only when it was not done."
        "不知道是否已经执行"
        "请求已向平台发送一次，答复丢失或未说明是否执行，查询也没有结果。重复执行会造成损害，因此没有再发。"
        "在平台控制台查看，或用对应的 list、get 操作查询。确认没有执行之后再重新发送。",
}

impl Kind {
    /// The kind of that name.
    #[must_use]
    pub fn named(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// Its name: `no-ticket`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.row().slug
    }

    /// HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Name for people, as answers have it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().en.title
    }

    /// What it tells people, in English.
    #[must_use]
    pub const fn english(self) -> &'static Said {
        &self.row().en
    }

    /// The same in Chinese.
    #[must_use]
    pub const fn chinese(self) -> &'static Said {
        &self.row().zh
    }

    /// The kind that says the most of a status that something else than our handlers answered.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::WrongMethod,
            408 => Self::TooSlow,
            413 => Self::TooLarge,
            422 => Self::InvalidParameter,
            429 => Self::RateLimited,
            503 => Self::Unavailable,
            500.. => Self::Internal,
            _ => Self::BadRequest,
        }
    }
}
