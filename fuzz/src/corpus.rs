//! The committed inputs and the fixtures that they are made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use yizhan::clock::Timestamp;
use yizhan::platform::{self, Component, Door, Platform, RawPush, capture};
use yizhan::settings::{Settings, Surroundings};

/// The moment at which everything happens here.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_795_158_245).expect("a moment of 2026")
}

/// The project's folder: this crate's own, or the one above it.
fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.join("fixtures").is_dir() { here.to_owned() } else { here.parent().expect("a folder above").to_owned() }
}

/// The folder of the fixtures.
pub fn fixtures() -> PathBuf {
    project().join("fixtures")
}

/// The inputs of one target, in the order of their names.
pub fn inputs(target: &str) -> Vec<Vec<u8>> {
    files(&folder(target)).iter().map(|file| fs::read(file).expect("a file of the corpus")).collect()
}

/// Where the inputs of one target lie.
pub fn folder(target: &str) -> PathBuf {
    project().join("fuzz/corpus").join(target)
}

/// The files of a folder by name; none where it is missing.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// A component as one or more fixtures want it.
pub struct Subject {
    /// The component.
    pub component: Arc<dyn Component>,
    /// Its settings.
    pub settings: Value,
    /// The pushes that its vendor sealed for it, by the fixture's name.
    pub pushes: Vec<(String, RawPush)>,
}

impl Subject {
    /// One setting's text.
    pub fn setting(&self, name: &str) -> &str {
        self.settings[name].as_str().unwrap_or_default()
    }
}

/// The components of a platform's fixtures: one for each kind of settings, in the order of the files.
pub fn subjects(platform: &'static str) -> &'static [Subject] {
    static ALL: OnceLock<Vec<(&'static str, Vec<Subject>)>> = OnceLock::new();
    let all = ALL.get_or_init(|| platform::ALL.iter().map(|platform| (platform.name(), read(*platform))).collect());
    all.iter().find(|(name, _)| *name == platform).map(|(_, subjects)| subjects.as_slice()).expect("a platform")
}

/// A component of these settings (TOML).
pub fn component(platform: &'static dyn Platform, text: &str) -> Option<Arc<dyn Component>> {
    platform.component("shop", Settings::parse(text, Surroundings::default()).ok()?).ok()
}

fn read(platform: &'static dyn Platform) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    for file in files(&fixtures().join(platform.name()).join("push")) {
        let fixture: Value = serde_json::from_slice(&fs::read(&file).expect("a fixture")).expect("JSON");
        // Settings are TOML, as a text or as the members of its table.
        let settings: Value = match &fixture["settings"] {
            Value::String(text) => toml::from_str(text).expect("TOML"),
            members => members.clone(),
        };
        let raw = capture::read(fixture["request"].to_string().as_bytes(), None, &[], now()).expect("a captured push");
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(subject) = subjects.iter_mut().find(|subject| subject.settings == settings) {
            subject.pushes.push((name, raw));
            continue;
        }
        let component = component(platform, &toml::to_string(&settings).expect("TOML")).expect("the settings of a fixture");
        subjects.push(Subject { component, settings, pushes: vec![(name, raw)] });
    }
    subjects
}

/// A push as an input: `0 m POST query`, the headers, an empty line, the body.
pub fn written(subject: usize, raw: &RawPush) -> Vec<u8> {
    let door = if raw.door == Door::Message { 'm' } else { 'a' };
    let method = if raw.is_get { "GET" } else { "POST" };
    let mut input = format!("{} {door} {method} {}\n", subject % 10, raw.query).into_bytes();
    for (name, value) in &raw.headers {
        input.extend_from_slice(name.as_bytes());
        input.extend_from_slice(b": ");
        input.extend_from_slice(value);
        input.push(b'\n');
    }
    input.push(b'\n');
    input.extend_from_slice(&raw.body);
    input
}

/// The subject and the push of an input. Everything is a push of somebody: what is left out is empty.
pub fn parsed<'s>(subjects: &'s [Subject], input: &[u8]) -> (&'s Subject, RawPush) {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(end);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next().unwrap_or_default().splitn(4, |byte| *byte == b' ');
    let number = usize::from(first.next().and_then(|word| word.first()).copied().unwrap_or_default());
    let subject = &subjects[number.saturating_sub(usize::from(b'0')) % subjects.len()];
    let door = if first.next() == Some(b"a") { Door::Authorization } else { Door::Message };
    let is_get = first.next() == Some(b"GET");
    let query = String::from_utf8_lossy(first.next().unwrap_or_default()).into_owned();
    let header = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value.get(1..)?.trim_ascii().to_vec()))
    };
    let headers = lines.filter_map(header).collect();
    let body = body.get(2..).unwrap_or_default().to_vec().into();
    (subject, RawPush { door, is_get, headers, query, body, received_at: now() })
}
