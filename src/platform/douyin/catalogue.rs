//! Every event that Douyin names (3), what it means to us, and where its normal fields come from.

use crate::event_type::EventType::{self, *};
use crate::platform::sorted_envelope::dialect::Field;

/// One event.
pub(super) struct Row {
    /// The constant in `Event`.
    pub event: &'static str,
    /// The member with its result, empty where it has none of its own.
    pub payload: &'static str,
    /// What it means.
    pub meaning: Meaning,
}

/// What an event means.
pub(super) enum Meaning {
    /// A grant with a code.
    Granted,
    /// A code was retrieved for a standing grant.
    Updated,
    /// The grant is gone.
    Revoked,
    /// Always the same, with normal fields from the whole body.
    Fact(EventType, &'static [Field]),
    /// An object with a `status`: the first number that fits decides; any other number is kept as `vendor.other`.
    Status(&'static [(i64, EventType)], &'static [Field]),
    /// `AuditResults`: one element per host app.
    Hosts,
    /// A list of audited categories, each with a `status`.
    Categories,
    /// Categories on their way to publication, with one `audit_state`.
    PublishedCategories,
}

use Field::{Of, Said};
use Meaning::{Categories, Fact, Granted, Hosts, PublishedCategories, Revoked, Status, Updated};

const REASON: Field = Of("reason", &["reason", "reject_reason_list"]);
const ADVICE: Field = Of("advice", &["advice"]);

/// 0 rejected, 1 passed (3.2). For `EventContent` events every sample shows 1; 0 is read as elsewhere, other numbers are unverified (3.3).
const PROFILE: &[(i64, EventType)] = &[(0, ProfileFailed), (1, ProfilePassed)];
const APPLIED: &[(i64, EventType)] = &[(0, CapabilityRejected), (1, CapabilityGranted)];
/// 2 is "capability closed", for the three older capability events only (3.3).
const CAPABILITY: &[(i64, EventType)] = &[(0, CapabilityRejected), (1, CapabilityGranted), (2, CapabilityRevoked)];

const fn row(event: &'static str, payload: &'static str, meaning: Meaning) -> Row {
    Row { event, payload, meaning }
}

/// The catalogue.
pub(super) const EVENTS: &[Row] = &[
    // Authorization event URL, 3.1. Tickets are recognised by their `MsgType`.
    row("AUTHORIZED", "", Granted),
    row("UPDATE_AUTHORIZED", "", Updated),
    row("UNAUTHORIZED", "", Revoked),
    // Onboarding of a merchant's company and its corporate bank verification. No authorizer.
    row("SETTLE_APPLY", "", Fact(CertificationChanged, &[])),
    row("SETTLE_VERIFY", "", Fact(CertificationChanged, &[])),
    // Development and basic information, 3.2.
    row("PACKAGE_AUDIT", "AuditResults", Hosts),
    row("MODIFY_APP_NAME", "ModifyAppNameResults", Status(PROFILE, &[Said("field", "name"), REASON, ADVICE])),
    row("MODIFY_APP_INTRO", "ModifyAppIntroResults", Status(PROFILE, &[Said("field", "intro"), REASON, ADVICE])),
    row("MODIFY_APP_ICON", "ModifyAppIconResults", Status(PROFILE, &[Said("field", "icon"), REASON, ADVICE])),
    row("MODIFY_APP_CATEGORY", "ModifyAppCategoryResults", Categories),
    row("PUBLISH_APP_CATEGORY_AUDIT_RESULT", "EventContent", PublishedCategories),
    // The name was taken back because no version was submitted in time; the payload is the notice's text.
    row("APP_NAME_RESET_NOTIFICATION", "", Fact(ProfileFailed, &[Said("field", "name"), Of("reason", &["AppNameResetNotification"])])),
    // Capabilities and operation, 3.3.
    row("APPLY_VIDEO_CAPABILITY", "ApplyVideoCapabilityResults", Status(CAPABILITY, &[Said("capability", "short_video"), REASON])),
    row("APPLY_LIVE_CAPABILITY", "ApplyLiveCapabilityResults", Status(CAPABILITY, &[Said("capability", "live"), REASON])),
    row(
        "APPLY_PHONE_NUMBER_CAPABILITY",
        "ApplyPhoneNumberCapabilityResults",
        Status(CAPABILITY, &[Said("capability", "phone_number"), REASON]),
    ),
    row("APPLY_SHARE_TEMPLATE", "ApplyShareTemplateResults", Status(APPLIED, &[Said("capability", "share_template"), REASON])),
    row("APPLY_CAPACITY", "EventContent", Status(APPLIED, &[Of("capability", &["capacity_key"]), REASON])),
    row("AWEME_PERMISSION_AUDIT_RESULT", "EventContent", Status(APPLIED, &[Of("capability", &["permission_key"]), REASON])),
    row("SCOPE_QUOTA_AUDIT_RESULT", "EventContent", Status(APPLIED, &[Of("capability", &["scope"]), REASON])),
    row(
        "CREATE_SUBSCRIBE_NOTIFICATION_TEMPLATE_RESULT",
        "EventContent",
        Status(APPLIED, &[Said("capability", "subscribe_notification_template"), REASON]),
    ),
    row("ALIAS_AUDIT_RESULT", "EventContent", Status(PROFILE, &[Said("field", "alias"), REASON])),
    row("SEARCH_TAG_AUDIT_RESULT", "EventContent", Status(PROFILE, &[Said("field", "search_tag"), REASON])),
    row("AWEME_VIDEO_KEYWORD_AUDIT_RESULT", "EventContent", Status(PROFILE, &[Said("field", "video_keyword"), REASON])),
    // The values of `bind_status` are unverified. The vendor writes SELT.
    row("SELT_MOUNT_BIND", "EventContent", Fact(VendorOther, &[])),
    row("BIND_AWEME_USER", "EventContent", Fact(VendorOther, &[])),
];

/// The row of that constant, whatever its case.
pub(super) fn named(event: &str) -> Option<&'static Row> {
    EVENTS.iter().find(|row| row.event.eq_ignore_ascii_case(event))
}
