//! Whole deployments: rollouts on every platform, told over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use yizhan::platform;
use yizhan::platform::twin::Verdict;

use crate::world::{Setting, World};

/// Platform, the merchants, the template that its twin has.
const PLATFORMS: [(&str, [&str; 3], &str); 4] = [
    ("baidu", ["1452361", "1452362", "1452363"], "12"),
    ("douyin", ["tt01", "tt02", "tt03"], "9133504853504530001"),
    ("kuaishou", ["ks71", "ks72", "ks73"], "12"),
    ("alipay", ["2021000000000011", "2021000000000012", "2021000000000013"], "2021000000000002"),
];

pub const DESCRIPTION: &str = "值夜提醒上线，另有收信与换马两项改进，请在白天测试。";

/// A deployment in which time passes by itself.
pub struct Deployment {
    pub world: World,
    pub platform: &'static str,
    pub shops: [&'static str; 3],
    template: &'static str,
}

impl Deployment {
    pub async fn of(platform: &str) -> Self {
        Self::with(platform, "", Setting::default()).await
    }

    /// With more settings of rollouts.
    pub async fn with(platform: &str, settings: &str, setting: Setting) -> Self {
        let (platform, shops, template) = *PLATFORMS.iter().find(|(name, ..)| *name == platform).unwrap();
        let extra = format!("[rollout]\npoll = \"2m\"\nquota_pause = \"30m\"\n{settings}\n{}", setting.extra);
        let world = World::with(Setting { extra, ..setting }).await;
        for shop in shops {
            world.granted(platform, shop).await;
        }
        Self { world, platform, shops, template }
    }

    pub fn body(&self, more: Value) -> Value {
        let mut body = json!({
            "component": self.platform, "authorizers": "all", "template_id": self.template, "version": "2.0.1", "description": DESCRIPTION,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    pub async fn begin(&self, more: Value) -> String {
        let (status, answer) = self.world.post("/v1/rollouts", self.body(more)).await;
        assert_eq!(status, 202, "{}: {answer}", self.platform);
        answer["id"].as_str().unwrap().to_owned()
    }

    pub async fn show(&self, id: &str) -> Value {
        let (status, answer) = self.world.get(&format!("/v1/rollouts/{id}")).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn items(&self, id: &str) -> Vec<Value> {
        let (status, answer) = self.world.get(&format!("/v1/rollouts/{id}/items")).await;
        assert_eq!(status, 200, "{answer}");
        answer["items"].as_array().unwrap().clone()
    }

    /// Lets time pass until something holds of the rollout.
    pub async fn until(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..1500 {
            last = self.show(id).await;
            if holds(&last) {
                return last;
            }
            self.world.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{}: waited too long: {what}: {last} {:?}", self.platform, self.items(id).await);
    }

    pub async fn until_count(&self, id: &str, stage: &str, count: u64) -> Value {
        self.until(id, stage, |shown| shown["counts"][stage] == count).await
    }

    pub async fn judge(&self, shop: &str, verdict: Verdict) {
        self.judge_version(shop, "2.0.1", verdict).await;
    }

    pub async fn judge_version(&self, shop: &str, version: &str, verdict: Verdict) {
        self.world.simulator.audit(self.platform, shop, version, &verdict).await.unwrap();
    }

    /// A rollout of that version for those merchants, to its end: everybody passes.
    pub async fn release(&self, version: &str, shops: &[&str]) -> String {
        // Douyin wants ten seconds between submissions.
        self.world.advance(Duration::from_secs(15));
        let id = self.begin(json!({"version": version, "authorizers": shops})).await;
        self.until_count(&id, "in_audit", u64::try_from(shops.len()).unwrap()).await;
        for shop in shops {
            self.judge_version(shop, version, Verdict::Passed).await;
        }
        self.until(&id, "done", |shown| shown["state"] == "done").await;
        id
    }

    pub async fn steer(&self, id: &str, how: &str) -> Value {
        let (status, answer) = self.world.post(&format!("/v1/rollouts/{id}/{how}"), json!({})).await;
        assert_eq!(status, 200, "{how}: {answer}");
        answer
    }

    pub async fn item(&self, id: &str, shop: &str) -> Value {
        self.items(id).await.into_iter().find(|item| item["authorizer"] == shop).unwrap()
    }

    /// The version that the platform itself shows to users, by its own list.
    pub async fn online(&self, shop: &str) -> Vec<String> {
        let address = format!("/v1/components/{}/authorizers/{shop}/operations/package.list", self.platform);
        let (status, answer) = self.world.post(&address, json!({})).await;
        assert_eq!(status, 200, "{answer}");
        let items = answer["result"]["items"].as_array().unwrap();
        let online = items.iter().filter(|item| item["status"] == "online" || item["status"] == "released");
        online.map(|item| item["version"].as_str().unwrap().to_owned()).collect()
    }

    /// Deeds of the vendor's own count.
    pub fn deeds(&self, operation: &str) -> Vec<u32> {
        let ledger = self.world.simulator.ledger(self.platform).unwrap();
        ledger.iter().filter(|deed| deed.operation == operation).map(|deed| deed.times).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_template_reaches_every_merchant_of_every_platform() {
    for platform in platform::ALL {
        let deployment = Deployment::of(platform.name()).await;
        let id = deployment.begin(json!({})).await;
        deployment.until_count(&id, "in_audit", 3).await;
        for shop in deployment.shops {
            deployment.judge(shop, Verdict::Passed).await;
        }
        let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
        assert_eq!((&done["counts"]["released"], &done["total"], &done["skipped"]), (&json!(3), &json!(3), &json!(0)), "{done}");
        for operation in ["package.upload", "audit.submit", "package.release"] {
            assert_eq!(deployment.deeds(operation), [1, 1, 1], "{}: {operation}", platform.name());
        }
        for item in deployment.items(&id).await {
            assert_eq!(item["package_id"].is_string(), platform.name() == "baidu", "{item}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_only_later_versions_have_is_there_before_the_version_is_built() {
    let deployment = Deployment::of("alipay").await;
    let shop = deployment.shops[0];
    let domains = ["https://api.example.com", "https://img.example.com"];
    let id = deployment.begin(json!({"authorizers": [shop], "variables": {"safe_domain": domains}})).await;
    deployment.until_count(&id, "in_audit", 1).await;
    deployment.judge(shop, Verdict::Passed).await;
    deployment.until_count(&id, "released", 1).await;
    assert_eq!(deployment.world.simulator.domains_online("alipay", shop).unwrap().unwrap(), domains, "what is online was built before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_that_ends_with_the_upload_checks_the_domains_that_the_upload_needs() {
    for (platform, variable, is_checked) in [("alipay", "safe_domain", true), ("baidu", "server_domain", false)] {
        let deployment = Deployment::of(platform).await;
        let asked = json!({"variables": {variable: "x".repeat(60_000)}, "until": "uploaded", "dry_run": true});
        let (_, preview) = deployment.world.post("/v1/rollouts", deployment.body(asked)).await;
        let reason = preview["items"][0]["reason"].as_str().unwrap_or_default();
        assert_eq!(reason.starts_with("safe_domain.add: `domain`"), is_checked, "{platform}: {preview}");
    }
}
