//! Robots of chat groups: their forms, signatures and answers, and a stand-in that answers as they do.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::clock::{Clock, ManualClock, Timestamp};
use yizhan::config::Config;
use yizhan::outbound::{Guard, Webhooks};
use yizhan::robot::answer::{self, Heard};
use yizhan::robot::message::Message;
use yizhan::robot::{Kind, Language, Robot, Robots, Untold, letter};
use yizhan::secret::Secret;
use yizhan::settings::Surroundings;

use crate::outbound::receiver::{Manner, Receiver};
use crate::world::configuration;

fn now() -> Timestamp {
    "2026-11-20T07:00:00Z".parse().unwrap()
}

fn failed() -> Value {
    json!({
        "specversion": "1.0", "id": "evt_1", "source": "/components/douyin", "type": "audit.failed", "subject": "tt1",
        "time": "2026-11-20T15:00:00+08:00", "platform": "douyin",
        "data": {
            "version": "1.0.3", "reason": "图片 <@all> [点此](http://x) *不清晰*\n请修改",
            "hosts": [{"host": "douyin", "status": "failed", "reason": "图片不清晰"}, {"host": "toutiao", "status": "passed"}],
            "vendor": {"secret": "never said"},
        },
    })
}

fn robot(kind: Kind, url: &str, secret: Option<&str>, language: Language) -> Robot {
    Robot { name: String::from("ops"), kind, url: Secret::new(url), secret: secret.map(Secret::new), language }
}

fn body(letter: &letter::Letter) -> Value {
    serde_json::from_str(&letter.body).unwrap()
}

#[test]
fn dingtalk_hears_markdown_at_a_signed_address() {
    let address = "https://oapi.dingtalk.com/robot/send?access_token=abc";
    let message = Message::of_event(&failed(), Some("小店"), None, Language::Chinese);
    let letter = letter::write(&robot(Kind::DingTalk, address, Some("SEC0123456789abcdef"), Language::Chinese), &message, now()).unwrap();
    let signed = format!("{address}&timestamp=1795158000000&sign=cX4OKsUz9F2f%2Fyd6Jmm0Tl3tytANMRVoA3QoCdWWUFs%3D");
    assert_eq!(letter.url.expose(), signed);
    let text = "### 驿站 · 代码审核未通过\n\n- **商家**：小店 (tt1)\n- **平台**：抖音 (douyin)\n- **时间**：2026-11-20T15:00:00+08:00\n- **事件**：evt_1\n\
                - **版本**：1.0.3\n- **原因**：图片 ＜@all＞ ［点此］(http://x) ＊不清晰＊ 请修改\n- **宿主端**：douyin · failed · 图片不清晰\n\
                - **宿主端**：toutiao · passed";
    assert_eq!(body(&letter), json!({"msgtype": "markdown", "markdown": {"title": "驿站 · 代码审核未通过", "text": text}}));
    let plain = letter::write(&robot(Kind::DingTalk, address, None, Language::Chinese), &message, now()).unwrap();
    assert_eq!(plain.url.expose(), address, "a robot with a keyword needs no signature");
}

#[test]
fn feishu_hears_plain_lines_with_the_signature_in_the_body() {
    let address = "https://open.feishu.cn/open-apis/bot/v2/hook/abc";
    let message = Message::of_event(&failed(), None, None, Language::English);
    let letter = letter::write(&robot(Kind::Feishu, address, Some("feishu-secret"), Language::English), &message, now()).unwrap();
    assert_eq!(letter.url.expose(), address);
    let line = |text: &str| json!([{"tag": "text", "text": text}]);
    let content = [
        line("Merchant: tt1"),
        line("Platform: Douyin (douyin)"),
        line("Time: 2026-11-20T15:00:00+08:00"),
        line("Event: evt_1"),
        line("Version: 1.0.3"),
        line("Reason: 图片 <@all> [点此](http://x) *不清晰* 请修改"),
        line("Host: douyin · failed · 图片不清晰"),
        line("Host: toutiao · passed"),
    ];
    let expected = json!({
        "timestamp": "1795158000", "sign": "JIW/B7Xot3dhIpTTij0EZ4gictoGMjlUpjqEEGT3Ge4=", "msg_type": "post",
        "content": {"post": {"en_us": {"title": "Yizhan · Audit failed", "content": content}}},
    });
    assert_eq!(body(&letter), expected);
}

#[test]
fn wecom_hears_at_most_4096_bytes_of_markdown() {
    let address = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc";
    let mut event = failed();
    event["type"] = json!("service.suspended");
    event["data"] = json!({"reason": "违规".repeat(5000), "advice": "改".repeat(5000), "category": "类".repeat(5000)});
    let message = Message::of_event(&event, None, None, Language::Chinese);
    let letter = letter::write(&robot(Kind::WeCom, address, None, Language::Chinese), &message, now()).unwrap();
    let body = body(&letter);
    let content = body["markdown"]["content"].as_str().unwrap();
    assert_eq!((letter.url.expose(), &body["msgtype"]), (address, &json!("markdown")));
    assert!(content.len() <= 4096 && content.len() > 4000 && content.ends_with('…'), "{}", content.len());
    assert!(content.starts_with("### 驿站 · 服务被平台停用\n> **商家**：tt1\n> **平台**：抖音 (douyin)\n"), "{content}");
}

#[test]
fn a_text_of_ones_own_replaces_what_the_event_says() {
    let message = Message::of_event(&failed(), None, Some("版本 1.0.3 被拒\n看一下"), Language::Chinese);
    let own: Vec<_> = message.lines.iter().filter(|(label, _)| label.is_empty()).map(|(_, text)| text.as_str()).collect();
    assert_eq!(own, ["版本 1.0.3 被拒", "看一下"]);
    assert!(!message.lines.iter().any(|(label, _)| *label == "原因"));
    let nothing = Message::of_event(&json!({"type": "vendor.other"}), None, None, Language::English);
    assert_eq!((nothing.title.as_str(), nothing.lines.len()), ("Yizhan · vendor.other", 0));
}

#[test]
fn what_a_robot_answers_with_200_is_read() {
    let heard = |kind, body: &str| answer::read(kind, 200, body.as_bytes());
    assert_eq!(heard(Kind::DingTalk, r#"{"errcode":0,"errmsg":"ok"}"#), Heard::Said);
    assert_eq!(heard(Kind::WeCom, r#"{"errcode":0,"errmsg":"ok"}"#), Heard::Said);
    assert_eq!(heard(Kind::Feishu, r#"{"code":0,"msg":"success","data":{}}"#), Heard::Said);
    assert_eq!(heard(Kind::Feishu, r#"{"StatusCode":0,"StatusMessage":"success"}"#), Heard::Said);
    for (kind, body, says) in [
        (Kind::DingTalk, r#"{"errcode":310000,"errmsg":"keywords not in content"}"#, "310000 keywords not in content"),
        (Kind::DingTalk, r#"{"errcode":300001,"errmsg":"token is not exist"}"#, "copy it again"),
        (Kind::Feishu, r#"{"code":19024,"msg":"Key Words Not Found"}"#, "19024 Key Words Not Found"),
        (Kind::Feishu, r#"{"code":19021,"msg":"sign match fail"}"#, "secret"),
        (Kind::WeCom, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, "copy it again"),
        (Kind::WeCom, r#"{"errcode":40058,"errmsg":"too long"}"#, "40058 too long"),
    ] {
        assert!(matches!(heard(kind, body), Heard::Refused(words) if words.contains(says)), "{body}");
    }
    for (kind, body, seconds) in [
        (Kind::DingTalk, r#"{"errcode":130101,"errmsg":"send too fast"}"#, Some(600)),
        (Kind::DingTalk, r#"{"errcode":-1,"errmsg":"system busy"}"#, None),
        (Kind::Feishu, r#"{"code":11232,"msg":"frequency limited"}"#, Some(60)),
        (Kind::WeCom, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#, Some(60)),
        (Kind::WeCom, "<html>", None),
        (Kind::WeCom, r#"{"errcode":"what"}"#, None),
        (Kind::WeCom, "", None),
    ] {
        assert!(matches!(heard(kind, body), Heard::Busy(_, wait) if wait == seconds.map(Duration::from_secs)), "{body}");
    }
    assert!(matches!(answer::read(Kind::Feishu, 404, b"nothing"), Heard::Refused(_)));
    assert!(matches!(answer::read(Kind::Feishu, 502, b"{\"code\":1}"), Heard::Busy(..)));
}

#[tokio::test]
async fn a_message_is_told_once_and_its_address_never() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(now()));
    let mut stand_in = Receiver::with(|seen| match seen.text().contains("1.0.3") {
        true => Manner::headed(200, "", r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#),
        false => Manner::headed(200, "", r#"{"errcode":0,"errmsg":"ok"}"#),
    })
    .await;
    let guard = Guard::allowing(&["127.0.0.0/8".parse().unwrap()]);
    let url = stand_in.url("/cgi-bin/webhook/send?key=sesame");
    let robots = [robot(Kind::WeCom, &url, None, Language::Chinese)];
    assert!(!format!("{robots:?}").contains("sesame"));
    let robots = Robots::new(robots, Webhooks::new(guard).unwrap(), Duration::from_secs(5), Arc::clone(&clock));
    let message = Message::of_event(&failed(), None, None, Language::Chinese);
    let Err(Untold::Later(words, Some(until))) = robots.tell("ops", &message).await else { panic!("it is busy") };
    assert!(words.contains("robot `ops` (wecom): 45009") && !words.contains("sesame"), "{words}");
    assert_eq!(until, "2026-11-20T07:01:00Z".parse().unwrap());
    let quiet = Message::of_event(&failed(), None, Some("hello"), Language::Chinese);
    assert_eq!(robots.tell("ops", &quiet).await, Ok(()));
    assert_eq!(stand_in.next().await.line, "POST /cgi-bin/webhook/send?key=sesame HTTP/1.1");
    assert!(matches!(robots.tell("nobody", &quiet).await, Err(Untold::Refused(_))));

    let closed = Robots::new(
        [robot(Kind::WeCom, &url, None, Language::Chinese)],
        Webhooks::new(Guard::default()).unwrap(),
        Duration::from_secs(5),
        clock,
    );
    let Err(Untold::Refused(words)) = closed.tell("ops", &quiet).await else { panic!("the guard does not let it through") };
    assert!(words.contains("allow_private") && !words.contains("sesame"), "{words}");
}

#[test]
fn mistakes_of_robots_are_told_at_once_and_no_address_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let robots = r#"
        [[robots]]
        name = "a"
        kind = "dingtalk"
        url = "https://oapi.dingtalk.com/robot/send?token=sesame"
        [[robots]]
        name = "b"
        kind = "slack"
        url = "https://hooks.example.com/sesame"
        [[robots]]
        name = "c"
        kind = "wecom"
        url = "http://qyapi.example.com/send?key=sesame"
        secret = "x"
        [[robots]]
        name = "c"
        url = "https://open.feishu.cn/open-apis/bot/v2/hook/"
        kind = "feishu"
        language = "fr"
    "#;
    let text = format!("{}\n{robots}", configuration(folder.path(), "http://127.0.0.1:1"));
    let problems = Config::parse(&text, Surroundings::default()).err().unwrap();
    let mut places: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    places.sort_unstable();
    let expected =
        ["robots.a.url", "robots.b.kind", "robots.c.language", "robots.c.name", "robots.c.secret", "robots.c.url", "robots.c.url"];
    assert_eq!(places, expected, "{problems:#?}");
    assert!(!format!("{problems:?}").contains("sesame"));
}
