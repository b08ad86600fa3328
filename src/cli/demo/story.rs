//! What happens at one platform, step by step, each step checked.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::api::Api;
use super::tell::Tell;
use crate::downstream::{Handler, Received};
use crate::platform::Platform;
use crate::platform::twin::Verdict;
use crate::simulator::Simulator;
use crate::simulator::fault::{CallFault, CallTrouble};

/// Longest wait for one thing to happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The demo's subscription.
pub(super) const SUBSCRIPTION: &str = "demo-handler";

/// What was counted at one platform.
#[derive(Debug, Default, Clone, serde::Serialize)]
pub(super) struct Counted {
    /// Platform name.
    pub platform: String,
    /// Requests that the vendor sent, copies and forgeries among them.
    pub pushes: u64,
    /// Copies among them that were acknowledged and stored once.
    pub duplicates: u64,
    /// Pushes that were not acknowledged.
    pub refused: u64,
    /// Events stored.
    pub events: u64,
    /// Deliveries that the handler verified and took.
    pub delivered: u64,
    /// Attempts beyond the first.
    pub retried: u64,
    /// Deliveries sent again on request.
    pub replayed: u64,
    /// Tokens that clients fetched.
    pub tokens_served: u64,
    /// Renewals that the vendor carried out.
    pub refreshes: u64,
}

/// The stage on which a story is told.
pub(super) struct Stage<'a> {
    pub api: &'a Api,
    pub simulator: &'a Simulator,
    pub handler: &'a Handler,
    pub tell: &'a Tell<'a>,
}

struct Story<'a> {
    stage: &'a Stage<'a>,
    platform: &'static dyn Platform,
    name: &'static str,
    app_id: String,
    other_app_id: String,
    counted: Counted,
}

/// Tells the story of one platform. The error names the step that did not hold; what was counted so far is lost with it.
pub(super) async fn tell(stage: &Stage<'_>, platform: &'static dyn Platform) -> anyhow::Result<Counted> {
    let name = platform.name();
    let title = platform.title();
    stage.tell.chapter(&format!("{} {}", title.zh, title.en));
    let [first, second] = sample_app_ids(name);
    let counted = Counted { platform: name.to_owned(), ..Counted::default() };
    let mut story = Story { stage, platform, name, app_id: first.to_owned(), other_app_id: second.to_owned(), counted };
    story.ticket().await.context("ticket")?;
    story.grant().await.context("grant")?;
    story.audit().await.context("audit result")?;
    story.outage().await.context("handler outage")?;
    story.renewal().await.context("renewal")?;
    story.lost_answer().await.context("lost answer")?;
    story.revoked().await.context("revocation")?;
    story.count().await.context("counting")?;
    Ok(story.counted)
}

/// App ids of two merchants, as that vendor writes them.
fn sample_app_ids(platform: &str) -> [&'static str; 2] {
    match platform {
        "baidu" => ["1452365", "1452366"],
        "douyin" => ["tt0123456789abcdef", "tt0123456789abcde0"],
        "kuaishou" => ["ks700000000000000001", "ks700000000000000002"],
        _ => ["2021000000000003", "2021000000000004"],
    }
}

impl Story<'_> {
    async fn ticket(&mut self) -> anyhow::Result<()> {
        let Some(answered) = self.stage.simulator.ticket(self.name).await? else {
            let (status, body) = self.stage.api.get(&format!("/v1/components/{}/ticket", self.name)).await?;
            ensure!(status == 404 && at(&body, "/type") == "/problems/not-applicable", "the ticket's address answers {status}");
            self.stage.tell.held("no tickets here: calls are signed with the application's key, and the ticket's address says so");
            return Ok(());
        };
        ensure!(answered.acknowledged, "the ticket was answered {}", answered.status);
        let token = self.token(None).await?;
        ensure!(self.stage.simulator.accepts(self.name, None, &token.text)?, "the vendor does not accept the component's token");
        self.stage.tell.held("ticket pushed and durable before the answer; component token fetched with it");
        Ok(())
    }

    async fn grant(&mut self) -> anyhow::Result<()> {
        let app_id = self.app_id.clone();
        self.granted(&app_id).await?;
        self.received("authorization.granted").await?;
        self.stage.tell.held(&format!("merchant {app_id} granted; code exchanged; a client fetched the token, which the vendor accepts"));
        Ok(())
    }

    /// A merchant grants; its token, which the vendor accepts.
    async fn granted(&mut self, app_id: &str) -> anyhow::Result<Fetched> {
        let (_, answered) = self.stage.simulator.grant(self.name, app_id).await?;
        ensure!(answered.is_none_or(|answered| answered.acknowledged), "the grant was not acknowledged");
        let token = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.token(Some(app_id)).await {
                    Ok(token) => return token,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await
        .context("no token after the grant")?;
        let accepted = self.stage.simulator.accepts(self.name, Some(app_id), &token.text)?;
        ensure!(accepted, "the vendor does not accept the merchant's token");
        Ok(token)
    }

    async fn audit(&mut self) -> anyhow::Result<()> {
        let (push, answered) = self.stage.simulator.audit(self.name, &self.app_id, "1.0.3", &Verdict::Passed).await?;
        ensure!(answered.acknowledged, "the audit result was answered {}", answered.status);
        let received = self.received("audit.passed").await?;
        ensure!(at(&received.event, "/subject") == self.app_id.as_str(), "the event names another merchant");
        self.stage.tell.held("audit result pushed, delivered, signature verified by the handler");

        let before = self.events().await?;
        ensure!(self.stage.simulator.repeat(self.name, &push).await?.acknowledged, "the duplicate was not acknowledged");
        ensure!(self.events().await? == before, "the duplicate was stored again");
        self.counted.duplicates += 1;
        self.stage.tell.held("the same push again, sealed afresh: acknowledged, stored once");

        let forged = self.stage.simulator.forge(self.name, &push).await?;
        ensure!(!forged.acknowledged && (400..500).contains(&forged.status), "the forged push was answered {}", forged.status);
        ensure!(self.events().await? == before, "the forged push was stored");
        self.stage.tell.held(&format!("a forged push: refused with {}", forged.status));

        let (status, body) =
            self.stage.api.post(&format!("/v1/events/{}/replay", received.id), &json!({"subscription": SUBSCRIPTION})).await?;
        ensure!((200..300).contains(&status), "the replay was answered {status}: {body}");
        self.wait(|all| (all.iter().filter(|r| r.id == received.id && r.status < 300).count() >= 2).then_some(())).await?;
        self.counted.replayed += 1;
        self.stage.tell.held("replayed on request: the same webhook-id again");
        Ok(())
    }

    async fn outage(&mut self) -> anyhow::Result<()> {
        self.stage.handler.fail(self.name, 2);
        let verdict = Verdict::Failed(String::from("页面内容与类目不符"));
        let (_, answered) = self.stage.simulator.audit(self.name, &self.app_id, "1.0.4", &verdict).await?;
        ensure!(answered.acknowledged, "the audit result was answered {}", answered.status);
        let received = self.received("audit.failed").await?;
        ensure!(received.attempt == 3, "it arrived at attempt {}", received.attempt);
        let (_, list) = self.stage.api.get(&format!("/v1/deliveries?event={}&subscription={SUBSCRIPTION}", received.id)).await?;
        let attempts = at(&list, "/items/0/attempts").as_u64().context("the delivery has no attempts")?;
        self.counted.retried += attempts.saturating_sub(1);
        self.stage.tell.held("handler down for two attempts: the event waited and arrived at the third");
        Ok(())
    }

    async fn renewal(&mut self) -> anyhow::Result<()> {
        let app_id = self.app_id.clone();
        let held = self.token(Some(&app_id)).await?;
        self.stage.simulator.expire_tokens(self.name, Some(&app_id))?;
        let renewed = self.report_invalid(&app_id, held.generation).await?;
        ensure!(renewed.generation == held.generation + 1, "generation {} after {}", renewed.generation, held.generation);
        ensure!(self.stage.simulator.accepts(self.name, Some(&app_id), &renewed.text)?, "the vendor does not accept the renewed token");
        let before = self.renewals()?;
        let late = self.report_invalid(&app_id, held.generation).await?;
        ensure!(late.generation == renewed.generation && self.renewals()? == before, "a late report caused a second renewal");
        self.stage.tell.held("token rejected by the vendor: reported, renewed once; a late report of the old generation renews nothing");
        Ok(())
    }

    async fn lost_answer(&mut self) -> anyhow::Result<()> {
        let app_id = self.other_app_id.clone();
        let held = self.granted(&app_id).await?;
        let fault = CallFault { matching: String::from(spending_call(self.name)), trouble: CallTrouble::LostAnswer, times: 1 };
        self.stage.simulator.fail_calls(self.name, fault)?;
        let renewed = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.report_invalid(&app_id, held.generation).await {
                    Ok(token) if token.generation > held.generation => return token,
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        })
        .await
        .context("no token after the lost answer")?;
        ensure!(self.stage.simulator.accepts(self.name, Some(&app_id), &renewed.text)?, "the vendor does not accept the recovered token");
        self.stage
            .tell
            .held("a second merchant: the vendor's answer to a renewal was lost after it acted; won back without asking the merchant");
        Ok(())
    }

    async fn revoked(&mut self) -> anyhow::Result<()> {
        self.stage.simulator.revoke(self.name, &self.app_id).await?;
        self.received("authorization.revoked").await?;
        let address = format!("/v1/components/{}/authorizers/{}/token", self.name, self.app_id);
        tokio::time::timeout(PATIENCE, async {
            loop {
                match self.stage.api.get(&address).await {
                    Ok((410, _)) => return,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await
        .context("the token of a revoked merchant is still served")?;
        self.stage.tell.held("merchant withdrew: its token answers 410");
        Ok(())
    }

    async fn count(&mut self) -> anyhow::Result<()> {
        let counts = self.stage.simulator.counts(self.name)?;
        self.counted.pushes = counts.pushes;
        self.counted.refused = counts.refused;
        self.counted.events = self.events().await?;
        self.counted.refreshes = self.renewals()?;
        let ours = self.platform.name();
        self.counted.delivered =
            self.stage.handler.received().iter().filter(|r| at(&r.event, "/platform") == ours && r.status < 300).count().try_into()?;
        ensure!(counts.refused == counts.forged, "{} pushes were refused, {} were forged", counts.refused, counts.forged);
        ensure!(self.stage.handler.unverified() == 0, "the handler saw signatures that do not hold");
        self.stage.tell.note(&format!("{:.1} s", self.stage.tell.seconds()));
        Ok(())
    }

    fn renewals(&self) -> anyhow::Result<u64> {
        let counts = self.stage.simulator.counts(self.name)?;
        Ok(counts.deed("refresh") + counts.deed("recover"))
    }

    async fn events(&self) -> anyhow::Result<u64> {
        let (status, body) = self.stage.api.get(&format!("/v1/events?component={}&limit=500", self.name)).await?;
        ensure!(status == 200, "the events' address answers {status}");
        Ok(at(&body, "/items").as_array().map_or(0, Vec::len).try_into()?)
    }

    async fn received(&self, kind: &str) -> anyhow::Result<Received> {
        let ours = self.name;
        self.wait(|all| all.iter().find(|r| at(&r.event, "/platform") == ours && at(&r.event, "/type") == kind && r.status < 300).cloned())
            .await
            .with_context(|| format!("the handler received no {kind}"))
    }

    async fn wait<T>(&self, enough: impl FnMut(&[Received]) -> Option<T>) -> anyhow::Result<T> {
        tokio::time::timeout(PATIENCE, self.stage.handler.wait_for(enough)).await?.context("the handler stopped")
    }

    async fn token(&mut self, app_id: Option<&str>) -> anyhow::Result<Fetched> {
        let address = match app_id {
            Some(app_id) => format!("/v1/components/{}/authorizers/{app_id}/token", self.name),
            None => format!("/v1/components/{}/token", self.name),
        };
        let answer = self.stage.api.get(&address).await?;
        self.fetched(answer)
    }

    async fn report_invalid(&mut self, app_id: &str, generation: u64) -> anyhow::Result<Fetched> {
        let address = format!("/v1/components/{}/authorizers/{app_id}/token/report-invalid", self.name);
        let answer = self.stage.api.post(&address, &json!({"generation": generation})).await?;
        self.fetched(answer)
    }

    fn fetched(&mut self, (status, body): (u16, Value)) -> anyhow::Result<Fetched> {
        if status != 200 {
            bail!("the token's address answers {status}: {}", at(&body, "/detail"));
        }
        self.counted.tokens_served += 1;
        Ok(Fetched {
            text: at(&body, "/access_token").as_str().context("no token in the answer")?.to_owned(),
            generation: at(&body, "/generation").as_u64().context("no generation in the answer")?,
        })
    }
}

struct Fetched {
    text: String,
    generation: u64,
}

/// What the path, query or body of the call that renews an authorizer's token contains.
fn spending_call(platform: &str) -> &'static str {
    match platform {
        "kuaishou" => "authorization_code=",
        "alipay" => "refresh_token",
        _ => "app_to_tp_refresh_token",
    }
}

/// What stands at a JSON pointer; `null` where nothing does.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
