//! `yizhan call`: an operation of a platform, with its parameters as `name=value`.
//!
//! Values are read by the schema that the service gives for the row; whether they fit is the service's to say, before it sends anything.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::client::{ANOTHER_SERVICE, Query, Remote};
use super::failure::{Failure, hinted};
use super::table::Table;
use super::terminal::{Look, Terminal};
use crate::operations::text;

/// Carry out an operation: yizhan call COMPONENT [AUTHORIZER] OPERATION [NAME=VALUE]…
#[derive(Debug, clap::Args)]
pub struct Call {
    /// Component name.
    component: String,
    /// App id of an authorizer (where the operation acts for one), the operation, and its parameters as name=value. Lists are separated by
    /// commas or written as JSON, objects as JSON.
    #[arg(value_name = "[AUTHORIZER] OPERATION [NAME=VALUE]")]
    words: Vec<String>,
    /// A parameter that is a file.
    #[arg(long = "file", value_name = "NAME=PATH")]
    files: Vec<String>,
    /// Write the file that the operation answers with here.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// List the operations of the component.
    #[arg(long)]
    list: bool,
    /// Print the operation's parameters with an example instead of calling it.
    #[arg(long)]
    example: bool,
    /// A key under which the service carries this call out only once within 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// What the words say.
struct Asked<'a> {
    authorizer: Option<&'a str>,
    operation: &'a str,
    values: Vec<(&'a str, &'a str)>,
}

impl Call {
    /// Calls it.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let asked = match (self.list, self.words.is_empty()) {
            (true, true) => None,
            (true, false) => return Err(Failure::usage("--list stands alone", "yizhan call COMPONENT --list")),
            (false, _) => Some(read(&self.words)?),
        };
        let client = self.remote.client()?;
        let query: Query = vec![("component", self.component.clone())];
        let page = client.get(&["v1", "operations"], &query).await?;
        let rows = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let Some(asked) = asked else { return list(terminal, rows) };
        let Some(row) = rows.iter().find(|row| text_of(row, "operation") == asked.operation) else {
            let hint = format!("yizhan call {} --list", self.component);
            return Err(Failure::usage(format!("`{}` has no operation `{}`", self.component, asked.operation), hint));
        };
        if self.example {
            return example(terminal, &self.component, row);
        }
        let params = params(row, &asked, &self.files)?;
        check_address(row, &asked)?;
        let path: Vec<&str> = match asked.authorizer {
            Some(authorizer) => vec!["v1", "components", &self.component, "authorizers", authorizer, "operations", asked.operation],
            None => vec!["v1", "components", &self.component, "operations", asked.operation],
        };
        let answers_file = text_of(row, "answers") == "file" && !terminal.json;
        if answers_file && self.output.is_none() && io::stdout().is_terminal() {
            return Err(Failure::usage("this operation answers with a file", "say --output FILE, or redirect the output"));
        }
        let accept = if answers_file { "*/*" } else { "application/json" };
        let mut headers = vec![("accept", accept)];
        headers.extend(self.idempotency_key.as_deref().map(|key| ("idempotency-key", key)));
        let (content_type, body) = client.post_any(&path, &Value::Object(params), &headers).await?;
        if content_type.starts_with("application/json") {
            let answer = serde_json::from_slice(&body).ok().filter(Value::is_object);
            let answer = answer.ok_or_else(|| another("the answer is not a JSON object"))?;
            return tell(terminal, &answer, self.output.as_deref());
        }
        // Somebody else's page, a proxy's for one, must not pass for what the service has carried out.
        if !answers_file {
            return Err(another("the answer is not a JSON object").into());
        }
        if content_type.to_ascii_lowercase().starts_with("text/html") {
            return Err(another("the answer is a page, not a file").into());
        }
        save(terminal, &body, self.output.as_deref())
    }
}

/// What somebody else answered.
fn another(what: &str) -> anyhow::Error {
    hinted(what, ANOTHER_SERVICE).into()
}

/// The words before the first `name=value` name the operation.
fn read(words: &[String]) -> Result<Asked<'_>, Failure> {
    let split = words.iter().position(|word| word.contains('=')).unwrap_or(words.len());
    let (names, values) = words.split_at(split);
    let (authorizer, operation) = match names {
        [operation] => (None, operation.as_str()),
        [authorizer, operation] => (Some(authorizer.as_str()), operation.as_str()),
        _ => {
            return Err(Failure::usage(
                "which operation?",
                "yizhan call COMPONENT [AUTHORIZER] OPERATION [NAME=VALUE]…; --list shows the operations",
            ));
        }
    };
    let values = values.iter().map(|word| {
        word.split_once('=').ok_or_else(|| Failure::usage(format!("`{word}` is no parameter"), "write parameters as name=value"))
    });
    Ok(Asked { authorizer, operation, values: values.collect::<Result<_, _>>()? })
}

fn text_of<'a>(row: &'a Value, member: &str) -> &'a str {
    row.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Parameters as the service takes them. Unknown names are passed on: the service names all mistakes at once.
fn params(row: &Value, asked: &Asked<'_>, files: &[String]) -> Result<Map<String, Value>, Failure> {
    let schema = |name: &str| row.pointer("/parameters/properties").and_then(|all| all.get(name)).cloned().unwrap_or_default();
    let mut params = Map::new();
    for (name, value) in &asked.values {
        let schema = schema(name);
        if text::is_file(&schema) {
            return Err(Failure::usage(format!("`{name}` is a file"), format!("say --file {name}=PATH")));
        }
        if params.insert((*name).to_owned(), text::value(&schema, value)).is_some() {
            return Err(Failure::usage(format!("`{name}` is given twice"), "lists are separated by commas"));
        }
    }
    for file in files {
        let usage = || Failure::usage(format!("--file {file}: not a name and a path"), "write --file icon=logo.png");
        let (name, path) = file.split_once('=').ok_or_else(usage)?;
        let content = std::fs::read(path).with_context(|| format!("{path} cannot be read"))?;
        let file_name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("file");
        if params.insert(name.to_owned(), text::file(file_name, &content)).is_some() {
            return Err(Failure::usage(format!("`{name}` is given twice"), "one file for each parameter"));
        }
    }
    Ok(params)
}

fn check_address(row: &Value, asked: &Asked<'_>) -> Result<(), Failure> {
    match (text_of(row, "token"), asked.authorizer) {
        ("authorizer", None) => Err(Failure::usage(
            format!("`{}` acts for a merchant", asked.operation),
            "name its app id: yizhan call COMPONENT AUTHORIZER OPERATION; `yizhan authorizers COMPONENT` lists them",
        )),
        ("component", Some(_)) => {
            Err(Failure::usage(format!("`{}` acts for the component itself", asked.operation), "leave the authorizer out"))
        }
        _ => Ok(()),
    }
}

/// Optional parameters that the list names.
const MOST_OPTIONAL: usize = 5;

fn list(terminal: &Terminal, rows: Vec<Value>) -> Result<(), Failure> {
    if terminal.json {
        terminal.json(&rows)?;
        return Ok(());
    }
    let mut table = Table::new(&["OPERATION", "TOKEN", "PARAMETERS", "WHAT IT DOES"]);
    for row in &rows {
        let required: Vec<&str> =
            row.pointer("/parameters/required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let names = row.pointer("/parameters/properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name);
        // What is optional may be much: a line stays a line, `--example` has everything.
        let (needed, optional): (Vec<&String>, Vec<&String>) = names.partition(|name| required.contains(&name.as_str()));
        let mut names: Vec<String> = needed.into_iter().cloned().collect();
        names.extend(optional.iter().take(MOST_OPTIONAL).map(|name| format!("[{name}]")));
        if let Some(more) = optional.len().checked_sub(MOST_OPTIONAL).filter(|more| *more > 0) {
            names.push(format!("[{more} more]"));
        }
        let off = if row.get("enabled") == Some(&Value::Bool(false)) { " (off)" } else { "" };
        let title = format!(
            "{} · {}{off}",
            row.pointer("/title/zh").and_then(Value::as_str).unwrap_or_default(),
            row.pointer("/title/en").and_then(Value::as_str).unwrap_or_default()
        );
        table.row([text_of(row, "operation").to_owned(), text_of(row, "token").to_owned(), names.join(" "), title]);
    }
    table.print(terminal)?;
    Ok(())
}

fn example(terminal: &Terminal, component: &str, row: &Value) -> Result<(), Failure> {
    let example = row.get("example").cloned().unwrap_or_default();
    terminal.document(&example)?;
    let authorizer = if text_of(row, "token") == "authorizer" { " AUTHORIZER" } else { "" };
    let mut line = format!("yizhan call {component}{authorizer} {}", text_of(row, "operation"));
    for (name, value) in example.as_object().into_iter().flatten() {
        match value.get("file_name").and_then(Value::as_str) {
            Some(file) => line.push_str(&format!(" --file {name}={}", quoted(file))),
            None => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                line.push_str(&format!(" {}", quoted(&format!("{name}={text}"))));
            }
        }
    }
    terminal.say(terminal.paint_talk(Look::Faint, &line));
    if let Some(settings) = row.get("settings").and_then(Value::as_str) {
        terminal.say(terminal.paint_talk(Look::Warning, "switched off; to switch it on:"));
        terminal.say(settings);
    }
    Ok(())
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || "=._-/:,@+".contains(c));
    if is_plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn tell(terminal: &Terminal, answer: &Value, output: Option<&Path>) -> Result<(), Failure> {
    let content = answer.pointer("/file/content_base64").and_then(Value::as_str);
    if let (Some(content), Some(_)) = (content, output) {
        use base64::Engine;
        let content = base64::engine::general_purpose::STANDARD.decode(content).context("the file in the answer is not base64")?;
        return save(terminal, &content, output);
    }
    if output.is_some() {
        terminal.say("the operation gave no file; nothing was written");
    }
    // People read the result; programs get the vendor's answer too.
    let shown = if terminal.json { answer } else { answer.get("result").filter(|result| !result.is_null()).unwrap_or(answer) };
    terminal.document(shown)?;
    Ok(())
}

fn save(terminal: &Terminal, content: &[u8], output: Option<&Path>) -> Result<(), Failure> {
    match output {
        Some(path) => {
            std::fs::write(path, content)
                .map_err(|error| hinted(format!("{} cannot be written: {error}", path.display()), "choose another --output"))
                .map_err(anyhow::Error::from)?;
            terminal.say(format!("{} bytes written to {}", content.len(), path.display()));
        }
        None => io::stdout().lock().write_all(content)?,
    }
    Ok(())
}
