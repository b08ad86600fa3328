//! What a vendor is: pure, synchronous functions that turn bytes into meaning and meaning into bytes.
//!
//! A platform opens a [`RawPush`], builds a [`Call`] and reads a [`Reply`]; it never sends, waits, stores or reads the clock.
//! Whoever adds a vendor adds one folder with the same files (`mod.rs` settings, `push.rs`, `tokens.rs`, `twin.rs`, `README.md`)
//! and one line in [`ALL`].

pub mod alipay;
pub mod baidu;
pub mod call;
pub mod capture;
pub mod diagnose;
pub mod douyin;
pub mod issued;
pub mod kuaishou;
pub mod looks;
pub mod loose;
mod lost;
pub mod operation;
pub mod proxy;
pub mod push;
pub mod quota;
pub mod redirect;
pub mod sorted_envelope;
pub mod token;
pub mod twin;

use std::sync::Arc;

pub use call::{ApiError, Body, Call, Class, Method, Part, Reply, Value};
pub use push::{Acknowledgement, Door, Notice, Opened, Push, PushError, RawPush};
pub use token::{AuthorizationCode, AuthorizerTokens, Family, Token, TokenKey};
pub use twin::Twin;

use crate::settings::{Problem, Settings};

/// Bytes of an app id that is a key of ours; all known ones are below 40.
pub const LONGEST_APP_ID: usize = 128;

/// Bytes of a code that a browser may bring; all known ones are far below.
pub const LONGEST_CODE: usize = 1024;

/// Every platform this build knows, in the order in which people are shown them.
pub static ALL: &[&dyn Platform] = &[&baidu::Baidu, &douyin::Douyin, &kuaishou::Kuaishou, &alipay::Alipay];

/// The platform of that name (`baidu`, `douyin`, `kuaishou`, `alipay`).
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Platform> {
    ALL.iter().copied().find(|platform| platform.name() == name)
}

/// A name for people, in both languages of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Title {
    /// Chinese.
    pub zh: &'static str,
    /// English.
    pub en: &'static str,
}

/// One vendor.
pub trait Platform: Send + Sync {
    /// Name in configuration, addresses and events; lower case ASCII.
    fn name(&self) -> &'static str;

    /// Name for people.
    fn title(&self) -> Title;

    /// Reads a component's settings. `name` is the component's name in this deployment.
    /// Every problem is recorded in `settings`, which also knows which keys were never asked for.
    ///
    /// # Errors
    /// All problems at once; keys of wrong length, unreadable PEMs and missing values among them.
    fn component(&self, name: &str, settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>>;

    /// Settings (TOML) of a component called `name` with made-up keys, as `simulate` and `demo` use them.
    /// `vendor` is the base address of the simulator (`http://127.0.0.1:9000/baidu`), which replaces the vendor's hosts.
    /// The text is a `[[components]]` body without the header; both [`Platform::component`] and [`Platform::twin`] accept it.
    fn sample_settings(&self, vendor: &str) -> String;

    /// Settings that switch on what the twin answers although nobody has verified it at the vendor; appended to [`Platform::sample_settings`].
    fn sample_switches(&self) -> &'static str {
        ""
    }

    /// The vendor's side, for the same settings as the component. The twin answers what the component calls
    /// and seals what the component opens.
    ///
    /// # Errors
    /// As [`Platform::component`].
    fn twin(&self, settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>>;
}

/// One third-party application registered at a platform: all that we know to do with its keys.
pub trait Component: push::Pushes + token::Tokens + diagnose::Diagnose {
    /// Its name in this deployment: unique, in addresses.
    fn name(&self) -> &str;

    /// Its vendor.
    fn platform(&self) -> &'static dyn Platform;

    /// The application's id at the vendor (TP id, component appid, app id). Not secret.
    fn app_id(&self) -> &str;

    /// What the vendor knows our calls by, where that is not [`Component::app_id`]: whose tickets and tokens what we hold is.
    fn calls_as(&self) -> &str {
        self.app_id()
    }

    /// Its follow-up calls.
    fn operations(&self) -> &dyn operation::Operations {
        &operation::Nothing
    }

    /// How its vendor is asked what became of an audit; `None` where it cannot be.
    fn audit_look(&self) -> Option<looks::AuditLook> {
        None
    }

    /// How its vendor is asked what became of an audit of the profile; `None` where a push tells, or nothing does.
    fn profile_look(&self) -> Option<looks::ProfileLook> {
        None
    }

    /// Its vendor's list of the merchants that granted; `None` where there is none.
    fn grant_list(&self) -> Option<looks::GrantList> {
        None
    }

    /// How its vendor's other calls are passed on; `None` where they are not.
    fn proxy(&self) -> Option<&dyn proxy::Proxied> {
        None
    }
}

/// The components of a deployment by name.
#[derive(Clone, Default)]
pub struct Components(Vec<Arc<dyn Component>>);

impl Components {
    /// A registry of these, in the order of the configuration. Names are unique: the configuration has seen to it.
    #[must_use]
    pub fn new(components: Vec<Arc<dyn Component>>) -> Self {
        Self(components)
    }

    /// The component of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<dyn Component>> {
        self.0.iter().find(|component| component.name() == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Component>> {
        self.0.iter()
    }
}
