//! Auditors who work by themselves: so long after a submission they pass it or reject it, without anybody directing them.
//!
//! Which versions they reject follows from app id and version alone, so a run can be repeated. Their messages travel as every push does:
//! repeated while unacknowledged, and lost where pushes get lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Simulator, SimulatorError, Stage, scatter};
use crate::clock::{Clock, Timestamp};
use crate::platform::twin::{Outgoing, Submission, Verdict};

/// How auditors work.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auditors {
    /// How long an audit takes, in milliseconds of the vendor's clock.
    pub after_ms: u64,
    /// Rejections among a hundred audits.
    pub reject_percent: u8,
    /// Among a hundred audits, those about which the vendor first tells, half-way, that they take longer. Some vendors have no such message.
    pub delay_percent: u8,
    /// Words for rejections; each takes one of them. Empty: words of our own.
    pub reasons: Vec<String>,
}

/// Words for rejections where nobody gave any.
const REASONS: [&str; 4] = ["页面内容与类目不符", "首页存在无法点击的按钮", "缺少经营所需的资质", "测试账号无法登录"];

/// How often they look what waits for them.
const ROUND: Duration = Duration::from_millis(50);

/// Most messages of one round: the vendor answers calls in between.
const MOST_IN_A_ROUND: usize = 50;

/// What auditors of one vendor have begun.
#[derive(Default)]
pub(super) struct Desk {
    auditors: Option<Auditors>,
    /// About whom the vendor has told that it takes longer: app id and version.
    delayed: BTreeSet<(String, String, Timestamp)>,
}

impl Simulator {
    /// Has auditors end audits by themselves from now on; `None`: nobody does.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn employ(&self, platform: &str, auditors: Option<Auditors>) -> Result<(), SimulatorError> {
        self.on(platform, |stage, _| stage.desk.auditors = auditors)?;
        self.employed.notify_waiters();
        Ok(())
    }

    /// Lets the auditors of one vendor work until the simulator stops.
    pub(super) async fn audit_by_themselves(self: Arc<Self>, platform: &'static str) {
        while !self.shutdown.is_requested() {
            let employed = self.employed.notified();
            let round = self.on(platform, |stage, now| stage.desk.auditors.is_some().then(|| stage.audited(now)));
            let Ok(round) = round else { return };
            let wake = self.clock.now() + ROUND;
            let rest = async {
                match &round {
                    Some(pushes) if pushes.len() >= MOST_IN_A_ROUND => tokio::task::yield_now().await,
                    Some(_) => self.clock.sleep_until(wake).await,
                    None => employed.await,
                }
            };
            // Each travels on its own: a provider that is down keeps only its own messages waiting.
            for push in round.iter().flatten() {
                self.deliver_later(platform, vec![push.clone()]);
            }
            tokio::select! {
                () = rest => {}
                () = self.shutdown.requested() => return,
            }
        }
    }
}

impl Stage {
    /// What the vendor has to tell now about audits that ended or take longer.
    fn audited(&mut self, now: Timestamp) -> Vec<Outgoing> {
        let Some(auditors) = self.desk.auditors.clone() else { return Vec::new() };
        let waiting = self.twin.in_audit(now);
        self.desk.delayed.retain(|(app_id, version, since)| {
            waiting.iter().any(|one| (&one.app_id, &one.version, &one.since) == (app_id, version, since))
        });
        let mut pushes = Vec::new();
        for submission in waiting {
            if pushes.len() >= MOST_IN_A_ROUND {
                break;
            }
            let waited_ms = u64::try_from(now.duration_since(submission.since).as_millis()).unwrap_or_default();
            if waited_ms >= auditors.after_ms {
                let verdict = auditors.verdict(&submission);
                pushes.push(self.twin.audit(&submission.app_id, &submission.version, &verdict, now));
            } else if waited_ms >= auditors.after_ms / 2 && auditors.delays(&submission) {
                let Submission { app_id, version, since } = submission;
                if self.desk.delayed.insert((app_id.clone(), version.clone(), since)) {
                    pushes.extend(self.twin.delay(&app_id, &version, now));
                }
            }
        }
        pushes
    }
}

impl Auditors {
    /// How they judge it.
    fn verdict(&self, submission: &Submission) -> Verdict {
        let lot = lot(submission, "verdict");
        if lot % 100 >= u64::from(self.reject_percent) {
            return Verdict::Passed;
        }
        let reasons: Vec<&str> = match self.reasons.is_empty() {
            true => REASONS.to_vec(),
            false => self.reasons.iter().map(String::as_str).collect(),
        };
        let of = u64::try_from(reasons.len()).unwrap_or(1);
        let reason = usize::try_from((lot / 100) % of).ok().and_then(|at| reasons.get(at)).copied().unwrap_or_default();
        Verdict::Failed(reason.to_owned())
    }

    fn delays(&self, submission: &Submission) -> bool {
        lot(submission, "delay") % 100 < u64::from(self.delay_percent)
    }
}

/// The lot that a submission draws: the same in every run.
fn lot(submission: &Submission, what: &str) -> u64 {
    scatter(&[&submission.app_id, &submission.version, what])
}
