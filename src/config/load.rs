//! From text to [`Config`]: the user's file, the environment over it, the compiled-in defaults beneath.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, api_keys, components, include, playbooks, robots, sections, subscriptions};
use crate::outbound::Guard;
use crate::platform::Components;
use crate::settings::{Node, Problem, Settings, Surroundings, WHOLE};

/// Every setting, commented, with its default: `deploy/yizhan.toml` itself.
pub const DEFAULTS: &str = include_str!("../../deploy/yizhan.toml");

/// Environment variables that override a setting begin with this; each further `__` is one level deeper.
const PREFIX: &str = "YIZHAN__";

/// Lists of tables with names: the environment overrides their members and adds none.
const LISTS: [&str; 5] = ["api_keys", "components", "subscriptions", "robots", "playbooks"];

impl Config {
    /// Reads a file, or only defaults and environment when there is none. Relative paths start at the file's folder.
    ///
    /// # Errors
    /// Every problem, each with its line where it has one; a file that cannot be read is one.
    pub fn load(file: Option<&Path>, variables: BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let text = match file.map(text).transpose() {
            Ok(text) => text.unwrap_or_default(),
            Err(unread) => {
                let at = file.unwrap_or(Path::new(WHOLE)).display().to_string();
                return Err(vec![match unread {
                    Unread::Foreign { line } => {
                        Problem { at, line: Some(line), message: String::from(FOREIGN), hint: String::from(FOREIGN_HINT) }
                    }
                    Unread::Failed(error) => Problem {
                        at,
                        line: None,
                        message: format!("cannot be read: {error}"),
                        hint: String::from("check the path and who may read it; `yizhan init` writes a new file"),
                    },
                }]);
            }
        };
        let folder = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, Surroundings { folder, variables: Arc::new(variables) })
            .map_err(|problems| problems.into_iter().map(|problem| of_file(problem, file)).collect())
    }

    /// The store's folder alone, whatever else is wrong, so that it can be looked at all the same. `None` where it is not said.
    #[must_use]
    pub fn store_folder(file: Option<&Path>, variables: BTreeMap<String, String>) -> Option<PathBuf> {
        let text = file.map(text).transpose().ok()?.unwrap_or_default();
        let folder = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let mut root = root(&text, &Surroundings { folder, variables: Arc::new(variables) }).ok()?;
        sections::store_path(&mut root.table("store"))
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// Every problem. A text that is not TOML has only that one.
    pub fn parse(text: &str, surroundings: Surroundings) -> Result<Self, Vec<Problem>> {
        let mut root = root(text, &surroundings).map_err(|problem| vec![problem])?;
        let server = sections::server(&mut root);
        let store = sections::store(&mut root);
        let fanout = sections::fanout(&mut root);
        let rollout = sections::rollout(&mut root);
        let reconcile = sections::reconcile(&mut root, store.as_ref());
        let log = sections::log(&mut root);
        let (components, names) = components::read(&mut root);
        let api_keys = api_keys::read(&mut root, &names);
        let subscriptions = subscriptions::read(&mut root, &names, &fanout);
        let mut included = include::read(&mut root, &surroundings);
        let guard = Guard::allowing(&fanout.allow_private);
        let mut robots = robots::read(&mut root, &guard, &[]);
        for file in &mut included {
            robots.extend(robots::read(&mut file.settings, &guard, &robots));
        }
        let called: Vec<String> = robots.iter().map(|robot| robot.name.clone()).collect();
        let mut around = playbooks::Around { names: &names, components: &components, robots: &called, taken: BTreeSet::new() };
        around.taken.extend(subscriptions.iter().map(|one| one.name.clone()));
        let mut playbooks = playbooks::read(&mut root, &mut around);
        for mut file in included {
            playbooks.extend(playbooks::read(&mut file.settings, &mut around));
            root.problems(file.finish());
        }

        let problems = root.finish();
        match (server, store, log) {
            (Some(server), Some(store), Some(log)) if problems.is_empty() => Ok(Self {
                server,
                store,
                fanout,
                rollout,
                reconcile,
                log,
                api_keys,
                components: Components::new(components),
                subscriptions,
                robots,
                playbooks,
            }),
            _ => {
                let mut problems: Vec<Problem> =
                    problems.into_iter().map(|problem| with_variable(problem, &surroundings.variables)).collect();
                problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
                Err(problems)
            }
        }
    }
}

/// What is wrong with a file in another encoding than UTF-8: no text of it may be told, it may be in the middle of a secret.
pub(super) const FOREIGN: &str = "is not UTF-8";
/// What to do about it.
pub(super) const FOREIGN_HINT: &str = "save it as UTF-8; `iconv -f GBK -t UTF-8` turns a file in GBK into it";

/// Why a file has no text.
pub(super) enum Unread {
    /// It is in another encoding than UTF-8, from that line on.
    Foreign { line: usize },
    /// It cannot be read.
    Failed(std::io::Error),
}

/// The text of a file.
pub(super) fn text(file: &Path) -> Result<String, Unread> {
    let bytes = std::fs::read(file).map_err(Unread::Failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        Unread::Foreign { line: 1 + before.filter(|byte| **byte == b'\n').count() }
    })
}

/// The text's settings, the environment's over them, the defaults beneath.
fn root(text: &str, surroundings: &Surroundings) -> Result<Settings, Problem> {
    let mut root = Settings::parse(text, surroundings.clone())?;
    override_from(&surroundings.variables, &mut root);
    root.fill_from(Settings::parse(DEFAULTS, surroundings.clone())?);
    Ok(root)
}

/// A problem of a whole text by the name of its file.
pub(super) fn of_file(problem: Problem, file: Option<&Path>) -> Problem {
    match file {
        Some(file) if problem.at == WHOLE => Problem { at: file.display().to_string(), ..problem },
        _ => problem,
    }
}

/// `YIZHAN__SERVER__LISTEN=…` becomes `listen` of `[server]`.
fn override_from(variables: &BTreeMap<String, String>, root: &mut Settings) {
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let of_nothing = path.first().is_some_and(|section| LISTS.contains(&section.as_str()) && !root.has(section));
        let found = !of_nothing && !path.iter().any(String::is_empty) && root.set(&path, Node::Text(value.clone()));
        if !found {
            root.problems([Problem {
                at: variable.clone(),
                line: None,
                message: String::from("names nothing that the configuration has"),
                hint: String::from("write YIZHAN__SECTION__KEY, or YIZHAN__COMPONENTS__NAME__KEY for a component of the file"),
            }]);
        }
    }
}

/// Says where a value without a line came from, when that was the environment.
fn with_variable(mut problem: Problem, variables: &BTreeMap<String, String>) -> Problem {
    let variable = format!("{PREFIX}{}", problem.at.replace('.', "__").replace('-', "_").to_ascii_uppercase());
    if problem.line.is_none() && variables.contains_key(&variable) {
        problem.message = format!("{} (set by {variable})", problem.message);
    }
    problem
}
