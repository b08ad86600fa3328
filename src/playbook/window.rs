//! A time of day in which a step may be begun: `22:00-06:00`, China time, over midnight where the end is before the beginning.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Timestamp;

const DAY: i64 = 24 * 3600;
/// China has one time zone and no summer time.
const CHINA: i64 = 8 * 3600;

/// Seconds of the day: from, until.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: i64,
    until: i64,
}

impl FromStr for Window {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, until) = text.split_once('-').ok_or(())?;
        let window = Self { from: seconds(from.trim()).ok_or(())?, until: seconds(until.trim()).ok_or(())? };
        if window.from == window.until { Err(()) } else { Ok(window) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from / 60, self.until / 60);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

fn seconds(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, most: i64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &i64| digits && *number <= most)
    };
    Some(number(hours, 23)? * 3600 + number(minutes, 59)? * 60)
}

impl Window {
    /// When it opens next; `None`: it is open.
    #[must_use]
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let since_midnight = now.as_second().saturating_add(CHINA).rem_euclid(DAY);
        let open = if self.from < self.until {
            (self.from..self.until).contains(&since_midnight)
        } else {
            since_midnight >= self.from || since_midnight < self.until
        };
        if open {
            return None;
        }
        let wait = u64::try_from((self.from - since_midnight).rem_euclid(DAY)).unwrap_or_default();
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Some(crate::fanout::schedule::later(whole, Duration::from_secs(wait)))
    }
}
