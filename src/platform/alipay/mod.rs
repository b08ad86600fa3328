//! Alipay (支付宝).

use std::sync::Arc;

use super::{Component, Platform, Title, Twin};
use crate::settings::{Problem, Settings};

/// The platform.
#[derive(Debug, Clone, Copy)]
pub struct Alipay;

impl Platform for Alipay {
    fn name(&self) -> &'static str {
        "alipay"
    }

    fn title(&self) -> Title {
        Title { zh: "支付宝", en: "Alipay" }
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
