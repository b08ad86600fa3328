//! What the refusals of Alipay's methods mean and what to do about each (Alipay 5.16), as two tables: codes, and patterns of codes.
//!
//! Asked by `errors` when a code is not among those of gateway and grants. The misspellings are the vendor's own; where a right spelling
//! exists beside one, both are here.

use crate::platform::call::Class;

/// What to do, and with which codes.
struct Meaning {
    class: Class,
    advice: &'static str,
    codes: &'static [&'static str],
}

const TROUBLE: &str = "the platform's own trouble: try again later, and look at the state first";
const NO_SUCH_VERSION: &str = "there is no such version: see package.list";
const WRONG_TEMPLATE: &str = "use a template of this application: see template.list";
const WRONG_KIND: &str = "the token, the template or the kind of application is another one than the method is for";
const RULES: &str = "twenty rules are the most: unbind one first (qrcode_rule.list, qrcode_rule.unbind)";
const OCCUPIED: &str = "one version at a time: release, withdraw or send back (package.back_to_development) the one that is in audit, passed, rejected or gray";

static CODES: &[Meaning] = &[
    Meaning {
        class: Class::Retry,
        advice: TROUBLE,
        codes: &[
            "SYSTEM_EXCEPTION",
            "EXTERNAL_SYSTEM_ERROR",
            "RPC_INVOKE_ERROR",
            "APPSTORE_RPC_INVOKE_ERROR",
            "APP_OPERATOR_QUERY_ERROR",
            "POLLING_BUILDING_ERROR",
            "CREATE_GRAY_RULE_ERROR",
            "EXECUTE_GRAY_FAILED",
            "OPENID_QUERY_ERROR",
            "PRECREATE_MINI_ERROR",
            "UPDATE_PLUGIN_SERVICE_FAIL",
            "BUILD_VERSION_COMPARE_ERROR",
        ],
    },
    // The scan of a version begins by itself and ends by itself (Alipay 5.1): what came too early is right later.
    Meaning {
        class: Class::Retry,
        advice: "the security scan is not finished: wait until package.get says scan_result True",
        codes: &["CAN_NOT_SUBMIT_WITHOUT_SCAN_PASS", "CAN_NOT_SET_WITHOUT_SCAN_PASS", "CAN_NOT_DELETE_WITH_SCANNING"],
    },
    Meaning {
        class: Class::Retry,
        advice: "the template's version is not scanned yet: wait (template.list)",
        codes: &["CODE_TEMPLATE_NOT_SAFE"],
    },
    Meaning {
        class: Class::RateLimited,
        advice: "a limit is reached: wait",
        codes: &["SYSTEM_LIMIT", "OP_FREQUENCY_LIMIT", "RATE_LIMITING_RISK"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the quota of changes is used up: wait for the next month",
        codes: &["HAS_NO_MODIFY_CNT", "DAILY_REJECT_EXCEEDS", "REJECT_COUNTS_EXCEEDS"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "choose a version greater than every earlier one: see package.list",
        codes: &[
            "VERSION_HAS_EXISTED",
            "LARGER_VERSION_HAS_EXISTED",
            "EXIST_LARGER_ONLINED_VERSION",
            "VERSION_EXCEEDED_LENGTH",
            "INVALID_VERSION",
        ],
    },
    Meaning {
        class: Class::Refuse,
        advice: "twenty versions in development are the most: delete some (package.delete)",
        codes: &["DEV_VERSION_EXCEED_MAX_COUNT"],
    },
    Meaning {
        class: Class::Refuse,
        advice: WRONG_TEMPLATE,
        codes: &[
            "CODE_TEMPLATE_NOT_EXIST",
            "CODE_TEMPLATE_DELETED",
            "TEMPLATE_ID_ISVAPPID_NOT_MATCH",
            "TEMPLATE_MISMATCH_ISVAPPID",
            "TEMPLATE_NO_RELATION_ERROR",
            "NO_TEMPLATE_INSTANTIATE_RELATION",
            "BUILDED_NOT_BY_TEMPLATE",
        ],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the template's version is not online, or punished: see template.list",
        codes: &["TEMPLATE_NOT_ONLINE_OR_OFFLINE", "TEMPLATE_STATUS_CAN_NOT_BUILD", "TEMPLATE_STATUS_PUNISHED"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the authorizer is the template itself; it must be the merchant's mini program",
        codes: &["TEMPLATE_MINIAPP_NOT_ALLOWED", "APP_TYPE_ERROR"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "a permission or a role is missing: see authorization.permissions",
        codes: &["NO_PERMISSION", "PERMISSION_DENIED", "ACCESS_DENIED", "PROVIDER_ROLE_INVALID", "isv.self-invoke-forbidden"],
    },
    Meaning {
        class: Class::Refuse,
        advice: WRONG_KIND,
        codes: &[
            "APP_INFO_NOT_EXIST",
            "APP_IS_NOT_EXIST",
            "TINY_APP_NOT_EXIST",
            "APPLICATION_TYPE_NOT_MINIAPP",
            "APPLICATION_TYPE_ILLEGAL",
            "APPLICATION_TYPE_NOT_ISVAPP",
            "SUB_APPLICATION_TYPE_ERROR",
            "APPQRCODE_NOT_TINYAPP",
        ],
    },
    Meaning {
        class: Class::Refuse,
        advice: NO_SUCH_VERSION,
        codes: &[
            "MINI_APP_PACKAGE_INFO_NOT_EXIST",
            "MINIAPP_VERSION_NOT_EXSIT",
            "MINIAPP_VERSION_NOT_EXIST",
            "MINI_APP_VERSION_NOT_EXIST",
            "BUILD_VERSION_NOT_EXISTED",
            "POLLING_BUILD_VERSION_NOT_EXIST",
            "AUDITING_VERSION_NOT_EXIST",
        ],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the platform still works on this version: finish or cancel that in the console",
        codes: &["MINI_APP_VERSION_ITERATION_EXIST"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the mini program needs an online version first",
        codes: &["MINI_APP_NOT_ONLINE", "APP_IS_NOT_ONLINE", "ONLINE_VERSION_NOT_EXIST", "ROUTE_CREATE_NEED_VERSION"],
    },
    Meaning {
        class: Class::Refuse,
        advice: OCCUPIED,
        codes: &["CAN_NOT_SUBMIT_WITH_AUDIT_GRAY", "CAN_NOT_SUBMIT_WITH_AUDIT", "SUBMIT_REPEAT"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "an audit of the base information runs: wait until profile.get shows the change",
        codes: &["MINI_APP_INFO_AUDIT_CONTAINS"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "leave the name out: it cannot be changed once the mini program was online",
        codes: &["CAN_NOT_MODIFY_NAME_ONCE_ONLINE", "CAN_NOT_MODIFY_EN_ONCE_ONLINE", "CANNOT_MODIFY_NAME_AFTER_ONLINE"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "complete the ICP filing, or release with permit_registration_limit_release",
        codes: &["CAN_NOT_ONLINE_WITHOUT_REGISTRATION"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "thirty developers and fifty experiencers are the most: remove a member first",
        codes: &["ROLE_OVER_LIMIT"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "remove the member, then invite again",
        codes: &["EXPERIENCER_ALREADY_REFUSED", "DEVELOPER_ALREADY_REFUSED"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the account has more rights already",
        codes: &["CANNOT_INVITE_MANAGER", "DEV_MANAGER_ALREADY_EXIST"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "give the e-mail address or phone number with which the person logs in to Alipay",
        codes: &["USER_INFO_NOT_EXIST", "INVALID_LOGON_ID", "AE0311010110301"],
    },
    Meaning { class: Class::Refuse, advice: RULES, codes: &["ROUTE_OVER_LIMIT", "QRCODE_HOST_ROUTE_NUM_LIMIT"] },
    Meaning {
        class: Class::Refuse,
        advice: "the address overlaps with another rule of this or another mini program: see qrcode_rule.list",
        codes: &["ROUTE_RULE_CONFLICT", "ROUTE_RULE_CONFLICT_OTHER"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "verify the host at the template (console: ordinary link QR code); its check file must answer 200 without a redirect",
        codes: &[
            "HOST_VERIFY_FAILD",
            "TEMPLATE_NOT_HAVE_HOST",
            "SECUTIY_SSRF_URL_ILLEGAL",
            "SECUTIY_SSRF_URL_FAILD",
            "QRCODE_ROUTE_URL_INVALID",
        ],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the list of domains is full, or the domain is too long: delete one (safe_domain.delete)",
        codes: &["SAFEDOMAIN_VOER_LIMIT", "SAFEDOMAIN_EXCEED_LENGTH"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the platform does not allow this domain",
        codes: &["SAFEDOMAIN_FORBID", "ANTI_PHISHING_EXIST"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the brand needs proof, or another name",
        codes: &["BRAND_TORT", "BRAND_TORT_NOT_END", "HAS_RISK", "QRCODE_DESC_CHECK_INVALID"],
    },
    Meaning {
        class: Class::Refuse,
        advice: "the name is taken: choose another",
        codes: &["APP_NAME_DUPLICATED", "OPENCORE_APP_NAME_EXIST", "NOT_UNIQUE"],
    },
];

/// Beginning and end of a code, and what codes of that kind mean. The first that fits counts.
struct Pattern(&'static str, &'static str, &'static str);

static PATTERNS: &[Pattern] = &[
    Pattern("MODIFY_", "_EXCEED_COUNT", "the quota of changes is used up: wait for the next month"),
    Pattern("", "_SENSITIVE", "the text hit the platform's risk control: choose other words"),
    Pattern("RISK_DECISION_", "", "the content hit the platform's risk control: choose other words, or prove the brand"),
    Pattern("", "_DUPLICATE", "the name is taken: choose another"),
    Pattern("CAN_NOT_ROLLBACK_", "", "this version cannot be rolled back: package.list shows which are online and which were"),
    Pattern("CAN_NOT_", "", "the version is in another state than this needs: see package.get"),
    Pattern("", "_IS_BLANK", "give the parameter that the code names"),
    Pattern("", "_ARE_BLANK", "give the parameters that the code names"),
    Pattern("", "_BOTH_BLANK", "give one of the two"),
    Pattern("INVALID_", "_STATUS", "the version is in another state than this needs: see package.get"),
    Pattern("INVALID_", "", "mend the parameter that the code names"),
    Pattern("", "_IS_INVALID", "mend the parameter that the code names"),
    Pattern("", "_EXCEED_MAX_SIZE", "the file is too large"),
    Pattern("", "_SIZE_EXCEED", "the file is too large"),
];

/// What a code of a method means; `None` for those nobody has explained.
#[must_use]
pub fn meaning(code: &str) -> Option<(Class, Option<&'static str>)> {
    let exact = CODES.iter().find(|meaning| meaning.codes.contains(&code)).map(|meaning| (meaning.class, meaning.advice));
    let by_pattern = || {
        let fits = |pattern: &&Pattern| code.starts_with(pattern.0) && code.ends_with(pattern.1);
        PATTERNS.iter().find(fits).map(|pattern| (Class::Refuse, pattern.2))
    };
    exact.or_else(by_pattern).map(|(class, advice)| (class, Some(advice)))
}
