//! What is valid and yet probably not meant. Shown by `yizhan check` and at start; never a reason to refuse.

use url::{Host, Url};

use super::Config;
use crate::settings::Problem;

impl Config {
    /// Settings that a person should look at again.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings = Vec::new();
        let mut warn = |at: &str, message: &str, hint: &str| {
            warnings.push(Problem { at: at.to_owned(), line: None, message: message.to_owned(), hint: hint.to_owned() });
        };
        if self.components.iter().next().is_none() {
            warn("components", "there are none, so no push is accepted", "add the applications that you registered as [[components]]");
        } else if let Ok(url) = Url::parse(&self.server.public_url) {
            if is_local(&url) {
                let hint = "write the https address that your reverse proxy serves";
                warn("server.public_url", "is an address of this machine, where platforms cannot reach it", hint);
            } else if url.scheme() != "https" {
                warn("server.public_url", "is not https, which platforms and browsers expect", "write an https address");
            }
        }
        if self.api_keys.is_empty() {
            warn("api_keys", "there are none, so nobody can use the service API", "`yizhan keys new` makes a key and prints the lines");
        }
        warnings
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
