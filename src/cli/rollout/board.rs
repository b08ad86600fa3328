//! What a person sees while a rollout is watched: a bar, counts, pace, estimated end, newest failures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::progress::Progress;
use crate::cli::events::list::text;

/// Pace is measured over this long.
const MEMORY: Duration = Duration::from_secs(120);
/// Characters of the bar.
const BAR: u64 = 30;

/// How many had gone through it when. Those who fail or are left out are done in no time, many of them at the very beginning: they would
/// promise an end that audits do not keep.
#[derive(Debug, Default)]
pub struct Pace {
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// So many have gone through it at that moment.
    pub fn note(&mut self, at: Instant, gone_through: u64) {
        self.seen.push_back((at, gone_through));
        // The last one from before the time that is looked at stays: the pace is measured from it.
        while self.seen.get(1).is_some_and(|(second, _)| at.duration_since(*second) > MEMORY) {
            self.seen.pop_front();
        }
    }

    /// Merchants that go through it per minute; `None` while nothing can be said.
    pub fn per_minute(&self) -> Option<f64> {
        let ((from, before), (until, after)) = (self.seen.front()?, self.seen.back()?);
        let minutes = until.duration_since(*from).as_secs_f64() / 60.0;
        let gone = u32::try_from(after.checked_sub(*before)?).ok().filter(|gone| *gone > 0)?;
        (minutes > 0.0).then(|| f64::from(gone) / minutes)
    }

    /// What is left of the work at this pace.
    pub fn left(&self, progress: &Progress) -> Option<Duration> {
        let left = u32::try_from(progress.total.saturating_sub(progress.ended())).ok()?;
        Duration::try_from_secs_f64(f64::from(left) / self.per_minute()? * 60.0).ok()
    }
}

/// Words for what is waited for that are shown at a time.
const WAITS: usize = 2;

/// The lines of the display.
pub fn lines(progress: &Progress, pace: &Pace, answer: &Value, failures: &[Value]) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", progress.id, progress.headline()), bar(progress, pace), progress.stages()];
    let waits = answer.get("waits").and_then(Value::as_array).into_iter().flatten();
    lines.extend(waits.take(WAITS).map(wait));
    lines.extend(failures.iter().map(failure));
    lines
}

/// What some merchants wait for.
fn wait(group: &Value) -> String {
    format!("  {} {} wait: {}", text(group, "count"), text(group, "stage"), text(group, "reason"))
}

/// The same on one line.
pub fn line(progress: &Progress, pace: &Pace) -> String {
    format!("{}: {} of {}{}; {}", progress.state, progress.ended(), progress.total, tempo(progress, pace), progress.stages())
}

fn bar(progress: &Progress, pace: &Pace) -> String {
    let (ended, total) = (progress.ended(), progress.total.max(1));
    let full = (ended.saturating_mul(BAR) / total).min(BAR);
    let cells: String = (0..BAR).map(|at| if at < full { '█' } else { '░' }).collect();
    let percent = (ended.saturating_mul(100) / total).min(100);
    format!("{cells}  {ended} of {} ({percent} %){}", progress.total, tempo(progress, pace))
}

fn tempo(progress: &Progress, pace: &Pace) -> String {
    match (pace.per_minute(), pace.left(progress)) {
        (Some(per_minute), Some(left)) if !progress.is_over() => format!(", {per_minute:.0} a minute, about {} left", span(left)),
        _ => String::new(),
    }
}

/// A time that somebody has to wait, roughly.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// One merchant where it did not work.
pub fn failure(item: &Value) -> String {
    format!("  {} {}: {}", text(item, "authorizer"), text(item, "stage"), text(item, "reason"))
}
