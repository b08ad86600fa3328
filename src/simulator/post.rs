//! How pushes travel to the provider: posted, repeated while unacknowledged, and harmed on request.

use std::sync::Arc;

use super::{Answered, Simulator, SimulatorError, Stage, lock, scatter};
use crate::clock::Clock;
use crate::platform::Door;
use crate::platform::twin::Outgoing;

/// Pushes kept for late repetition.
const KEPT: usize = 100;

impl Simulator {
    /// Sends a push as the faults of the day have it, and repeats it until it is acknowledged or the retries are used up.
    /// Returns how the push itself was answered in the end.
    pub(super) async fn deliver(&self, platform: &str, push: Outgoing) -> Result<Answered, SimulatorError> {
        let batch = self.on(platform, |stage, _| departing(stage, push))?;
        let mut last = Answered { status: 0, acknowledged: false };
        for push in batch {
            last = self.deliver_one(platform, push).await?;
        }
        Ok(last)
    }

    async fn deliver_one(&self, platform: &str, push: Outgoing) -> Result<Answered, SimulatorError> {
        let (faults, copies) = self.on(platform, |stage, now| {
            let copies: Vec<_> = (0..stage.push_faults.duplicates).map(|_| stage.twin.reseal(&push, now)).collect();
            stage.counts.duplicates += u64::from(stage.push_faults.duplicates);
            (stage.push_faults.clone(), copies)
        })?;
        if faults.forged {
            self.forge(platform, &push).await?;
        }
        let mut answered = if copies.is_empty() {
            self.post(platform, &push).await?
        } else {
            let (first, others) = futures_util::future::join(
                self.post(platform, &push),
                futures_util::future::try_join_all(copies.iter().map(|copy| self.post(platform, copy))),
            )
            .await;
            others?;
            first?
        };
        let mut tries = 0;
        while !answered.acknowledged && tries < self.manners.retries && !self.shutdown.is_requested() {
            tries += 1;
            let wake = self.now() + self.manners.retry_after;
            self.clock.sleep_until(wake).await;
            answered = self.repeat(platform, &push).await?;
        }
        if let Some(wait) = faults.late_retry() {
            let wake = self.now() + wait;
            self.clock.sleep_until(wake).await;
            self.repeat(platform, &push).await?;
        }
        Ok(answered)
    }

    /// One request to the provider.
    pub(super) async fn post(&self, platform: &str, push: &Outgoing) -> Result<Answered, SimulatorError> {
        let provider = lock(&self.provider).clone().ok_or(SimulatorError::NoProvider)?;
        let door = match push.door {
            Door::Authorization => "authorization",
            Door::Message => "message",
        };
        let mut request = self.client.post(format!("{provider}/callback/{platform}/{door}")).body(push.body.clone());
        for (name, value) in &push.headers {
            request = request.header(name, value);
        }
        let (status, body) = match request.send().await {
            Ok(response) => (response.status().as_u16(), response.bytes().await.unwrap_or_default()),
            Err(error) => {
                tracing::info!(platform, %error, "the provider does not answer");
                (0, bytes::Bytes::new())
            }
        };
        self.on(platform, |stage, _| {
            let acknowledged = stage.twin.acknowledged(push, status, &body);
            stage.counts.pushes += 1;
            if acknowledged {
                stage.counts.acknowledged += 1;
            } else {
                stage.counts.refused += 1;
            }
            Answered { status, acknowledged }
        })
    }

    /// Pushes that a call caused go out on their own, after the call's answer.
    pub(super) fn deliver_later(self: &Arc<Self>, platform: &'static str, pushes: Vec<Outgoing>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            for push in pushes {
                if let Err(error) = this.deliver(platform, push).await {
                    tracing::info!(platform, %error, "push not sent");
                }
            }
        });
    }
}

/// What leaves now that `push` wants to: nothing when it is lost or held back, several when those held back are let go.
fn departing(stage: &mut Stage, push: Outgoing) -> Vec<Outgoing> {
    stage.sent.push(push.clone());
    if stage.sent.len() > KEPT {
        stage.sent.remove(0);
    }
    stage.departed += 1;
    let (faults, departed) = (&stage.push_faults, stage.departed);
    let is_nth = faults.lose_every > 0 && departed.is_multiple_of(u64::from(faults.lose_every));
    if is_nth || scatter(&["push", &departed.to_string()]) % 100 < u64::from(faults.lose_percent) {
        stage.counts.lost += 1;
        return Vec::new();
    }
    if stage.push_faults.reorder > 1 {
        stage.held_back.push(push);
        if stage.held_back.len() < stage.push_faults.reorder {
            return Vec::new();
        }
        return stage.held_back.drain(..).rev().collect();
    }
    vec![push]
}
