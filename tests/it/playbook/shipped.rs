//! The playbooks that are shipped: right as files, and tried from the grant to the release on every platform.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::config::{self, Config};
use yizhan::outbound::vendors::HttpVendors;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::twin::Verdict;
use yizhan::platform::{self, Call, Reply};
use yizhan::settings::Surroundings;

use crate::outbound::receiver::{Manner, Receiver};
use crate::reconcile::submit;
use crate::world::{Setting, World, configuration};

/// Platform and merchant.
const SHOPS: [(&str, &str); 4] =
    [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001"), ("alipay", "2021000000000003")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/playbooks")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap()
}

/// Every platform's component, with what is switched off switched on.
fn components() -> String {
    let one = |platform: &&dyn platform::Platform| {
        let vendor = format!("http://127.0.0.1:9/{}", platform.name());
        format!(
            "[[components]]\nname = \"{0}\"\nplatform = \"{0}\"\n{1}\n{2}\n",
            platform.name(),
            platform.sample_settings(&vendor),
            platform.sample_switches()
        )
    };
    platform::ALL.iter().map(one).collect()
}

fn surroundings(url: &str) -> Surroundings {
    let variables = BTreeMap::from([(String::from("OPS_ROBOT_URL"), url.to_owned())]);
    Surroundings { folder: folder(), variables: Arc::new(variables) }
}

const GROUP: &str = "https://oapi.dingtalk.com/robot/send?access_token=x";

#[test]
fn all_shipped_files_can_be_included_at_once() {
    let store = tempfile::tempdir().unwrap();
    let files: Vec<String> = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    let whole = format!("include = {}\n{}{}", json!(files), configuration(store.path(), "http://127.0.0.1:1"), components());
    let config = Config::parse(&whole, surroundings(GROUP)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!((config.playbooks.len(), config.robots.len()), (9, 1));
    // One by one, as `yizhan playbooks check` reads a file that nobody includes yet.
    let bare = format!("{}{}", configuration(store.path(), "http://127.0.0.1:1"), components());
    let config = Config::parse(&bare, surroundings(GROUP)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    for file in files {
        let found = config::snippet(&config, &folder().join(&file), &surroundings(GROUP));
        assert!(found.problems.is_empty() && !found.playbooks.is_empty(), "{file}: {:?}", found.problems);
    }
}

#[test]
fn mistakes_of_an_included_file_name_the_file_and_the_line() {
    let store = tempfile::tempdir().unwrap();
    std::fs::write(
        store.path().join("a.toml"),
        "[server]\nlisten = \"x\"\n[[playbooks]]\nname = \"a\"\non = \"audit.*\"\nsteps = [{ tell = \"nobody\" }]\n",
    )
    .unwrap();
    let whole = format!("include = [\"a.toml\", \"b.toml\"]\n{}", configuration(store.path(), "http://127.0.0.1:1"));
    let surroundings = Surroundings { folder: store.path().to_owned(), ..Surroundings::default() };
    let problems = Config::parse(&whole, surroundings).err().unwrap();
    let told: Vec<String> = problems.iter().map(|problem| format!("{} {}", problem.at, problem.message)).collect();
    assert!(told.iter().any(|told| told.starts_with("include cannot read the file") && told.contains("b.toml")), "{told:#?}");
    assert!(
        told.iter().any(|told| told.starts_with("playbooks.a.steps[0].tell there is no robot") && told.ends_with("a.toml, line 6)")),
        "{told:#?}"
    );
    assert!(told.iter().any(|told| told.starts_with("server is not a known key")), "{told:#?}");
    assert_eq!(told.len(), 3, "{told:#?}");
}

/// An audit passed, and nothing else is said.
const RELEASE_WHEN_APPROVED: &str =
    "[[playbooks]]\nname = \"release when approved\"\non = \"audit.passed\"\nsteps = [{ operation = \"package.release\" }]\n";

#[test]
fn a_release_after_an_audit_needs_no_version_on_any_platform_and_a_missing_parameter_says_how_it_is_written() {
    let store = tempfile::tempdir().unwrap();
    let whole = |playbook: &str| format!("{}{}{playbook}", configuration(store.path(), "http://127.0.0.1:1"), components());
    let wrong = |playbook: &str| -> Vec<String> {
        let problems = Config::parse(&whole(playbook), Surroundings::default()).err().unwrap_or_default();
        problems.iter().map(|problem| format!("{} {}", problem.at, problem.message)).collect()
    };
    assert_eq!(wrong(RELEASE_WHEN_APPROVED), Vec::<String>::new());
    let of_all = wrong(&RELEASE_WHEN_APPROVED.replace("audit.passed", "*"));
    assert!(of_all[0].starts_with("playbooks.release when approved.steps[0].with.version is required on alipay"), "{of_all:#?}");
    assert_eq!(of_all.len(), 1, "only audits tell a version: {of_all:#?}");
    let submit = wrong(
        "[[playbooks]]\nname = \"submit\"\non = \"build.succeeded\"\ncomponents = [\"douyin\"]\nsteps = [{ operation = \"audit.submit\" }]\n",
    );
    assert!(submit[0].contains("write with = { hosts = … }, as deploy/playbooks/douyin.toml does"), "{submit:#?}");
}

/// A deployment with the shipped playbooks of a platform.
struct Shop {
    world: World,
    platform: &'static str,
}

impl Shop {
    async fn open(platform: &'static str, group: &Receiver) -> Self {
        Self::with(platform, group, Setting::default()).await
    }

    async fn with(platform: &'static str, group: &Receiver, setting: Setting) -> Self {
        let address = json!(group.url("/robot/send?access_token=sesame")).to_string();
        let extra = format!("{}\n{}", text(platform), text("tell").replace("{ env = \"OPS_ROBOT_URL\" }", &address));
        let world = World::with(Setting { extra, ..setting }).await;
        Self { world, platform }
    }

    /// Lets time pass until the newest run of that playbook stands so.
    async fn run(&self, playbook: &str, state: &str) -> Value {
        let playbook = format!("{playbook}-{}", self.platform);
        let mut run = Value::Null;
        for _ in 0..1500 {
            run = self.world.get(&format!("/v1/runs?playbook={playbook}")).await.1["items"][0].clone();
            if run["state"] == state {
                return run;
            }
            self.world.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{playbook} is not {state}: {run:#}");
    }

    /// How often the vendor did that.
    fn deeds(&self, operation: &str) -> Vec<u32> {
        let ledger = self.world.simulator.ledger(self.platform).unwrap();
        ledger.iter().filter(|deed| deed.operation == operation).map(|deed| deed.times).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_is_onboarded_audited_and_released_by_itself_on_every_platform() {
    for (platform, app_id) in SHOPS {
        let mut group = Receiver::start(Manner::headed(200, "", r#"{"errcode":0,"errmsg":"ok"}"#)).await;
        let shop = Shop::open(platform, &group).await;
        let variables = json!({
            "server_domain": {"request": ["https://api.example.com"]}, "safe_domain": "api.example.com", "ext": {"ext": {"shop": "小店"}}, "shop_name": "小店",
        });
        let items = json!({"items": [{"authorizer": app_id, "variables": variables}]});
        assert_eq!(shop.world.post(&format!("/v1/components/{platform}/attributes"), items).await.0, 200);
        shop.world.granted(platform, app_id).await;

        let onboarded = shop.run("onboard", "done").await;
        assert!(onboarded["steps"].as_array().unwrap().iter().all(|step| step["done_at"].is_string()), "{onboarded:#}");
        assert_eq!((shop.deeds("package.upload"), shop.deeds("audit.submit"), shop.deeds("package.release")), (vec![1], vec![1], vec![]));

        let verdict = Verdict::Passed;
        shop.world.simulator.audit(platform, app_id, "1.0.3", &verdict).await.unwrap();
        let released = shop.run("release", "done").await;
        assert_eq!(shop.deeds("package.release"), [1], "{platform}: {released:#}");
        let word = if platform == "douyin" { "passed" } else { "approved" };
        assert_eq!(released["steps"][0]["result"]["status"], word, "{platform}: {released:#}");
        assert_eq!(released["steps"][0]["result"]["version"], "1.0.3", "{platform}: {released:#}");

        // A replay of both repeats nothing.
        for run in [&onboarded, &released] {
            let (event, playbook) = (run["event_id"].as_str().unwrap(), run["playbook"].as_str().unwrap());
            assert_eq!(shop.world.post(&format!("/v1/events/{event}/replay"), json!({"subscription": playbook})).await.0, 202);
            let address = format!("/v1/deliveries?subscription={playbook}&event={event}&status=delivered");
            let taken = async || (shop.world.get(&address).await.1["items"].as_array().unwrap().len() == 2).then_some(());
            shop.world.until("the replay's delivery", taken).await;
            let id = run["id"].as_str().unwrap();
            assert_eq!(shop.world.get(&format!("/v1/runs/{id}")).await.1, *run, "{platform}");
        }
        for deed in ["package.upload", "audit.submit", "package.release"] {
            assert_eq!(shop.deeds(deed), [1], "{platform}: {deed}");
        }

        assert!(group.try_next().is_none(), "nothing needed a person yet");
        let verdict = Verdict::Failed(String::from("图片不清晰"));
        shop.world.simulator.audit(platform, app_id, "1.0.4", &verdict).await.unwrap();
        let told = group.next().await;
        let told: Value = serde_json::from_slice(&told.body).unwrap();
        let words = told["markdown"]["text"].as_str().unwrap();
        assert!(
            words.contains("代码审核未通过") && words.contains("小店") && words.contains(app_id) && words.contains("图片不清晰"),
            "{platform}: {words}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_names_no_version_releases_the_one_that_the_event_tells() {
    let (platform, app_id) = SHOPS[3];
    let shop = Shop { world: World::with(Setting { extra: RELEASE_WHEN_APPROVED.to_owned(), ..Setting::default() }).await, platform };
    shop.world.granted(platform, app_id).await;
    submit(&shop.world, platform, false).await;
    shop.world.simulator.audit(platform, app_id, "1.0.0", &Verdict::Passed).await.unwrap();
    let released = async || {
        let run = shop.world.get("/v1/runs?playbook=release%20when%20approved").await.1["items"][0].clone();
        shop.world.advance(Duration::from_millis(500));
        (run["state"] == "done").then_some(run)
    };
    let run = shop.world.until("the release", released).await;
    assert_eq!((&run["steps"][0]["result"]["version"], shop.deeds("package.release")), (&json!("1.0.0"), vec![1]), "{run:#}");
}

/// Between the service and Baidu, whose upload service is away for so many calls (5.2.1).
struct Away(HttpVendors, AtomicUsize);

#[async_trait::async_trait]
impl Vendors for Away {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let is_away = call.url.ends_with("/package/upload")
            && self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        match is_away {
            true => Ok(Reply {
                status: 200,
                content_type: String::from("application/json"),
                body: r#"{"errno":69009,"msg":"上传服务不可用"}"#.into(),
            }),
            false => self.0.send(call).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_baidu_did_not_take_up_is_tried_again_until_it_does() {
    let group = Receiver::start(Manner::headed(200, "", r#"{"errcode":0,"errmsg":"ok"}"#)).await;
    // The first try of the playbook and half of the second.
    let away = Arc::new(Away(HttpVendors::new().unwrap(), AtomicUsize::new(4)));
    let shop = Shop::with("baidu", &group, Setting { vendors: Some(away.clone()), ..Setting::default() }).await;
    let variables =
        json!({"server_domain": {"request": ["https://api.example.com"]}, "ext": {"ext": {"shop": "小店"}}, "shop_name": "小店"});
    let items = json!({"items": [{"authorizer": "1452365", "variables": variables}]});
    assert_eq!(shop.world.post("/v1/components/baidu/attributes", items).await.0, 200);
    shop.world.granted("baidu", "1452365").await;
    shop.run("onboard", "done").await;
    assert_eq!((away.1.load(Ordering::SeqCst), shop.deeds("package.upload"), shop.deeds("audit.submit")), (0, vec![1], vec![1]));
}
