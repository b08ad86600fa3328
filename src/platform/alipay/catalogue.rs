//! The events that Alipay is known to push (3.1), as a table. What is not in it becomes `vendor.other`, as its rows of that kind do.
//!
//! Read by `notice` and by tests. A new message is a new row.

/// Which form field names the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// `msg_method`: the message service, envelope A.
    Message,
    /// `notify_type`: the old notices, envelope B.
    Notice,
    /// `service`: what the old gateway sends as XML; the check is one of them.
    Service,
}

/// What an event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A merchant granted; tokens and code are inside (3.2).
    Grant,
    /// A merchant withdrew (3.3).
    Revocation,
    /// A version passed (3.4).
    AuditPassed,
    /// A version was rejected (3.5).
    AuditRejected,
    /// Nothing in the normal vocabulary; these fields are copied into `data` beside `vendor`.
    Other(&'static [Copied]),
}

/// A field of `data` and the vendor's field it is copied from: of the content where it has it, else of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Name in `data`.
    pub name: &'static str,
    /// Name at the vendor.
    pub from: &'static [&'static str],
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which field holds the name.
    pub named_by: NamedBy,
    /// The vendor's name.
    pub name: &'static str,
    /// What it means.
    pub meaning: Meaning,
    /// Section of the protocol's reference.
    pub section: &'static str,
}

const fn copied(name: &'static str, from: &'static [&'static str]) -> Copied {
    Copied { name, from }
}

/// Every event that is known.
pub static CATALOGUE: &[Row] = &[
    Row { named_by: NamedBy::Notice, name: "open_app_auth_notify", meaning: Meaning::Grant, section: "3.2" },
    Row { named_by: NamedBy::Message, name: "alipay.open.auth.appauth.cancelled", meaning: Meaning::Revocation, section: "3.3" },
    Row { named_by: NamedBy::Message, name: "alipay.open.mini.version.audit.passed", meaning: Meaning::AuditPassed, section: "3.4" },
    Row { named_by: NamedBy::Message, name: "alipay.open.mini.version.audit.rejected", meaning: Meaning::AuditRejected, section: "3.5" },
    Row {
        named_by: NamedBy::Notice,
        name: "servicemarket_order_notify",
        meaning: Meaning::Other(&[
            copied("order_id", &["commodity_order_id"]),
            copied("item", &["item_code", "service_code"]),
            copied("title", &["title"]),
            copied("merchant", &["merchant_pid"]),
        ]),
        section: "3.6",
    },
    Row {
        named_by: NamedBy::Message,
        name: "alipay.open.mini.merchant.confirmed",
        meaning: Meaning::Other(&[
            copied("status", &["status"]),
            copied("order_id", &["order_no"]),
            copied("out_order_id", &["out_order_no"]),
        ]),
        section: "3.7",
    },
    Row {
        named_by: NamedBy::Message,
        name: "alipay.open.auth.userauth.cancelled",
        meaning: Meaning::Other(&[copied("user", &["user_id"]), copied("cancelled_at", &["cancel_time"])]),
        section: "3.3",
    },
    Row {
        named_by: NamedBy::Message,
        name: "alipay.open.sp.sign.sync.notify",
        meaning: Meaning::Other(&[copied("status", &["status"])]),
        section: "3.1",
    },
    Row {
        named_by: NamedBy::Notice,
        name: "trade_status_sync",
        meaning: Meaning::Other(&[
            copied("status", &["trade_status"]),
            copied("trade", &["trade_no"]),
            copied("out_trade", &["out_trade_no"]),
        ]),
        section: "2.1",
    },
];

/// The row of an event.
#[must_use]
pub fn row(named_by: NamedBy, name: &str) -> Option<&'static Row> {
    CATALOGUE.iter().find(|row| row.named_by == named_by && row.name == name)
}

/// Fields of the envelopes and of the flat notices (2.4, 2.5, 3.6): those that may be left out of the signature's string when they are
/// empty. Nobody can hide anything in them, whereas a name that is not known here is always covered.
pub static ENVELOPE_FIELDS: &[&str] = &[
    "notify_id",
    "utc_timestamp",
    "msg_method",
    "app_id",
    "msg_type",
    "msg_uid",
    "msg_app_id",
    "version",
    "biz_content",
    "encrypt_type",
    "charset",
    "notify_type",
    "notify_time",
    "auth_app_id",
    "status",
    "method",
    "commodity_order_id",
    "merchant_pid",
    "service_code",
    "item_code",
    "order_item_num",
    "order_time",
    "timestamp",
    "title",
    "name",
    "contactor",
    "phone",
    "total_price",
    "specifications",
    "quantity",
    "package_count",
    "period_day",
    "isv_ticket",
    "order_ticket",
    "miniapp_release_bundle",
    "consumer_miniAppId",
];
