//! Figures: what a slice took, slices of service and ceiling side by side, and their ratio.

use std::time::Duration;

use serde_json::{Value, json};

/// What one slice took.
#[derive(Debug, Clone, Default)]
pub struct Timed {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Of each request.
    pub latencies: Vec<Duration>,
}

/// Several slices of the same thing.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Per second, of each slice.
    rates: Vec<f64>,
    latencies: Vec<Duration>,
    sorted: bool,
}

impl Figures {
    /// Adds a slice.
    pub fn add(&mut self, slice: Timed) {
        self.rates.push(per_second(slice.latencies.len(), slice.took));
        self.latencies.extend(slice.latencies);
        self.sorted = false;
    }

    /// Adds a slice of which only the number and the whole time are known.
    pub fn add_count(&mut self, count: usize, took: Duration) {
        self.rates.push(per_second(count, took));
    }

    /// How many per second: the median of the slices.
    #[must_use]
    pub fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    /// The time within which that many of a thousand were answered.
    pub fn within(&mut self, of_thousand: usize) -> Duration {
        if !self.sorted {
            self.latencies.sort_unstable();
            self.sorted = true;
        }
        let last = self.latencies.len().saturating_sub(1);
        let at = (self.latencies.len() * of_thousand).div_ceil(1000).saturating_sub(1).min(last);
        self.latencies.get(at).copied().unwrap_or_default()
    }

    /// Rate and latencies.
    pub fn json(&mut self) -> Value {
        let mut value = json!({ "per_second": rounded(self.rate(), 1) });
        if let (Some(members), false) = (value.as_object_mut(), self.latencies.is_empty()) {
            for (name, of_thousand) in [("p50_ms", 500), ("p99_ms", 990), ("p999_ms", 999)] {
                members.insert(name.to_owned(), json!(milliseconds(self.within(of_thousand))));
            }
        }
        value
    }
}

/// Slices of service and ceiling taken in turn, so that what else the machine does hits both.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// The service.
    pub service: Figures,
    /// What it is held against.
    pub ceiling: Figures,
}

impl Pair {
    /// The median of the ratios of neighbouring slices.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        median(
            self.service.rates.iter().zip(&self.ceiling.rates).map(|(service, ceiling)| service / ceiling.max(f64::MIN_POSITIVE)).collect(),
        )
    }

    /// The service's time in multiples of the ceiling's.
    pub fn times(&mut self, of_thousand: usize) -> f64 {
        self.service.within(of_thousand).as_secs_f64() / self.ceiling.within(of_thousand).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Both, and their ratio.
    pub fn json(&mut self) -> Value {
        json!({ "service": self.service.json(), "ceiling": self.ceiling.json(), "ratio": rounded(self.ratio(), 3) })
    }
}

/// The middle one; 0 of none.
#[must_use]
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = numbers.get(middle).copied().unwrap_or_default();
    if numbers.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|at| numbers.get(at)).copied().unwrap_or(upper);
    f64::midpoint(lower, upper)
}

/// How many per second.
#[must_use]
pub fn per_second(count: usize, took: Duration) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from) / took.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Milliseconds with three decimals.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1000.0, 3)
}

/// A number with so many decimals.
#[must_use]
pub fn rounded(number: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (number * factor).round() / factor
}

/// The nearest whole number; 0 of what is none.
#[must_use]
pub fn whole(number: f64) -> usize {
    // By way of its digits: a cast would be shorter and would hide what is out of range.
    format!("{number:.0}").parse().unwrap_or_default()
}
