//! Every platform event that Baidu names (3.1 to 3.7), what it means to us, and where its normal fields come from.
//!
//! Events that only a list of constants names carry fields that were never published: their rows take what is there.

use crate::event_type::EventType::{self, *};
use crate::platform::sorted_envelope::dialect::Field;

/// One event.
pub(super) struct Row {
    /// The constant in `event`.
    pub event: &'static str,
    /// What it means.
    pub meaning: Meaning,
}

/// What an event means.
pub(super) enum Meaning {
    /// A grant with a code.
    Granted,
    /// A changed grant with a code.
    Updated,
    /// The grant is gone.
    Revoked,
    /// A fact with normal fields.
    Fact(EventType, &'static [Field]),
    /// Codes of a registration, for whoever carries that out; told only where the settings say so.
    Registration(&'static [Field]),
    /// One fact without a reason, another one with it.
    ByReason {
        /// No reason was sent.
        without: EventType,
        /// A reason was sent.
        with: EventType,
        /// Normal fields of both.
        fields: &'static [Field],
    },
}

use Field::{Of, Said};
use Meaning::{ByReason, Fact, Granted, Registration, Revoked, Updated};

/// `reson` stands in several published samples (conflict 6).
const REASON: Field = Of("reason", &["reason", "reson"]);
const VERSION: Field = Of("version", &["packageVersion"]);
const PACKAGE: &[Field] = &[VERSION, Of("package_id", &["packageId"]), REASON];
const ONLY_REASON: &[Field] = &[REASON];
const REGISTER_CODES: &[Field] = &[Of("authorization_code", &["authorizationCode"]), CREATE_CODE];
const CREATE_CODE: Field = Of("create_authorization_code", &["createAuthorizationCode"]);
const PHONE: &[Field] = &[Said("capability", "phone_number"), REASON];

const fn row(event: &'static str, meaning: Meaning) -> Row {
    Row { event, meaning }
}

macro_rules! of_field {
    ($kind:ident, $name:literal, $what:literal) => {
        Fact($kind, &[Said($name, $what), REASON])
    };
}

/// The catalogue.
pub(super) const EVENTS: &[Row] = &[
    // Authorization changes, 3.1.
    row("AUTHORIZED", Granted),
    row("UPDATE_AUTHORIZED", Updated),
    row("UNAUTHORIZED", Revoked),
    // Registering and creating, 3.1. The code that a created app comes with is exchanged like any other;
    // a register code belongs to no app yet and is no grant.
    row("ACCOUNT_AND_APP_CREATE_AUDIT_PASS", Granted),
    row("REGISTER_AUTH_SUCCESS", Registration(REGISTER_CODES)),
    row("ACCOUNT_AND_APP_CREATE_AUDIT_FAIL", Fact(VendorOther, &[])),
    row("APP_CREATE_FAIL", Fact(VendorOther, &[])),
    // Says by its code alone whose it was.
    row("CREATE_APP_AUTH_CANCEL", Registration(&[CREATE_CODE])),
    row("APP_CREATE_SUCCESS_AND_AUTH_FAIL", Fact(VendorOther, &[])),
    // Code packages, 3.2.
    row("PACKAGE_AUDIT_PASS", Fact(AuditPassed, PACKAGE)),
    row("PACKAGE_AUDIT_FAIL", Fact(AuditFailed, PACKAGE)),
    // Basic information, 3.3.
    row("APP_NAME_AUDIT_PASS", of_field!(ProfilePassed, "field", "name")),
    row("APP_NAME_AUDIT_FAIL", of_field!(ProfileFailed, "field", "name")),
    row("APP_ICON_AUDIT_PASS", of_field!(ProfilePassed, "field", "icon")),
    row("APP_ICON_AUDIT_FAIL", of_field!(ProfileFailed, "field", "icon")),
    row("APP_DESC_AUDIT_PASS", of_field!(ProfilePassed, "field", "intro")),
    row("APP_DESC_AUDIT_FAIL", of_field!(ProfileFailed, "field", "intro")),
    // No event names the category: `app/info` has it.
    row("APP_CATEGORY_AUDIT_PASS", Fact(CategoryPassed, ONLY_REASON)),
    row("APP_CATEGORY_AUDIT_FAIL", Fact(CategoryFailed, ONLY_REASON)),
    // The name was taken back because no package was submitted in time.
    row("APP_NAME_CLEAR", of_field!(ProfileFailed, "field", "name")),
    // Service status, 3.4.
    row("APP_SERVER_PAUSE", Fact(ServicePaused, ONLY_REASON)),
    row("APP_SERVER_RESUME", Fact(ServiceResumed, ONLY_REASON)),
    row("APP_FORCE_OFFLINE", Fact(ServiceSuspended, ONLY_REASON)),
    row("TIME_LIMIT_RECTIFY_NOTIFY", Fact(ServiceWarned, ONLY_REASON)),
    row("FLOW_CLOSE_NOTIFY", Fact(ServiceSuspended, ONLY_REASON)),
    // An appeal against closed traffic: granted it is open again, rejected it stays closed.
    row("FLOW_CLOSE_AUDIT_PASS", Fact(ServiceResumed, ONLY_REASON)),
    row("FLOW_CLOSE_AUDIT_FAIL", Fact(ServiceSuspended, ONLY_REASON)),
    // The corrected basic information of an app that is offline; its code may still keep it offline.
    row("BASE_INFO_OFFLINE_AUDIT_SUCCESS", of_field!(ProfilePassed, "field", "basic_info")),
    row("BASE_INFO_OFFLINE_AUDIT_FAIL", of_field!(ProfileFailed, "field", "basic_info")),
    row("ANNUAL_REVIEW_PENDING", Fact(ServiceWarned, ONLY_REASON)),
    row("ANNUAL_REVIEW_OVERDUE", Fact(ServiceWarned, ONLY_REASON)),
    row("ANNUAL_REVIEW_PASS", Fact(CertificationChanged, &[])),
    // Phone number, 3.5. The published sample of the cancellation is named like the approval and carries a reason:
    // with one it never reads as granted.
    row("APPLY_APP_MOBILE_AUTH_PASS", ByReason { without: CapabilityGranted, with: CapabilityRevoked, fields: PHONE }),
    row("APPLY_APP_MOBILE_AUTH_REJECT", Fact(CapabilityRejected, PHONE)),
    row("APP_MOBILE_AUTH_CANCEL", Fact(CapabilityRevoked, PHONE)),
    // Certification, 3.6.
    row("ADVANCED_AUDIT_CHANGED", Fact(CertificationChanged, &[])),
    // Search, brand, payment, resources, 3.7.
    row("AUDIT_SUB_CHAIN_PASS", of_field!(CapabilityGranted, "capability", "sub_chain")),
    row("AUDIT_SUB_CHAIN_FAILED", of_field!(CapabilityRejected, "capability", "sub_chain")),
    row("BRAND_WORD_AUDIT_SUCCESS", of_field!(CapabilityGranted, "capability", "brand_word")),
    row("BRAND_WORD_AUDIT_FAIL", of_field!(CapabilityRejected, "capability", "brand_word")),
    // A table writes SUCCESS, sample and library PASS (conflict 9).
    row("APP_SEARCH_PATH_AUDIT_PASS", of_field!(CapabilityGranted, "capability", "search_path")),
    row("APP_SEARCH_PATH_AUDIT_SUCCESS", of_field!(CapabilityGranted, "capability", "search_path")),
    row("APP_SEARCH_PATH_AUDIT_FAIL", of_field!(CapabilityRejected, "capability", "search_path")),
    row("APP_PAYMENT_CREATE_ACCOUNT_PASS", of_field!(CapabilityGranted, "capability", "payment_account")),
    row("APP_PAYMENT_CREATE_ACCOUNT_FAIL", of_field!(CapabilityRejected, "capability", "payment_account")),
    row("APP_PAYMENT_UPDATE_DEVELOP_CONFIG_PASS", of_field!(CapabilityGranted, "capability", "payment_config")),
    row("APP_PAYMENT_UPDATE_DEVELOP_CONFIG_FAIL", of_field!(CapabilityRejected, "capability", "payment_config")),
    row("APP_PAYMENT_CREATE_PAYMENT_PASS", of_field!(CapabilityGranted, "capability", "payment")),
    row("APP_PAYMENT_CREATE_PAYMENT_FAIL", of_field!(CapabilityRejected, "capability", "payment")),
    row("APP_PAY_CLOSE", of_field!(CapabilityRevoked, "capability", "payment")),
    row("ARTICLE_MOUNT_AUDIT_SUCCESS", of_field!(CapabilityGranted, "capability", "article_mount")),
    row("ARTICLE_MOUNT_AUDIT_FAIL", of_field!(CapabilityRejected, "capability", "article_mount")),
    row("SERVER_RESOURCE_PASS", of_field!(CapabilityGranted, "capability", "server_resource")),
    row("SERVER_RESOURCE_REJECT", of_field!(CapabilityRejected, "capability", "server_resource")),
    row("SERVER_RESOURCE_WAIT", Fact(VendorOther, &[])),
    row("SERVER_RESOURCE_CANCEL", Fact(VendorOther, &[])),
    row("SERVER_RESOURCE_DELIVER_WAIT", Fact(VendorOther, &[])),
    row("SERVER_RESOURCE_DELETE", Fact(VendorOther, &[])),
    // Batch tasks started in the console: a package made is a build; a submission is no audit result.
    row("BATCH_TASK_UPLOAD_PACKAGE_SUCCESS", Fact(BuildSucceeded, &[VERSION])),
    row("BATCH_TASK_UPLOAD_PACKAGE_FAIL", Fact(BuildFailed, &[VERSION, REASON])),
    row("BATCH_TASK_UPLOAD_RELEASE_SUCCESS", Fact(ReleaseChanged, &[VERSION, Said("state", "online")])),
    row("BATCH_TASK_UPLOAD_RELEASE_FAIL", Fact(VendorOther, &[])),
    row("BATCH_TASK_UPLOAD_SUBMIT_AUDIT_FAIL", Fact(VendorOther, &[])),
    row("BATCH_UPLOAD_SUBMIT_SUCCESS", Fact(VendorOther, &[])),
    row("BATCH_UPLOAD_SUBMIT_FAIL", Fact(VendorOther, &[])),
];

/// The row of that constant, whatever its case.
pub(super) fn named(event: &str) -> Option<&'static Row> {
    EVENTS.iter().find(|row| row.event.eq_ignore_ascii_case(event))
}
