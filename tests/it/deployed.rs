//! Operations through a whole deployment: asked over HTTP, sent over HTTP to the vendor's twin, answers lost on the way.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::operations::OperationError;
use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use crate::world::{KEY, World, answer, send};

/// What operations want on a platform.
pub struct Goods {
    platform: &'static str,
    /// A merchant.
    pub app: &'static str,
    template: Value,
}

impl Goods {
    pub fn of(platform: &'static str) -> Self {
        let (app, template) = match platform {
            "baidu" => ("1452365", json!(12)),
            "douyin" => ("tt0123456789abcdef", json!("9133504853504530001")),
            "kuaishou" => ("ks700000000000000001", json!(12)),
            _ => ("2021000000000003", json!("2021000000000002")),
        };
        Self { platform, app, template }
    }

    pub fn uploading(&self, version: &str) -> Value {
        let mut params = json!({"template_id": self.template, "version": version});
        if self.platform != "alipay" {
            params["description"] = json!("换马更快");
        }
        params
    }

    pub fn submitting(&self, version: &str) -> Value {
        match self.platform {
            "douyin" => json!({"hosts": ["douyin"]}),
            "alipay" => crate::operations::alipay::submission(version),
            _ => json!({}),
        }
    }
}

/// A merchant of one platform.
pub struct Shop {
    pub world: World,
    pub platform: &'static str,
    pub goods: Goods,
    /// Of submission, release and rollback: what only their calls hold.
    calls: [&'static str; 3],
    /// Whether they name the version.
    by_version: bool,
}

pub const PLATFORMS: [&str; 4] = ["baidu", "douyin", "kuaishou", "alipay"];

impl Shop {
    /// A deployment with one merchant who has granted everything.
    pub async fn open(platform: &'static str) -> Self {
        let calls = match platform {
            "baidu" => ["package/submitaudit", "package/release", "package/rollback"],
            "douyin" => ["package_version/audit/", "package_version/release/", "package_version/rollback/"],
            "kuaishou" => ["/package/audit", "/package/release", "/package/rollback"],
            _ => ["version.audit.apply", "version.online", "version.rollback"],
        };
        let (world, goods) = (World::new().await, Goods::of(platform));
        world.granted(platform, goods.app).await;
        Self { world, platform, goods, calls, by_version: platform == "alipay" }
    }

    fn of_app(&self, rest: &str) -> String {
        format!("/v1/components/{}/authorizers/{}{rest}", self.platform, self.goods.app)
    }

    /// Waits for the answer while time goes by: half a second for every 25 ms.
    async fn waiting<T>(&self, request: impl Future<Output = T>) -> T {
        let ticking = async {
            loop {
                tokio::time::sleep(Duration::from_millis(25)).await;
                self.world.advance(Duration::from_millis(500));
            }
        };
        tokio::select! {
            answer = request => answer,
            () = ticking => unreachable!("time does not end"),
        }
    }

    pub async fn call(&self, operation: &str, params: Value) -> (u16, Value) {
        self.waiting(self.world.post(&self.of_app(&format!("/operations/{operation}")), params)).await
    }

    /// The same call under that `Idempotency-Key`: the answer with its headers, and its body.
    pub async fn keyed(&self, key: &str, operation: &str, params: &Value) -> (u16, HeaderMap, Value) {
        let request = self.world.client.post(format!("{}{}", self.world.base, self.of_app(&format!("/operations/{operation}"))));
        let request = request.bearer_auth(KEY).header("idempotency-key", key).header("content-type", "application/json");
        let response = self.waiting(send(request.body(params.to_string()))).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    pub async fn done(&self, operation: &str, params: Value) -> Value {
        let (status, body) = self.call(operation, params).await;
        assert_eq!(status, 200, "{} {operation}: {body}", self.platform);
        body["result"].clone()
    }

    pub async fn upload(&self, version: &str) {
        self.done("package.upload", self.goods.uploading(version)).await;
    }

    pub fn named(&self, version: &str) -> Value {
        if self.by_version { json!({ "version": version }) } else { json!({}) }
    }

    pub async fn submit(&self, version: &str) -> Value {
        // Douyin wants ten seconds between two submissions.
        self.world.advance(Duration::from_secs(10));
        self.done("audit.submit", self.goods.submitting(version)).await
    }

    pub async fn judge(&self, version: &str, verdict: Verdict) {
        let (_, answered) = self.world.simulator.audit(self.platform, self.goods.app, version, &verdict).await.unwrap();
        assert!(answered.acknowledged);
    }

    pub async fn release(&self, version: &str) -> Value {
        self.done("package.release", self.named(version)).await
    }

    pub async fn roll_back(&self, version: &str) -> (u16, Value) {
        self.call("package.rollback", self.named(version)).await
    }

    /// From upload to release.
    pub async fn publish(&self, version: &str) {
        self.upload(version).await;
        self.submit(version).await;
        self.judge(version, Verdict::Passed).await;
        self.release(version).await;
    }

    /// Versions with one of these states at the vendor.
    pub async fn versions(&self, states: &[&str]) -> Vec<String> {
        let list = self.done("package.list", json!({})).await;
        let items = list["items"].as_array().unwrap().iter();
        let wanted = items.filter(|item| states.contains(&item["status"].as_str().unwrap_or_default()));
        wanted.map(|item| item["version"].as_str().unwrap().to_owned()).collect()
    }

    async fn released(&self) -> Vec<String> {
        self.versions(&["online", "released"]).await
    }

    /// How often the vendor was asked for that, whatever it answered.
    fn seen(&self, deed: &str) -> usize {
        self.world.simulator.journal().iter().filter(|entry| entry.platform == self.platform && entry.deed == deed).count()
    }

    /// The next call of that kind (submission, release, rollback) gets into trouble.
    fn trouble(&self, call: usize, trouble: CallTrouble) {
        let fault = CallFault { matching: self.calls[call].to_owned(), trouble, times: 1 };
        self.world.simulator.fail_calls(self.platform, fault).unwrap();
    }

    fn assert_struck(&self) {
        assert_eq!(self.world.simulator.call_faults(self.platform).unwrap(), [], "{}: nothing was lost", self.platform);
    }

    /// The numbers in these places of the authorizer's record, once the first of them is that.
    pub async fn places(&self, places: [&str; 3], first: &str) -> [Option<String>; 3] {
        self.world
            .until("the versions of the authorizer", async || {
                let (status, body) = self.world.get(&self.of_app("")).await;
                assert_eq!(status, 200, "{body}");
                let found = places.map(|place| body["versions"][place]["version"].as_str().map(str::to_owned));
                (found[0].as_deref() == Some(first)).then_some(found)
            })
            .await
    }
}

/// An upload by the next process, which cannot know whether the one before it sent it after that moment.
async fn upload_once_more(shop: &Shop, version: &str, since: Timestamp) -> Result<Value, OperationError> {
    let desk = &shop.world.app().desk;
    let params = shop.goods.uploading(version).as_object().unwrap().clone();
    let checked = desk.check(shop.platform, Some(shop.goods.app), "package.upload", params).unwrap();
    Ok(shop.waiting(desk.resume(checked, since)).await?.result)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_an_earlier_process_may_have_sent_is_known_by_its_date() {
    for platform in ["baidu", "douyin", "kuaishou"] {
        let shop = Shop::open(platform).await;
        let (uploads, now) = (|| shop.seen("package.upload"), || shop.world.simulator.now());
        let minutes = |minutes: u64| shop.world.advance(Duration::from_secs(60 * minutes));

        let since = now();
        shop.upload("1.0.0").await;
        minutes(30);
        assert_eq!(upload_once_more(&shop, "1.0.0", since).await.unwrap()["version"], "1.0.0", "{platform}");
        assert_eq!(uploads(), 1, "{platform}: it took place");

        let since = now();
        let too_early = upload_once_more(&shop, "1.1.0", since).await;
        assert!(matches!(too_early, Err(OperationError::OutcomeUnknown { may_show: true, .. })), "{platform}: {too_early:?}");
        assert_eq!(uploads(), 1, "{platform}: it may still come");
        minutes(11);
        assert_eq!(upload_once_more(&shop, "1.1.0", since).await.unwrap()["version"], "1.1.0", "{platform}");
        assert_eq!(uploads(), 2, "{platform}: it never came");

        minutes(30);
        let since = now();
        minutes(11);
        upload_once_more(&shop, "1.1.0", since).await.unwrap();
        assert_eq!(uploads(), 3, "{platform}: what was there before is not its work");

        let since = now();
        shop.upload("1.2.0").await;
        minutes(11);
        let in_the_way = upload_once_more(&shop, "1.1.1", since).await;
        assert!(matches!(in_the_way, Err(OperationError::OutcomeUnknown { may_show: false, .. })), "{platform}: {in_the_way:?}");
        assert_eq!(uploads(), 4, "{platform}: somebody has gone on to another version");
    }
}

async fn lost_answers(platform: &'static str) {
    let shop = Shop::open(platform).await;
    shop.publish("1.0.0").await;

    shop.upload("1.1.0").await;
    shop.trouble(0, CallTrouble::LostAnswer);
    let result = shop.submit("1.1.0").await;
    shop.assert_struck();
    assert_eq!((&result["version"], &result["status"]), (&json!("1.1.0"), &json!("in_audit")), "{result}");
    assert_eq!((shop.versions(&["in_audit"]).await, shop.seen("audit.submit")), (vec![String::from("1.1.0")], 2));

    shop.judge("1.1.0", Verdict::Passed).await;
    shop.trouble(1, CallTrouble::LostAnswer);
    let result = shop.release("1.1.0").await;
    shop.assert_struck();
    assert_eq!(result["version"], "1.1.0", "{result}");
    assert_eq!((shop.released().await, shop.seen("package.release")), (vec![String::from("1.1.0")], 2));

    shop.trouble(2, CallTrouble::LostAnswer);
    let (status, body) = shop.roll_back("1.1.0").await;
    shop.assert_struck();
    assert_eq!(status, 200, "{body}");
    // Baidu is at it for some seconds.
    shop.world.advance(Duration::from_secs(10));
    assert_eq!((shop.released().await, shop.seen("package.rollback")), (vec![String::from("1.0.0")], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn baidu_sees_a_submission_a_release_and_a_rollback_once_whose_answers_are_lost() {
    lost_answers("baidu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn douyin_sees_a_submission_a_release_and_a_rollback_once_whose_answers_are_lost() {
    lost_answers("douyin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kuaishou_sees_a_submission_a_release_and_a_rollback_once_whose_answers_are_lost() {
    lost_answers("kuaishou").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alipay_sees_a_submission_a_release_and_a_rollback_once_whose_answers_are_lost() {
    lost_answers("alipay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_times_out_after_the_vendor_acted_is_found() {
    let shop = Shop::open("douyin").await;
    shop.upload("1.0.0").await;
    shop.submit("1.0.0").await;
    shop.judge("1.0.0", Verdict::Passed).await;
    // Longer than any call waits.
    shop.trouble(1, CallTrouble::SlowMs(60_000));
    assert_eq!(shop.release("1.0.0").await["version"], "1.0.0");
    shop.assert_struck();
    assert_eq!((shop.released().await, shop.seen("package.release")), (vec![String::from("1.0.0")], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_garbles_the_answer_does_not_make_a_release_happen_twice() {
    for platform in PLATFORMS {
        let shop = Shop::open(platform).await;
        shop.upload("1.0.0").await;
        shop.submit("1.0.0").await;
        shop.judge("1.0.0", Verdict::Passed).await;
        shop.trouble(1, CallTrouble::Garbage);
        shop.release("1.0.0").await;
        shop.assert_struck();
        assert_eq!((shop.released().await, shop.seen("package.release")), (vec![String::from("1.0.0")], 1), "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_the_vendor_never_heard_of_is_made_after_all_and_once() {
    for platform in PLATFORMS {
        let shop = Shop::open(platform).await;
        shop.upload("1.0.0").await;
        shop.submit("1.0.0").await;
        shop.judge("1.0.0", Verdict::Passed).await;
        shop.trouble(1, CallTrouble::NotHeard);
        shop.release("1.0.0").await;
        shop.assert_struck();
        assert_eq!((shop.released().await, shop.seen("package.release")), (vec![String::from("1.0.0")], 1), "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_learnt_is_told_with_what_was_asked_and_nothing_is_repeated() {
    let shop = Shop::open("douyin").await;
    shop.publish("1.0.0").await;
    shop.publish("1.1.0").await;
    // A rollback shows after minutes only: that it does not show proves nothing.
    shop.trouble(2, CallTrouble::NotHeard);
    let (status, problem) = shop.roll_back("1.1.0").await;
    shop.assert_struck();
    assert_eq!((status, problem["type"].as_str()), (504, Some("/problems/outcome-unknown")), "{problem}");
    let told = problem.to_string();
    assert!(told.contains("package_version/rollback") && told.contains("package_version/versions"), "{told}");
    assert_eq!((shop.seen("package.rollback"), shop.released().await), (0, vec![String::from("1.1.0")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_vendor_in_trouble_may_have_done_is_told_as_unknown_and_is_not_done_again_under_its_key() {
    let icon = json!({"icon": {"file_name": "lantern.png", "content_base64": "iVBORw0KGgo="}});
    let letter = json!({"open_id": "o1", "msg_type": "text", "content": "信到了"});
    for (platform, operation, params, call, deed, code) in [
        ("baidu", "message.send", letter, "custom/sendbytp", "message.send", "500"),
        ("alipay", "profile.set_icon", icon, "baseinfo.modify", "profile.modify", "isp.unknow-error"),
    ] {
        let shop = Shop::open(platform).await;
        let fault = CallFault { matching: call.to_owned(), trouble: CallTrouble::DoneAndBusy, times: 1 };
        shop.world.simulator.fail_calls(platform, fault).unwrap();
        let (status, headers, problem) = shop.keyed("k1", operation, &params).await;
        shop.assert_struck();
        assert_eq!((status, problem["type"].as_str()), (504, Some("/problems/outcome-unknown")), "{platform}: {problem}");
        assert_eq!(headers.get("retry-after"), None, "{platform}: nobody shall do it again unasked");
        assert_eq!(problem["vendor"]["code"], code, "{platform}: {problem}");
        assert!(problem["vendor"]["message"].as_str().is_some_and(|words| !words.is_empty()), "{platform}: {problem}");
        assert_eq!(problem["vendor"].get("class"), None, "{platform}: what the vendor may be asked again is not this deed");
        for told in ["sent", "cause", "looked_up"] {
            assert!(problem[told].is_string(), "{platform}: {told} in {problem}");
        }
        let (status, headers, again) = shop.keyed("k1", operation, &params).await;
        assert_eq!((status, &again["detail"], headers.contains_key("idempotency-replayed")), (504, &problem["detail"], true), "{platform}");
        assert_eq!(shop.seen(deed), 1, "{platform}");
        // Under another key it is another wish.
        assert_eq!(shop.keyed("k2", operation, &params).await.0, 200, "{platform}");
        assert_eq!(shop.seen(deed), 2, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_a_vendor_in_trouble_made_is_found_and_not_made_again() {
    for platform in PLATFORMS {
        let shop = Shop::open(platform).await;
        shop.upload("1.0.0").await;
        shop.submit("1.0.0").await;
        shop.judge("1.0.0", Verdict::Passed).await;
        shop.trouble(1, CallTrouble::DoneAndBusy);
        assert_eq!(shop.release("1.0.0").await["version"], "1.0.0", "{platform}");
        shop.assert_struck();
        assert_eq!((shop.released().await, shop.seen("package.release")), (vec![String::from("1.0.0")], 1), "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_icon_goes_from_the_callers_form_to_alipay_as_a_file() {
    let shop = Shop::open("alipay").await;
    let mut form =
        b"--cut here\r\nContent-Disposition: form-data; name=\"icon\"; filename=\"lantern.png\"\r\nContent-Type: image/png\r\n\r\n"
            .to_vec();
    form.extend_from_slice(b"\x89PNG\r\n\x1a\n\x00\xff--cut her\r\n--cut here--\r\n");
    let request = shop.world.client.post(format!("{}{}", shop.world.base, shop.of_app("/operations/profile.set_icon")));
    let request = request.bearer_auth(KEY).header("content-type", "multipart/form-data; boundary=\"cut here\"").body(form);
    let (status, body) = shop.waiting(answer(request)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(shop.seen("profile.modify"), 1);
    let icon = shop.done("profile.get", json!({})).await["icon"].clone();
    assert_eq!(icon, "https://example.com/lantern.png");
    // The same with a submission: text parts are signed, pictures are not.
    shop.upload("1.0.0").await;
    let mut submission = crate::operations::alipay::submission("1.0.0");
    submission["first_screen_shot"] = json!({"file_name": "a.png", "content_base64": "iVBORw0KGgo="});
    shop.done("audit.submit", submission).await;
    assert_eq!(shop.versions(&["in_audit"]).await, ["1.0.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_that_is_off_beside_one_that_is_on_answers_the_line_to_write() {
    let mut world = World::new().await;
    let line = "token = \"made_up_kuaishou_token\"\n";
    world.mend(line, &format!("{line}operations.\"capability.apply.live\" = {{ enabled = true }}\n")).await;
    let address = "/v1/components/kuaishou/authorizers/ks700000000000000001/operations/capability.apply";
    let (status, problem) = world.post(address, json!({"capability": "short_video"})).await;
    assert_eq!((status, problem["type"].as_str()), (501, Some("/problems/operation-not-configured")), "{problem}");
    assert!(problem.to_string().contains("capability.apply.short_video"), "{problem}");
    assert!(!problem.to_string().contains("capability.apply.publish"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorizer_shows_which_versions_it_has() {
    for platform in PLATFORMS {
        let shop = Shop::open(platform).await;
        let some = |version: &str| Some(version.to_owned());
        shop.publish("1.0.0").await;
        assert_eq!(shop.places(["released", "in_audit", "approved"], "1.0.0").await, [some("1.0.0"), None, None], "{platform}");
        shop.upload("1.1.0").await;
        shop.submit("1.1.0").await;
        let places = shop.places(["in_audit", "uploaded", "released"], "1.1.0").await;
        assert_eq!(places, [some("1.1.0"), some("1.1.0"), some("1.0.0")], "{platform}");
        // The push tells that it passed.
        shop.judge("1.1.0", Verdict::Passed).await;
        assert_eq!(shop.places(["approved", "in_audit", "released"], "1.1.0").await, [some("1.1.0"), None, some("1.0.0")], "{platform}");
        shop.release("1.1.0").await;
        let places = shop.places(["released", "previous", "approved"], "1.1.0").await;
        assert_eq!(places, [some("1.1.0"), some("1.0.0"), None], "{platform}");
        shop.roll_back("1.1.0").await;
        assert_eq!(shop.places(["released", "previous", "approved"], "1.0.0").await, [some("1.0.0"), None, None], "{platform}");
    }
}
