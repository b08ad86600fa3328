//! How each platform brings a version online, as data: which questions there are, what must come before a submission, which codes mean a
//! quota. Operations and parameters have the same names everywhere; what differs stands here.

/// Where domains of an authorizer are set for a version: the variable that holds them, the operation, and the deed that must find them set.
#[derive(Debug, Clone, Copy)]
pub struct Domains {
    /// The variable: an object of the operation's parameters, or a list.
    pub variable: &'static str,
    /// The operation; adding what is there already changes nothing.
    pub operation: &'static str,
    /// The parameter that takes a list; one that takes single domains is called once for each.
    pub list: &'static str,
    /// Whether it takes one domain at a time.
    pub one_by_one: bool,
    /// The deed before which they are set.
    pub before: &'static str,
}

/// How long to wait after a refusal with that code, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Pause {
    /// The vendor's code.
    pub code: &'static str,
    /// Seconds.
    pub seconds: i64,
}

/// One platform's way.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The platform.
    pub platform: &'static str,
    /// What is asked for the state of a build that does not show among the versions yet, or may show too early; takes `version`.
    pub build: Option<&'static str>,
    /// What tells whether the platform's scan of a package has ended, as `scan_result`, where nothing is submitted before; takes `version`.
    pub scan: Option<&'static str>,
    /// What tells why a version was rejected where the list of versions does not; takes `version`.
    pub reason: Option<&'static str>,
    /// What tells how many submissions are left.
    pub quota: Option<&'static str>,
    /// What tells the hosts that a submission may name.
    pub hosts: Option<&'static str>,
    /// Whether a submission and a release take whatever is newest there, so that it must be looked at first.
    pub acts_on_newest: bool,
    /// Domains that are set for a version.
    pub domains: &'static [Domains],
    /// Parameters of a submission where no variable gives them.
    pub defaults: &'static [(&'static str, &'static str)],
    /// Seconds after which a deed that does not show was not done.
    pub shows_after: i64,
    /// Seconds after which a rollback that does not show was not done; 0: the platform shows at once that it is under way.
    pub rollback_shows_after: i64,
    /// Deeds of which the platform's own look-up tells by itself whether they took place. Of the others our look before and after them does: the
    /// look-up compares, and has nothing to compare with when another process sent them.
    pub looks_up: &'static [&'static str],
    /// Codes of a refused submission that mean: the quota is used up.
    pub quota_codes: &'static [&'static str],
    /// Codes with a pause of their own.
    pub pauses: &'static [Pause],
    /// The permission without which nothing of this is possible, where what we hold of a grant tells it by a number.
    pub permission: Option<Needed>,
}

/// A permission that a merchant must have granted.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    /// The vendor's number.
    pub id: &'static str,
    /// The vendor's name, for people.
    pub name: &'static str,
}

/// The same at Douyin (1.3) and Kuaishou (4.5).
const DEVELOPMENT: Needed = Needed { id: "1", name: "开发管理权限" };

const SERVER: Domains =
    Domains { variable: "server_domain", operation: "server_domain.add", list: "request", one_by_one: false, before: "audit.submit" };
const WEBVIEW: Domains =
    Domains { variable: "webview_domain", operation: "webview_domain.add", list: "domains", one_by_one: false, before: "audit.submit" };
/// Alipay 5.12: only versions built after a domain was added have it.
const SAFE: Domains =
    Domains { variable: "safe_domain", operation: "safe_domain.add", list: "domain", one_by_one: true, before: "package.upload" };

/// Every platform.
pub const ROUTES: &[Route] = &[
    Route {
        platform: "baidu",
        build: None,
        scan: None,
        reason: None,
        // Baidu 5.2.5: so many a week; 69013 is the refusal.
        quota: Some("audit.quota"),
        hosts: None,
        acts_on_newest: false,
        // Baidu 5.2.4: a submission removes domains that do not belong to the platform application.
        domains: &[SERVER, WEBVIEW],
        defaults: &[],
        // Baidu 5.2.1: the package appears about three seconds after the answer.
        shows_after: 30,
        // Baidu 5.2.2: the package says that it is being rolled back.
        rollback_shows_after: 0,
        looks_up: &["audit.submit", "package.release", "package.rollback"],
        quota_codes: &["69013"],
        pauses: &[],
        // Baidu 1.3: permissions have names without a number, and how that of development is spelled is not certain.
        permission: None,
    },
    Route {
        platform: "douyin",
        build: None,
        scan: None,
        reason: None,
        quota: None,
        hosts: Some("audit.hosts"),
        // Douyin 5.6: an upload replaces the test version, and a submission takes it.
        acts_on_newest: true,
        domains: &[SERVER, WEBVIEW],
        defaults: &[],
        shows_after: 10,
        // Douyin 5.6: it takes effect after three to five minutes; none is taken within ten minutes of another.
        rollback_shows_after: 660,
        looks_up: &[],
        quota_codes: &[],
        // Douyin 5.6: ten seconds between submissions, ten minutes between rollbacks.
        pauses: &[Pause { code: "11301", seconds: 11 }, Pause { code: "11501", seconds: 605 }],
        permission: Some(DEVELOPMENT),
    },
    Route {
        platform: "kuaishou",
        build: None,
        scan: None,
        reason: None,
        quota: None,
        hosts: None,
        // Kuaishou 5.3: neither a submission nor a release names a version.
        acts_on_newest: true,
        domains: &[SERVER, WEBVIEW],
        defaults: &[],
        shows_after: 10,
        // Kuaishou 5.3.7: it may take minutes.
        rollback_shows_after: 660,
        looks_up: &[],
        quota_codes: &[],
        // Kuaishou 6: at least a minute.
        pauses: &[Pause { code: "100100402", seconds: 60 }],
        permission: Some(DEVELOPMENT),
    },
    Route {
        platform: "alipay",
        // Alipay 5.2: a build may take minutes, and is finished when its own question says so.
        build: Some("package.build_status"),
        // Alipay 5.1: a version is scanned after it was built.
        scan: Some("package.get"),
        // Alipay 5.3: the list has no reasons.
        reason: Some("audit.reason"),
        quota: None,
        hosts: None,
        acts_on_newest: false,
        domains: &[SAFE],
        // Alipay 5.4: must be given.
        defaults: &[("region", "CHINA")],
        shows_after: 10,
        rollback_shows_after: 0,
        looks_up: &["package.upload", "audit.submit", "package.release", "package.rollback"],
        quota_codes: &[],
        pauses: &[],
        // Alipay 4: a grant brings no permissions; they are told when `authorization.permissions` asks for them.
        permission: None,
    },
];

/// The way of that platform.
#[must_use]
pub fn of(platform: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.platform == platform)
}

impl Route {
    /// The pause after a refusal with that code, where it has one of its own.
    #[must_use]
    pub fn pause(&self, code: &str) -> Option<i64> {
        self.pauses.iter().find(|pause| pause.code == code).map(|pause| pause.seconds)
    }
}
