//! `[[robots]]` of the file: robots of chat groups that playbooks speak through.

use std::collections::BTreeSet;

use url::{Host, Url};

use crate::outbound::Guard;
use crate::robot::{Kind, Language, Robot};
use crate::settings::Settings;

const KINDS: [Kind; 3] = [Kind::DingTalk, Kind::Feishu, Kind::WeCom];
const HINT: &str = "copy the whole address from the group's settings";

/// Reads all of them; `before` were read from other files.
pub(super) fn read(root: &mut Settings, guard: &Guard, before: &[Robot]) -> Vec<Robot> {
    let mut robots = Vec::new();
    let mut names: BTreeSet<String> = before.iter().map(|robot| robot.name.clone()).collect();
    for mut table in root.tables("robots") {
        let name = table.text("name").unwrap_or_default();
        if !name.is_empty() {
            table.rename(&format!("robots.{name}"));
            if name.len() > 64 || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                table.problem("name", "is no name", "write 1 to 64 letters, digits, -, _ or .");
            }
            if !names.insert(name.clone()) {
                table.problem("name", "is the name of another robot too", "give each a name of its own");
            }
        }
        // A word that no kind has is told, also where the key is missing.
        let word = table.choice_or("kind", "", &KINDS.map(Kind::as_str)).to_owned();
        let kind = KINDS.into_iter().find(|kind| kind.as_str() == word);
        if kind.is_none() && !table.is_faulty("kind") {
            table.problem("kind", "is missing", format!("write one of: {}", KINDS.map(Kind::as_str).join(", ")));
        }
        let url = table.secret("url").unwrap_or_default();
        if let (Some(kind), false) = (kind, table.is_faulty("url"))
            && let Some(why) = objection(kind, url.expose(), guard)
        {
            table.problem("url", why, HINT);
        }
        let secret = table.optional_secret("secret");
        if secret.is_some() && matches!(kind, Some(Kind::WeCom)) {
            table.problem("secret", "is nothing that robots of WeCom have", "take the key out");
        }
        let language = match table.choice_or("language", "zh", &["zh", "en"]) {
            "en" => Language::English,
            _ => Language::Chinese,
        };
        root.problems(table.finish());
        robots.extend(kind.map(|kind| Robot { name, kind, url, secret, language }));
    }
    robots
}

/// What is wrong with an address; its text is never repeated, for it is a secret.
fn objection(kind: Kind, text: &str, guard: &Guard) -> Option<String> {
    let url = match guard.url(text) {
        Ok(url) => url,
        Err(why) => return Some(why.to_string()),
    };
    // Over plain HTTP everybody on the way reads the token; only what the guard lets through as our own network may do so.
    let is_ours = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) || url.host_str() == Some("localhost");
    if url.scheme() != "https" && !is_ours {
        return Some(String::from("is not https"));
    }
    let has = |name: &str| url.query_pairs().any(|(given, value)| given == name && !value.is_empty());
    let lacks = |wanted: &str| Some(format!("holds no {wanted}"));
    match kind {
        Kind::DingTalk if !has("access_token") => lacks("access_token"),
        Kind::WeCom if !has("key") => lacks("key"),
        Kind::Feishu if is_bare(&url) => lacks("token at its end (/open-apis/bot/v2/hook/…)"),
        _ => None,
    }
}

fn is_bare(url: &Url) -> bool {
    url.path_segments().and_then(|mut segments| segments.next_back()).is_none_or(str::is_empty)
}
