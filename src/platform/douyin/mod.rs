//! Douyin (抖音).

use std::sync::Arc;

use super::{Component, Platform, Title, Twin};
use crate::settings::{Problem, Settings};

/// The platform.
#[derive(Debug, Clone, Copy)]
pub struct Douyin;

impl Platform for Douyin {
    fn name(&self) -> &'static str {
        "douyin"
    }

    fn title(&self) -> Title {
        Title { zh: "抖音", en: "Douyin" }
    }

    fn component(&self, _name: &str, _settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>> {
        Err(Vec::new())
    }

    fn sample_settings(&self, _vendor: &str) -> String {
        String::new()
    }

    fn twin(&self, _settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>> {
        Err(Vec::new())
    }
}
