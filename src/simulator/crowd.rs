//! Many merchants at once: each grants as one alone would, with a push of its own.

use futures_util::{StreamExt as _, stream};

use super::{Simulator, SimulatorError};

/// The first characters of made-up app ids, in the shape that each vendor's have; six digits follow.
const PREFIXES: &[(&str, &str)] = &[("baidu", "20"), ("douyin", "tt0000000001"), ("kuaishou", "ks700000000001"), ("alipay", "2021000001")];

/// Grants under way at the same time.
const AT_ONCE: usize = 16;

/// Merchants that granted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Crowd {
    /// Their mini programs, in order.
    pub app_ids: Vec<String>,
    /// Grants that the provider acknowledged.
    pub acknowledged: usize,
}

/// App ids of a crowd: `prefix`, or one that fits the vendor, and a number from 1 on.
#[must_use]
pub fn app_ids(platform: &str, count: u32, prefix: Option<&str>) -> Vec<String> {
    let fitting = PREFIXES.iter().find(|(name, _)| *name == platform).map_or("merchant", |(_, prefix)| *prefix);
    let prefix = prefix.unwrap_or(fitting);
    (1..=count).map(|number| format!("{prefix}{number:06}")).collect()
}

impl Simulator {
    /// So many merchants grant. Those of an earlier crowd with the same prefix grant again.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn crowd(&self, platform: &str, count: u32, prefix: Option<&str>) -> Result<Crowd, SimulatorError> {
        let app_ids = app_ids(platform, count, prefix);
        let granted: Vec<_> = stream::iter(&app_ids).map(|app_id| self.grant(platform, app_id)).buffered(AT_ONCE).collect().await;
        let mut acknowledged = 0;
        for grant in granted {
            let (_, answered) = grant?;
            acknowledged += usize::from(answered.is_none_or(|answered| answered.acknowledged));
        }
        Ok(Crowd { app_ids, acknowledged })
    }
}
