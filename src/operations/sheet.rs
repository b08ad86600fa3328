//! Every platform's rows as they are without anybody's settings: what the documents, OpenAPI and offline commands are written from.

use crate::platform::operation::Operation;
use crate::platform::{self, Platform};
use crate::settings::{Settings, Surroundings};

/// One platform with its rows.
pub struct Sheet {
    /// The platform.
    pub platform: &'static dyn Platform,
    /// Its rows; some are switched off until they are configured.
    pub rows: Vec<Operation>,
}

/// All of them, made from the platforms' sample settings.
#[must_use]
pub fn all() -> Vec<Sheet> {
    platform::ALL.iter().copied().map(|platform| Sheet { platform, rows: rows(platform) }).collect()
}

fn rows(platform: &'static dyn Platform) -> Vec<Operation> {
    let sample = platform.sample_settings("https://vendor.example");
    let settings = Settings::parse(&sample, Surroundings::default()).ok();
    // Samples are valid: a test over all platforms reads them.
    let component = settings.and_then(|settings| platform.component("sample", settings).ok());
    component.map(|component| component.operations().operations().to_vec()).unwrap_or_default()
}
