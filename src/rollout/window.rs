//! The hours of a day in which a rollout releases: `22:00-06:00`, China time.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::tz::TimeZone;

use crate::clock::{CHINA, Timestamp};

const DAY: u32 = 24 * 60;

/// From one minute of the day until another; over midnight where the end is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: u32,
    until: u32,
}

/// It is not written as a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not two different times of the day, as in 22:00-06:00 (China time)")]
pub struct NoWindow;

impl FromStr for Window {
    type Err = NoWindow;
    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (from, until) = text.split_once('-').ok_or(NoWindow)?;
        let (from, until) = (minute(from)?, minute(until)?);
        if from == until { Err(NoWindow) } else { Ok(Self { from, until }) }
    }
}

fn minute(text: &str) -> Result<u32, NoWindow> {
    let (hour, minute) = text.trim().split_once(':').ok_or(NoWindow)?;
    let number = |text: &str, below: u32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| digits && *number < below).ok_or(NoWindow)
    };
    Ok(number(hour, 24)? * 60 + number(minute, 60)?)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl serde::Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Window {
    /// Whether it is open at that moment.
    #[must_use]
    pub fn is_open(self, now: Timestamp) -> bool {
        let local = CHINA.to_datetime(now);
        let minute = u32::from(local.hour().unsigned_abs()) * 60 + u32::from(local.minute().unsigned_abs());
        // Minutes since it opened, in a day that begins with its opening.
        (minute + DAY - self.from) % DAY < (self.until + DAY - self.from) % DAY
    }

    /// When it opens next; that moment itself when it is open.
    #[must_use]
    pub fn opens(self, now: Timestamp) -> Timestamp {
        if self.is_open(now) {
            return now;
        }
        let local = CHINA.to_datetime(now);
        let (hour, minute) = (i8::try_from(self.from / 60).unwrap_or_default(), i8::try_from(self.from % 60).unwrap_or_default());
        let today = local.date().at(hour, minute, 0, 0);
        let at = if today > local { Some(today) } else { today.checked_add(1.day()).ok() };
        at.and_then(|at| TimeZone::fixed(CHINA).to_timestamp(at).ok()).unwrap_or(now)
    }
}
