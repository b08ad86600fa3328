//! Every event that Douyin names (3), what it means to us, and where its normal fields come from.

use crate::event_type::EventType::{self, *};
use crate::platform::sorted_envelope::dialect::Field;
use crate::settings::Settings;

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
    /// An object with a `status`; a number that is not known is kept as `vendor.other`.
    Status(Subject, &'static [(i64, Verdict)], &'static [Field]),
    /// `AuditResults`: one element per host app.
    Hosts,
    /// A list of audited categories, each with a `status`.
    Categories,
    /// Categories on their way to publication, with one `audit_state`.
    PublishedCategories(&'static [(i64, Verdict)]),
}

/// What is decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Profile,
    Category,
    Capability,
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Rejected,
    /// A capability that there was is closed.
    Closed,
}

/// The words for verdicts in settings.
const VERDICTS: &[(&str, Verdict)] = &[("passed", Verdict::Passed), ("rejected", Verdict::Rejected), ("closed", Verdict::Closed)];

impl Subject {
    /// The event that a verdict is; nothing but a capability is closed.
    pub fn decided(self, verdict: Verdict) -> Option<EventType> {
        Some(match (self, verdict) {
            (Self::Profile, Verdict::Passed) => ProfilePassed,
            (Self::Profile, Verdict::Rejected) => ProfileFailed,
            (Self::Category, Verdict::Passed) => CategoryPassed,
            (Self::Category, Verdict::Rejected) => CategoryFailed,
            (Self::Capability, Verdict::Passed) => CapabilityGranted,
            (Self::Capability, Verdict::Rejected) => CapabilityRejected,
            (Self::Capability, Verdict::Closed) => CapabilityRevoked,
            (Self::Profile | Self::Category, Verdict::Closed) => return None,
        })
    }
}

impl Row {
    /// What is decided about, and what the numbers say as far as the reference knows.
    fn numbers(&self) -> Option<(Subject, &'static [(i64, Verdict)])> {
        match self.meaning {
            Status(subject, numbers, _) => Some((subject, numbers)),
            PublishedCategories(numbers) => Some((Subject::Category, numbers)),
            _ => None,
        }
    }
}

/// What the numbers of results say: `[components.status_map]`, by the event's constant, in place of what the catalogue knows of that event.
#[derive(Debug, Default)]
pub(super) struct StatusMap(Vec<(&'static str, Vec<(i64, Verdict)>)>);

impl StatusMap {
    pub fn read(settings: &mut Settings) -> Self {
        let mut table = settings.table("status_map");
        let mut maps = Vec::new();
        for (row, subject) in EVENTS.iter().filter_map(|row| Some((row, row.numbers()?.0))) {
            if table.has(row.event) {
                let mut map = table.table(row.event);
                maps.push((row.event, verdicts(&mut map, subject)));
                table.problems(map.finish());
            }
        }
        settings.problems(table.finish());
        Self(maps)
    }

    /// What that number says in that event.
    pub fn kind(&self, row: &Row, number: i64) -> Option<EventType> {
        let (subject, known) = row.numbers()?;
        let own = self.0.iter().find(|(event, _)| *event == row.event).map(|(_, own)| own.as_slice());
        let (_, verdict) = own.unwrap_or(known).iter().find(|(known, _)| *known == number)?;
        subject.decided(*verdict)
    }
}

fn verdicts(map: &mut Settings, subject: Subject) -> Vec<(i64, Verdict)> {
    let known: Vec<_> = VERDICTS.iter().filter(|(_, verdict)| subject.decided(*verdict).is_some()).collect();
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    let mut verdicts = Vec::new();
    for key in map.keys() {
        let word = map.choice_or(&key, "passed", &words);
        let verdict = known.iter().find(|(known, _)| *known == word).map(|(_, verdict)| *verdict);
        match key.parse() {
            Ok(number) => verdicts.extend(verdict.map(|verdict| (number, verdict))),
            Err(_) => {
                map.problem(&key, "is no number of Douyin's", "write numbers and what they say, as in { 0 = \"rejected\", 1 = \"passed\" }")
            }
        }
    }
    verdicts
}

use Field::{Of, Said};
use Meaning::{Categories, Fact, Granted, Hosts, PublishedCategories, Revoked, Status, Updated};

const REASON: Field = Of("reason", &["reason", "reject_reason_list"]);
const ADVICE: Field = Of("advice", &["advice"]);

/// 0 rejected, 1 passed (3.2). For `EventContent` events every sample shows 1; 0 is read as elsewhere, and what other numbers say there is
/// unverified (3.3): settings may say it.
const DECIDED: &[(i64, Verdict)] = &[(0, Verdict::Rejected), (1, Verdict::Passed)];
/// 2 is "capability closed", for the three older capability events only (3.3).
const CLOSABLE: &[(i64, Verdict)] = &[(0, Verdict::Rejected), (1, Verdict::Passed), (2, Verdict::Closed)];
/// As of other category states; unverified (3.2).
const PUBLISHED: &[(i64, Verdict)] = &[(2, Verdict::Passed), (3, Verdict::Rejected)];

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
    row("MODIFY_APP_NAME", "ModifyAppNameResults", Status(Subject::Profile, DECIDED, &[Said("field", "name"), REASON, ADVICE])),
    row("MODIFY_APP_INTRO", "ModifyAppIntroResults", Status(Subject::Profile, DECIDED, &[Said("field", "intro"), REASON, ADVICE])),
    row("MODIFY_APP_ICON", "ModifyAppIconResults", Status(Subject::Profile, DECIDED, &[Said("field", "icon"), REASON, ADVICE])),
    row("MODIFY_APP_CATEGORY", "ModifyAppCategoryResults", Categories),
    row("PUBLISH_APP_CATEGORY_AUDIT_RESULT", "EventContent", PublishedCategories(PUBLISHED)),
    // The name was taken back because no version was submitted in time; the payload is the notice's text.
    row("APP_NAME_RESET_NOTIFICATION", "", Fact(ProfileFailed, &[Said("field", "name"), Of("reason", &["AppNameResetNotification"])])),
    // Capabilities and operation, 3.3.
    row(
        "APPLY_VIDEO_CAPABILITY",
        "ApplyVideoCapabilityResults",
        Status(Subject::Capability, CLOSABLE, &[Said("capability", "short_video"), REASON]),
    ),
    row(
        "APPLY_LIVE_CAPABILITY",
        "ApplyLiveCapabilityResults",
        Status(Subject::Capability, CLOSABLE, &[Said("capability", "live"), REASON]),
    ),
    row(
        "APPLY_PHONE_NUMBER_CAPABILITY",
        "ApplyPhoneNumberCapabilityResults",
        Status(Subject::Capability, CLOSABLE, &[Said("capability", "phone_number"), REASON]),
    ),
    row(
        "APPLY_SHARE_TEMPLATE",
        "ApplyShareTemplateResults",
        Status(Subject::Capability, DECIDED, &[Said("capability", "share_template"), REASON]),
    ),
    row("APPLY_CAPACITY", "EventContent", Status(Subject::Capability, DECIDED, &[Of("capability", &["capacity_key"]), REASON])),
    row(
        "AWEME_PERMISSION_AUDIT_RESULT",
        "EventContent",
        Status(Subject::Capability, DECIDED, &[Of("capability", &["permission_key"]), REASON]),
    ),
    row("SCOPE_QUOTA_AUDIT_RESULT", "EventContent", Status(Subject::Capability, DECIDED, &[Of("capability", &["scope"]), REASON])),
    row(
        "CREATE_SUBSCRIBE_NOTIFICATION_TEMPLATE_RESULT",
        "EventContent",
        Status(Subject::Capability, DECIDED, &[Said("capability", "subscribe_notification_template"), REASON]),
    ),
    row("ALIAS_AUDIT_RESULT", "EventContent", Status(Subject::Profile, DECIDED, &[Said("field", "alias"), REASON])),
    row("SEARCH_TAG_AUDIT_RESULT", "EventContent", Status(Subject::Profile, DECIDED, &[Said("field", "search_tag"), REASON])),
    row("AWEME_VIDEO_KEYWORD_AUDIT_RESULT", "EventContent", Status(Subject::Profile, DECIDED, &[Said("field", "video_keyword"), REASON])),
    // The values of `bind_status` are unverified. The vendor writes SELT.
    row("SELT_MOUNT_BIND", "EventContent", Fact(VendorOther, &[])),
    row("BIND_AWEME_USER", "EventContent", Fact(VendorOther, &[])),
];

/// The row of that constant, whatever its case.
pub(super) fn named(event: &str) -> Option<&'static Row> {
    EVENTS.iter().find(|row| row.event.eq_ignore_ascii_case(event))
}
