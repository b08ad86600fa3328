//! `include`: further files that hold playbooks and robots, such as those of `deploy/playbooks/`.

use std::path::{Path, PathBuf};

use super::load::{self, FOREIGN, FOREIGN_HINT, Unread, of_file};
use crate::settings::{Problem, Settings, Surroundings};

/// One included file.
pub(super) struct Included {
    /// What it says.
    pub settings: Settings,
    /// Its path, for problems.
    path: PathBuf,
}

/// Reads the files that `include` names; relative paths start at the folder of the configuration.
pub(super) fn read(root: &mut Settings, surroundings: &Surroundings) -> Vec<Included> {
    let mut included = Vec::new();
    for name in root.texts("include") {
        let path = surroundings.folder.join(&name);
        match one(&path, surroundings) {
            Ok(file) => included.push(file),
            Err(problem) => root.problems([problem]),
        }
    }
    included
}

/// Reads one.
pub(super) fn one(path: &Path, surroundings: &Surroundings) -> Result<Included, Problem> {
    let text = load::text(path).map_err(|unread| match unread {
        Unread::Foreign { line } => {
            let (at, message, hint) = (path.display().to_string(), String::from(FOREIGN), String::from(FOREIGN_HINT));
            placed(Problem { at, line: Some(line), message, hint }, path)
        }
        Unread::Failed(error) => Problem {
            at: String::from("include"),
            line: None,
            message: format!("cannot read the file {}: {error}", path.display()),
            hint: String::from("check the path and who may read it"),
        },
    })?;
    // Files that it names lie beside it.
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let surroundings = Surroundings { folder, variables: surroundings.variables.clone() };
    match Settings::parse(&text, surroundings) {
        Ok(settings) => Ok(Included { settings, path: path.to_owned() }),
        Err(problem) => Err(placed(of_file(problem, Some(path)), path)),
    }
}

impl Included {
    /// Ends reading: every problem, with the file.
    pub fn finish(self) -> Vec<Problem> {
        self.settings.finish().into_iter().map(|problem| placed(problem, &self.path)).collect()
    }
}

/// A line of another file is told in words: the number alone would point into the configuration itself.
fn placed(problem: Problem, path: &Path) -> Problem {
    let line = problem.line.map(|line| format!(", line {line}")).unwrap_or_default();
    Problem { message: format!("{} ({}{line})", problem.message, path.display()), line: None, ..problem }
}
