//! One version brought to two hundred merchants of four platforms, while pushes get lost, auditors say no, quotas run out, a merchant
//! withdraws and the service is killed. At the end everybody is accounted for.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::account::Account;
use super::process::Process;
use super::story::{Stage, at};
use crate::cli::terminal::Progress;
use crate::platform;
use crate::platform::quota::AuditQuota;
use crate::simulator::auditors::Auditors;
use crate::simulator::fault::PushFaults;

/// Merchants of each platform.
const MERCHANTS: u32 = 50;
/// The template that each pretended vendor has.
const TEMPLATES: [(&str, &str); 4] =
    [("baidu", "12"), ("douyin", "9133504853504530001"), ("kuaishou", "12"), ("alipay", "2021000000000002")];
/// Shares of the whole work, in percent, at which a merchant withdraws and the service is killed.
const WITHDRAWAL: usize = 25;
const KILL: usize = 45;
/// Stages in which something is still to be done, in the order of a life.
const STAGES: [&str; 7] = ["queued", "uploading", "uploaded", "submitting", "in_audit", "approved", "releasing"];
/// Longest wait for all of it, and between two looks.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(150);

/// The merchants of one platform and their rollout.
struct Group {
    platform: &'static str,
    merchants: Vec<String>,
    /// The rollout's id.
    id: String,
}

struct Rollout<'a> {
    stage: &'a Stage<'a>,
    service: &'a mut Process,
    groups: Vec<Group>,
    progress: Progress,
}

/// Tells it; how many of each platform ended how.
pub(super) async fn tell(stage: &Stage<'_>, service: &mut Process) -> anyhow::Result<Vec<(&'static str, Account)>> {
    let mut rollout = Rollout { stage, service, groups: Vec::new(), progress: stage.tell.progress() };
    for platform in platform::ALL {
        rollout.settle(platform.name()).await.with_context(|| format!("merchants of {}", platform.name()))?;
    }
    let (all, gone) = (rollout.groups.iter().map(|group| group.merchants.len()).sum::<usize>(), rollout.groups.len());
    rollout.held(&format!("{all} merchants granted, {MERCHANTS} at each platform; {gone} of them left again before the rollout"));
    rollout.begin().await?;
    tokio::time::timeout(PATIENCE, rollout.watch()).await.context("the rollouts do not come to their end")??;
    rollout.account().await
}

impl Rollout<'_> {
    /// Something held. What is told stands above the progress.
    fn held(&mut self, what: &str) {
        self.progress = self.stage.tell.progress();
        self.stage.tell.held(what);
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.stage.api.get(path).await?;
        ensure!(status == 200, "{path} answers {status}: {}", at(&body, "/detail"));
        Ok(body)
    }

    /// Merchants grant, one withdraws at once, and from then on the vendor is troublesome.
    async fn settle(&mut self, platform: &'static str) -> anyhow::Result<()> {
        let simulator = self.stage.simulator;
        let crowd = simulator.crowd(platform, MERCHANTS, None).await?;
        self.until_state(platform, &crowd.app_ids, "granted").await?;
        if let Some(first) = crowd.app_ids.first() {
            simulator.revoke(platform, first).await?;
            self.until_state(platform, std::slice::from_ref(first), "revoked").await?;
        }
        simulator.fail_pushes(platform, PushFaults { lose_percent: 10, ..PushFaults::default() })?;
        simulator.employ(platform, Some(Auditors { after_ms: 800, reject_percent: 6, delay_percent: 10, reasons: Vec::new() }))?;
        simulator.limit_audits(platform, AuditQuota { audits: Some(12), every_ms: Some(1500) })?;
        self.groups.push(Group { platform, merchants: crowd.app_ids, id: String::new() });
        Ok(())
    }

    async fn until_state(&mut self, platform: &str, merchants: &[String], state: &str) -> anyhow::Result<()> {
        let asked = Instant::now();
        loop {
            let list = self.get(&format!("/v1/components/{platform}/authorizers?limit=500")).await?;
            let has = |item: &Value| {
                at(item, "/state") == state && at(item, "/app_id").as_str().is_some_and(|id| merchants.iter().any(|one| one == id))
            };
            let count = at(&list, "/items").as_array().into_iter().flatten().filter(|item| has(item)).count();
            if count == merchants.len() {
                return Ok(());
            }
            ensure!(asked.elapsed() < PATIENCE, "only {count} of {} are {state}", merchants.len());
            self.progress.at(&format!("{platform}: {count} of {} merchants {state}", merchants.len()));
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        for group in &mut self.groups {
            let template = TEMPLATES.iter().find(|(name, _)| *name == group.platform).map(|(_, template)| *template);
            let body = json!({
                "component": group.platform, "authorizers": group.merchants, "template_id": template.context("no template is known")?,
                "version": "2.0.1", "description": "值夜提醒上线，另有收信与换马两项改进，请在白天测试。",
                "variables": {"hosts": ["douyin"], "region": "CHINA"}, "until": "released", "concurrency": 48,
            });
            let (status, answer) = self.stage.api.post("/v1/rollouts", &body).await?;
            ensure!(status == 202, "the rollout was answered {status}: {answer}");
            group.id = at(&answer, "/id").as_str().context("the rollout has no id")?.to_owned();
        }
        self.held("one rollout at each platform, through audit and release; one push in ten never comes, and audits are rationed");
        Ok(())
    }

    /// Looks on until everybody is at an end. In the middle a merchant withdraws, and the service is killed.
    async fn watch(&mut self) -> anyhow::Result<()> {
        let (mut withdrew, mut killed) = (false, false);
        loop {
            let mut shown = Vec::new();
            for group in &self.groups {
                shown.push(self.get(&format!("/v1/rollouts/{}", group.id)).await?);
            }
            let percent = self.report(&shown);
            if let Some(unwell) = shown.iter().find(|rollout| !matches!(at(rollout, "/state").as_str(), Some("running" | "done"))) {
                bail!("a rollout is {}: {}", at(unwell, "/state"), at(unwell, "/reason"));
            }
            if shown.iter().all(|rollout| at(rollout, "/state") == "done") {
                ensure!(withdrew && killed, "it was over before anything could happen in the middle");
                return Ok(());
            }
            if percent >= WITHDRAWAL && !withdrew {
                withdrew = self.withdraw().await?;
            }
            if percent >= KILL && !killed {
                killed = true;
                self.kill(percent).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells how far it is: the share of all steps of all merchants that is done.
    fn report(&mut self, shown: &[Value]) -> usize {
        let merchants: usize = self.groups.iter().map(|group| group.merchants.len()).sum();
        let counts = shown.iter().filter_map(|rollout| at(rollout, "/counts").as_object()).flatten();
        let skipped: u64 = shown.iter().filter_map(|rollout| at(rollout, "/skipped").as_u64()).sum();
        let (mut left, mut stages, mut ended) = (0, [0; STAGES.len()], skipped);
        for (stage, count) in counts {
            let count = count.as_u64().unwrap_or_default();
            match STAGES.iter().position(|known| known == stage).and_then(|place| Some((place, stages.get_mut(place)?))) {
                Some((place, at_stage)) => {
                    *at_stage += count;
                    left += usize::try_from(count).unwrap_or_default() * (STAGES.len() - place);
                }
                None => ended += count,
            }
        }
        let named = STAGES.iter().zip(stages).filter(|(_, count)| *count > 0);
        let named: String = named.map(|(stage, count)| format!(" · {stage} {count}")).collect();
        self.progress.at(&format!("  {ended} of {merchants} merchants at their end{named}"));
        let whole = merchants * STAGES.len();
        (whole.saturating_sub(left) * 100).checked_div(whole).unwrap_or_default()
    }

    /// A merchant that waits for something withdraws its grant; whether there was one.
    async fn withdraw(&mut self) -> anyhow::Result<bool> {
        for group in &self.groups {
            let list = self.get(&format!("/v1/rollouts/{}/items?stage=uploaded&limit=500", group.id)).await?;
            let waiting = at(&list, "/items").as_array().and_then(|items| items.last()).map(|item| at(item, "/authorizer").clone());
            if let Some(merchant) = waiting.as_ref().and_then(Value::as_str) {
                self.stage.simulator.revoke(group.platform, merchant).await?;
                let told = format!("in the middle: merchant {merchant} of {} withdrew", group.platform);
                self.held(&told);
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn kill(&mut self, percent: usize) -> anyhow::Result<()> {
        self.service.kill()?;
        let since = Instant::now();
        self.service.start_again(self.stage.api).await?;
        let seconds = since.elapsed().as_secs_f64();
        self.held(&format!(
            "in the middle: the service was killed with SIGKILL at {percent} % of the work; back after {seconds:.1} s, and it went on"
        ));
        Ok(())
    }

    /// Holds what the service says of everybody against what the vendors counted.
    async fn account(&mut self) -> anyhow::Result<Vec<(&'static str, Account)>> {
        let (mut accounts, mut lost, mut deeds) = (Vec::new(), 0, 0);
        for group in &self.groups {
            let list = self.get(&format!("/v1/rollouts/{}/items?limit=500", group.id)).await?;
            let items = at(&list, "/items").as_array().cloned().unwrap_or_default();
            let ledger = self.stage.simulator.ledger(group.platform)?;
            lost += self.stage.simulator.counts(group.platform)?.lost;
            deeds += ledger.len();
            accounts.push((group.platform, Account::of(&group.merchants, &items, &ledger)));
        }
        let sum = Account::sum(accounts.iter().map(|(_, account)| account));
        self.held(&format!("{lost} pushes never came; what they would have told was asked for"));
        if sum.holds() {
            self.held(&format!("the vendors counted {deeds} uploads, submissions and releases: none twice, none missing"));
        } else {
            self.stage.tell.broke(&format!("{} merchants are not accounted for, {} deeds were done twice", sum.lost, sum.doubled));
        }
        self.stage.tell.note(&format!("{:.1} s", self.stage.tell.seconds()));
        Ok(accounts)
    }
}
