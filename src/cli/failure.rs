//! Why a command did not do what was asked, and how people are told: message, causes, hint.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::settings::Problem;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong.
    Configuration {
        /// The file, where there is one.
        file: Option<PathBuf>,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
    /// The command was used wrongly.
    Usage {
        /// What was wrong.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// It was tried and did not work.
    Failed(anyhow::Error),
    /// Ctrl-C, or SIGTERM as supervisors send it.
    Interrupted,
    /// Whoever read our output went away (`| head`): nobody is left to be told.
    ReaderGone,
    /// Told already, as data; ends with this exit code.
    Told(u8),
}

impl Failure {
    /// Wrong use, with what to do instead.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// 0 done, 1 failed, 2 wrong use or configuration, whoever notices: what is tried again on 1 would be tried for ever.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration { .. } | Self::Usage { .. } => 2,
            Self::Failed(error) if is_wrong_use(error) => 2,
            Self::Failed(_) | Self::Interrupted => 1,
            Self::ReaderGone => 0,
            Self::Told(code) => *code,
        }
    }

    /// Tells it on standard error.
    pub fn tell(&self) {
        let text = self.text();
        if !text.is_empty() {
            // Standard error is the last place to complain: when that fails there is no other.
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Configuration { file, problems } => {
                let file = file.as_ref().map(|file| file.display().to_string());
                let mut text = problems.iter().map(|problem| problem_text(file.as_deref(), problem)).collect::<String>();
                let _ = match problems.len() {
                    1 => writeln!(text, "error: the configuration has a problem"),
                    many => writeln!(text, "error: the configuration has {many} problems"),
                };
                text
            }
            Self::Usage { message, hint } => format!("error: {message}\n{}", hint_text(hint)),
            Self::Failed(error) => {
                let mut text = format!("error: {error}\n");
                for cause in error.chain().skip(1) {
                    let _ = writeln!(text, "  because: {cause}");
                }
                text.push_str(&hint_text(hint_of(error)));
                text
            }
            Self::Interrupted => String::from("interrupted\n"),
            Self::ReaderGone | Self::Told(_) => String::new(),
        }
    }
}

fn hint_text(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("hint: {hint}\n") }
}

/// One problem of the configuration: where, what, and on its own line what to do.
pub fn problem_text(file: Option<&str>, problem: &Problem) -> String {
    let place = match (file, problem.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        _ => String::new(),
    };
    let hint = if problem.hint.is_empty() { String::new() } else { format!("  {}\n", hint_text(&problem.hint).trim_end()) };
    format!("{place}`{}` {}\n{hint}", problem.at, problem.message)
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

/// An error that knows what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hinted {
    message: String,
    hint: String,
    /// Whether the same may work later without anybody doing anything.
    temporary: bool,
    /// Status of the answer that said so.
    status: Option<u16>,
}

impl Hinted {
    /// An answer of that status said so.
    pub fn answered(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same may work later.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }
}

/// An error with what to do next.
pub fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Hinted {
    Hinted { message: message.into(), hint: hint.into(), temporary: false, status: None }
}

/// Whether it is about the one thing that was named: it is not there, or not as it must be. What is asked of another one may work.
pub fn is_of_one(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Hinted>().is_some_and(|hinted| matches!(hinted.status, Some(404 | 409 | 410)))
}

/// Whether the service holds what it was sent for wrong.
pub fn is_invalid(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Hinted>().is_some_and(|hinted| hinted.status == Some(422))
}

/// What to do next, where the error knows.
pub fn hint_of(error: &anyhow::Error) -> &str {
    error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()).map_or("", |hinted| &hinted.hint)
}

/// Whether the service would not take it as it was asked.
fn is_wrong_use(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Hinted>().is_some_and(|hinted| matches!(hinted.status, Some(400 | 422)))
}

/// Whether the same may work later.
pub fn is_temporary(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Hinted>().is_some_and(|hinted| hinted.temporary)
}
