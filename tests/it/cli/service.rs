//! Commands that need a service, against a stand-in that answers what it is told and remembers what it was asked.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use super::{Ran, command};

/// One request that came in: method, path with query, `authorization`, `last-event-id`, body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    key: String,
    last_event_id: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// One answer: status, content type, body.
pub type Answer = (u16, &'static str, Vec<u8>);

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Asked>>,
}

/// A stand-in for the service on a free port.
pub struct StandIn {
    url: String,
    script: Arc<Script>,
    stop: actix_web::dev::ServerHandle,
}

async fn answer(request: HttpRequest, body: web::Bytes, script: web::Data<Script>) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    script.asked.lock().unwrap().push(Asked {
        line: format!("{} {}", request.method(), request.uri()),
        key: header("authorization").unwrap_or_default(),
        last_event_id: header("last-event-id"),
        headers: request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, kind, body) = script.answers.lock().unwrap().pop_front().unwrap_or((500, "text/plain", b"nothing left to say".to_vec()));
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).content_type(kind).body(body)
}

impl StandIn {
    pub fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
        let (tell, told) = std::sync::mpsc::channel();
        let data = web::Data::from(Arc::clone(&script));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)));
                let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                tell.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, stop) = told.recv().unwrap();
        Self { url: format!("http://{address}"), script, stop }
    }

    pub fn json(body: Value) -> Self {
        Self::answering([ok(body)])
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_in(Path::new("."), arguments)
    }

    pub fn run_in(&self, folder: &Path, arguments: &[&str]) -> Ran {
        self.environment(&mut command(folder, arguments)).output().unwrap().into()
    }

    /// Tells a command where the service is.
    pub fn environment<'a>(&self, command: &'a mut std::process::Command) -> &'a mut std::process::Command {
        command.env("YIZHAN_URL", &self.url).env("YIZHAN_API_KEY", "yzk_test")
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.stop(false));
    }
}

pub fn ok(body: Value) -> Answer {
    (200, "application/json", body.to_string().into_bytes())
}

pub fn problem(status: u16, body: Value) -> Answer {
    (status, "application/problem+json", body.to_string().into_bytes())
}

fn event(number: u32) -> Value {
    json!({"specversion": "1.0", "id": format!("evt_{number}"), "source": "/components/douyin", "type": "audit.passed", "subject": "tt01",
        "receivedat": "2026-11-20T07:04:05Z", "vendortype": "PACKAGE_AUDIT", "platform": "douyin", "data": {"vendor": {}}})
}

#[test]
fn a_token_is_printed_alone_and_the_key_is_sent() {
    let service = StandIn::json(json!({"access_token": "at-1", "generation": 1, "expires_at": "2026-11-20T08:00:00Z"}));
    let ran = service.run(&["token", "douyin", "tt/01", "--min-ttl", "300", "--family", "v1"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "at-1\n", "valid until 2026-11-20T08:00:00Z\n"));
    assert_eq!(service.lines(), ["GET /v1/components/douyin/authorizers/tt%2F01/token?min_ttl=300&family=v1"]);
    assert_eq!(service.asked()[0].key, "Bearer yzk_test");

    let service = StandIn::json(json!({"access_token": "at-1", "generation": 1}));
    assert_eq!(service.run(&["token", "douyin", "--json"]).json()["generation"], 1);
    assert_eq!(service.lines(), ["GET /v1/components/douyin/token"]);
}

#[test]
fn a_refusal_of_the_service_is_told_with_detail_hint_and_request() {
    let body = json!({"type": "/problems/no-ticket", "title": "no ticket", "status": 503, "detail": "no ticket since 02:10",
        "hint": "check the authorization-receive URL", "request_id": "req_1"});
    let ran = StandIn::answering([problem(503, body)]).run(&["token", "douyin"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let told = "error: no ticket: no ticket since 02:10 (status 503, request req_1)\nhint: check the authorization-receive URL\n";
    assert_eq!(ran.err, told);

    let ran = StandIn::answering([problem(401, json!({"title": "unauthenticated", "status": 401}))]).run(&["token", "douyin"]);
    assert!(ran.err.contains("hint: check YIZHAN_API_KEY"), "{}", ran.err);
    let ran = StandIn::answering([(502, "text/html", b"<html>".to_vec())]).run(&["token", "douyin"]);
    assert_eq!(ran.err, "error: the service answered 502 Bad Gateway\n");
    let ran = StandIn::answering([(200, "text/html", b"<html>".to_vec())]).run(&["token", "douyin"]);
    assert!(ran.err.starts_with("error: the answer is not a JSON object\nhint: "), "{}", ran.err);
}

#[test]
fn a_service_that_is_not_there_and_a_missing_key_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let ran: Ran = command(folder.path(), &["token", "a", "--url", "http://127.0.0.1:1", "--key", "yzk_x"]).output().unwrap().into();
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("http://127.0.0.1:1 cannot be reached") && ran.err.contains("hint: is the service running"), "{}", ran.err);
    assert!(!ran.err.contains("yzk_x"));
    let ran: Ran = command(folder.path(), &["token", "a"]).output().unwrap().into();
    assert_eq!((ran.code, ran.err.lines().next()), (2, Some("error: no API key")));
    let ran: Ran = command(folder.path(), &["token", "a", "--url", "localhost:80", "--key", "x"]).output().unwrap().into();
    assert_eq!(ran.code, 2);
}

#[test]
fn a_key_with_a_line_break_behind_it_is_sent_without_and_one_that_no_header_takes_is_wrong_use() {
    let service = StandIn::json(json!({"access_token": "at-1", "generation": 1}));
    let with = |key: &str| -> Ran {
        service.environment(&mut command(Path::new("."), &["token", "douyin"])).env("YIZHAN_API_KEY", key).output().unwrap().into()
    };
    let ran = with(" yzk_test\r\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "at-1\n"), "{}", ran.err);
    assert_eq!(service.asked()[0].key, "Bearer yzk_test");
    for (key, told) in
        [("yzk_test\n[[api_keys]]", "error: the API key has a line break"), ("yzk_密", "error: the API key"), ("\n", "error: no API key")]
    {
        let ran = with(key);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.starts_with(told) && ran.err.contains("YIZHAN_API_KEY") && !ran.err.contains("yzk_test"), "{}", ran.err);
    }
    assert_eq!(service.lines().len(), 1);
}

#[test]
fn events_are_listed_over_pages_until_the_limit() {
    let service = StandIn::answering([
        ok(json!({"items": [event(3), event(2)], "next_cursor": "c/1"})),
        ok(json!({"items": [event(1)], "next_cursor": "c2"})),
    ]);
    let ran = service.run(&["events", "list", "--type", "audit.*", "--limit", "3", "--since", "2026-11-20T00:00:00Z"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[1], "2026-11-20T07:04:05Z  audit.passed  douyin     tt01        PACKAGE_AUDIT  evt_3");
    assert!(rows[0].starts_with("RECEIVED              TYPE"), "{}", rows[0]);
    assert!(ran.err.contains("there are more"));
    assert_eq!(
        service.lines(),
        ["GET /v1/events?type=audit.*&since=2026-11-20T00%3A00%3A00Z&limit=3", "GET /v1/events?cursor=c%2F1&limit=1"]
    );

    let ran = StandIn::json(json!({"items": [event(1)]})).run(&["events", "list", "--json"]);
    assert_eq!(ran.json(), json!({"items": [event(1)]}));
    let ran = StandIn::json(json!({})).run(&["events", "list", "--since", "yesterday"]);
    assert_eq!(ran.code, 2);
}

#[test]
fn text_from_elsewhere_cannot_command_the_terminal() {
    let mut hostile = event(1);
    hostile["subject"] = json!("tt\u{1b}[2J\u{7}");
    let ran = StandIn::json(json!({"items": [hostile]})).run(&["events", "list"]);
    assert!(!ran.out.contains('\u{1b}') && ran.out.contains("tt\u{fffd}[2J\u{fffd}"), "{:?}", ran.out);
}

#[test]
fn one_event_is_shown_in_full() {
    let ran = StandIn::json(event(7)).run(&["events", "show", "evt_7"]);
    assert!(ran.out.contains("\n  \"id\": \"evt_7\""), "{}", ran.out);
    assert_eq!(StandIn::json(event(7)).run(&["events", "show", "evt_7", "--json"]).out.lines().count(), 1);
}

#[test]
fn an_export_is_a_whole_file_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let service = StandIn::answering([ok(json!({"items": [event(2)], "next_cursor": "c"})), ok(json!({"items": [event(1)]}))]);
    let ran = service.run_in(folder.path(), &["events", "export", "--output", "out.jsonl"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    let text = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    let ids: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, ["evt_2", "evt_1"]);

    let service = StandIn::answering([ok(json!({"items": [event(2)], "next_cursor": "c"})), problem(503, json!({"title": "unavailable"}))]);
    let ran = service.run_in(folder.path(), &["events", "export", "--output", "other.jsonl"]);
    assert_eq!(ran.code, 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written is left behind");
}

fn frames(numbers: &[u32]) -> Answer {
    let frames = numbers.iter().map(|number| format!("id: evt_{number}\nevent: audit.passed\ndata: {}\n\n", event(*number)));
    (200, "text/event-stream", format!(": hello\n\n{}", frames.collect::<String>()).into_bytes())
}

#[test]
fn a_broken_stream_is_taken_up_after_the_last_event() {
    let service = StandIn::answering([frames(&[1, 2]), problem(503, json!({"title": "unavailable"})), frames(&[3])]);
    let ran = service.run(&["events", "tail", "--component", "douyin", "--count", "3", "--after", "evt_0"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.lines().map(|line| line.split_whitespace().last().unwrap()).collect::<Vec<_>>(), ["evt_1", "evt_2", "evt_3"]);
    assert!(ran.err.contains("stream: hello"), "{}", ran.err);
    let ids: Vec<Option<String>> = service.asked().into_iter().map(|asked| asked.last_event_id).collect();
    assert_eq!(ids, [Some("evt_0".into()), Some("evt_2".into()), Some("evt_2".into())]);
    assert_eq!(service.lines()[0], "GET /v1/events/stream?component=douyin");
}

#[test]
fn a_stream_that_is_refused_for_good_ends_the_command() {
    let service = StandIn::answering([frames(&[1]), problem(401, json!({"title": "unauthenticated"}))]);
    let ran = service.run(&["events", "tail", "--count", "2", "--json"]);
    assert_eq!((ran.code, ran.json()["id"].as_str()), (1, Some("evt_1")));
    assert!(ran.err.contains("error: the stream cannot be taken up again\n  because: unauthenticated"), "{}", ran.err);
}

#[test]
fn listening_forwards_the_body_as_it_came_and_shows_what_the_handler_said() {
    let service = StandIn::answering([frames(&[1, 2])]);
    let handler = StandIn::answering([(200, "text/plain", Vec::new()), (500, "text/plain", b"no".to_vec())]);
    let target = format!("{}/hooks?x=1", handler.url);
    let ran = service.run(&["listen", "--forward-to", &target, "--count", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert!(rows[0].contains("evt_1  -> 200 (") && rows[1].contains("evt_2  -> 500 ("), "{rows:?}");
    let asked = handler.asked();
    assert_eq!((asked[0].line.as_str(), asked[0].body.as_str()), ("POST /hooks?x=1", event(1).to_string().as_str()));
    let header = |name: &str| asked[0].headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    assert_eq!(header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(header("webhook-id"), Some("evt_1"));
    assert_eq!(header("authorization"), None, "the handler never sees the API key");
}

#[test]
fn listening_signs_for_handlers_that_verify() {
    use yizhan::clock::{Clock, SystemClock};
    use yizhan::fanout::signature::{Headers, verify};
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let service = StandIn::answering([frames(&[1])]);
    let handler = StandIn::answering([(204, "text/plain", Vec::new())]);
    let ran = service.run(&["listen", "--forward-to", &handler.url, "--count", "1", "--secret", secret]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = handler.asked().remove(0);
    let headers = Headers::pick(asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
    verify(&[secret.into()], headers, asked.body.as_bytes(), SystemClock.now()).unwrap();
    assert_eq!(service.run(&["listen", "--forward-to", &handler.url, "--secret", "nonsense"]).code, 2);
}

#[test]
fn a_handler_that_is_not_there_is_shown_and_listening_goes_on() {
    let service = StandIn::answering([frames(&[1])]);
    let ran = service.run(&["listen", "--forward-to", "http://127.0.0.1:1/", "--count", "1", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!((ran.json()["event"].as_str(), ran.json()["error"].as_str()), (Some("evt_1"), Some("no connection")));
}

#[test]
fn one_event_is_sent_again() {
    let service = StandIn::json(json!({"deliveries": ["dlv_1"]}));
    let ran = service.run(&["events", "replay", "evt_1", "--subscription", "bot"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        (service.lines()[0].as_str(), service.asked()[0].body.as_str()),
        ("POST /v1/events/evt_1/replay", r#"{"subscription":"bot"}"#)
    );
    assert_eq!(ran.err, "evt_1 is on its way again\n");
}

#[test]
fn an_event_that_no_subscription_wants_is_not_said_to_be_on_its_way() {
    let answer = json!({"event_id": "evt_1", "deliveries": []});
    let ran = StandIn::json(answer.clone()).run(&["events", "replay", "evt_1"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "evt_1 was not sent: no subscription wants it\n"));
    assert_eq!(StandIn::json(answer.clone()).run(&["events", "replay", "evt_1", "--json"]).json(), answer);
}

#[test]
fn a_bulk_replay_is_counted_confirmed_and_watched() {
    let job = |state: &str| json!({"id": "rpl_1", "state": state, "matched": 3, "enqueued": 9, "delivered": 8, "dead": 1});
    let arguments = ["events", "replay", "--type", "audit.*", "--rate", "5"];
    let service = StandIn::answering([
        ok(json!({"matched": 7})),
        (202, "application/json", job("running").to_string().into_bytes()),
        ok(job("running")),
        ok(job("done")),
    ]);
    let ran = service.run(&[&arguments[..], &["--yes"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out, "rpl_1 done: 3 events, 9 deliveries enqueued, 8 delivered, 1 dead\n");
    let bodies: Vec<Value> = service.asked()[..2].iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect();
    assert_eq!(bodies[0], json!({"filter": {"type": "audit.*"}, "rate": 5, "dry_run": true}));
    assert_eq!(bodies[1], json!({"filter": {"type": "audit.*"}, "rate": 5, "dry_run": false}));

    let service = StandIn::json(json!({"matched": 7}));
    let ran = service.run(&arguments);
    assert_eq!((ran.code, service.lines().len()), (2, 1), "nobody could be asked, so nothing was sent");
    assert!(ran.err.contains("send 7 events again?") && ran.err.contains("--yes"), "{}", ran.err);
    let ran = StandIn::json(json!({"matched": 7})).run(&[&arguments[..], &["--dry-run"]].concat());
    assert_eq!(ran.out, "7 events\n");
    assert_eq!(StandIn::json(json!({})).run(&["events", "replay"]).code, 2, "everything must be asked for");
    let service = StandIn::json(job("cancelled"));
    assert_eq!(service.run(&["events", "replay", "rpl_1", "--job", "cancel"]).code, 0);
    assert_eq!(service.lines(), ["POST /v1/replays/rpl_1/cancel"]);
}

#[test]
fn what_holds_for_a_filter_alone_is_refused_beside_an_id_before_anything_is_sent() {
    for (id, more) in [
        ("evt_1", &["--dry-run"][..]),
        ("evt_1", &["--rate", "5"]),
        ("rpl_1", &["--dry-run"]),
        ("rpl_1", &["--rate", "5"]),
        ("rpl_1", &["--subscription", "bot"]),
    ] {
        let service = StandIn::json(json!({"deliveries": ["dlv_1"], "id": "rpl_1", "state": "done"}));
        let ran = service.run(&[&["events", "replay", id], more].concat());
        assert_eq!((ran.code, ran.out.as_str(), service.lines().len()), (2, "", 0), "{id} {more:?}: {}", ran.err);
        assert!(ran.err.contains(more[0]), "{}", ran.err);
    }
}

#[test]
fn deliveries_are_listed_and_tried_again() {
    let delivery = json!({"id": "dlv_1", "event_id": "evt_1", "subscription": "机器人", "status": "dead", "attempts": 11});
    let service = StandIn::json(json!({"items": [delivery]}));
    let ran = service.run(&["deliveries", "list", "--status", "dead", "--subscription", "机器人"]);
    assert_eq!(
        ran.out,
        "ID     STATUS  SUBSCRIPTION  ATTEMPTS  NEXT ATTEMPT  EVENT\ndlv_1  dead    机器人        11        -             evt_1\n"
    );

    let service = StandIn::answering([ok(json!({"items": [delivery]})), ok(delivery.clone())]);
    let ran = service.run(&["deliveries", "retry", "--status", "dead", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 deliveries are on their way again\n"), "{}", ran.err);
    assert_eq!(service.lines(), ["GET /v1/deliveries?status=dead&limit=500", "POST /v1/deliveries/dlv_1/retry"]);
    assert_eq!(StandIn::json(json!({})).run(&["deliveries", "retry"]).code, 2);

    let none = || StandIn::json(json!({"items": []}));
    let ran = none().run(&["deliveries", "retry", "--status", "dead", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "0 deliveries are on their way again\n"), "{}", ran.err);
    let ran = none().run(&["deliveries", "retry", "--status", "dead", "--yes", "--json"]);
    assert_eq!((ran.code, ran.json()), (0, json!({"items": [], "refused": []})), "{}", ran.err);
}

fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = yizhan::store::archive::ArchiveWriter::new(&mut bytes).unwrap();
    archive.section("log").unwrap();
    archive.record(b"key", b"value").unwrap();
    archive.finish().unwrap();
    bytes
}

#[test]
fn a_backup_is_kept_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let service = StandIn::answering([(200, "application/octet-stream", archive())]);
    let ran = service.run_in(folder.path(), &["backup", "a.backup", "--json"]);
    assert_eq!((ran.code, ran.json()["records"].as_u64()), (0, Some(1)), "{}", ran.err);
    assert_eq!(std::fs::read(folder.path().join("a.backup")).unwrap(), archive());
    assert_eq!(service.lines(), ["GET /v1/backup"]);

    let mut short = archive();
    short.truncate(short.len() - 40);
    for (wrong, words) in [(short, "truncated"), (b"<html>".to_vec(), "not a backup")] {
        let ran = StandIn::answering([(200, "application/octet-stream", wrong)]).run_in(folder.path(), &["backup", "a.backup"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains(words) && ran.err.contains("hint: "), "{}", ran.err);
        assert_eq!(std::fs::read(folder.path().join("a.backup")).unwrap(), archive(), "the older one stays");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_file_is_written_where_a_link_leads_and_never_in_the_place_of_what_is_none() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    std::fs::create_dir_all(path("elsewhere")).unwrap();
    symlink("pipe", path("to-pipe")).unwrap();
    let service = StandIn::json(json!({"items": []}));
    for place in ["pipe", "to-pipe", "elsewhere", "/dev/fd/1"] {
        let backup = service.run_in(folder.path(), &["backup", place]);
        let export = service.run_in(folder.path(), &["events", "export", "-o", place]);
        let init = service.run_in(folder.path(), &["init", "--force", "--config", place]);
        for (ran, hint) in [(backup, "name a file"), (export, "leave -o out to write to standard output"), (init, "--config")] {
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{place}: {}", ran.err);
            assert!(ran.err.contains(&format!("{place} is not a file\nhint: ")) && ran.err.contains(hint), "{}", ran.err);
        }
    }
    assert_eq!(service.lines(), [""; 0], "nothing was fetched for it");
    assert!(std::fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo() && path("elsewhere").is_dir());

    // A link to a file, one to where none is yet, and one to another link in another folder.
    std::fs::write(path("elsewhere/old.yz"), "old").unwrap();
    for (link, target) in
        [("old", "elsewhere/old.yz"), ("new", "elsewhere/new.yz"), ("elsewhere/back", "../far.yz"), ("far", "elsewhere/back")]
    {
        symlink(target, path(link)).unwrap();
    }
    for (link, target) in [("old", "elsewhere/old.yz"), ("new", "elsewhere/new.yz"), ("far", "far.yz")] {
        let ran = StandIn::answering([(200, "application/octet-stream", archive())]).run_in(folder.path(), &["backup", link]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(path(link).is_symlink() && !path(target).is_symlink(), "{link}");
        assert_eq!(std::fs::read(path(target)).unwrap(), archive(), "{link}");
    }
    symlink("round", path("round")).unwrap();
    assert_eq!(service.run_in(folder.path(), &["backup", "round"]).code, 1);
    assert!(path("round").is_symlink());
}

#[cfg(unix)]
#[test]
fn a_backup_that_is_asked_to_stop_leaves_nothing() {
    use std::io::{Read as _, Write as _};
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    for (arguments, signal) in
        [(&["backup", "a.backup"][..], "TERM"), (&["backup", "a.backup"], "INT"), (&["events", "export", "-o", "a.jsonl"], "TERM")]
    {
        let folder = tempfile::tempdir().unwrap();
        let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut backup = command(folder.path(), arguments);
        backup.env("YIZHAN_URL", format!("http://{}", service.local_addr().unwrap())).env("YIZHAN_API_KEY", "yzk_test");
        let backup = backup.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let (mut asked, _) = service.accept().unwrap();
        assert_ne!(asked.read(&mut [0; 1024]).unwrap(), 0);
        // It has begun its file, and waits for the rest of an answer that never comes.
        asked.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun").unwrap();
        assert_eq!(names(folder.path()).len(), 1, "{arguments:?}");
        let id = backup.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let ran = backup.wait_with_output().unwrap();
        assert_eq!((ran.status.code(), ran.stderr.ends_with(b"interrupted\n")), (Some(1), true), "{arguments:?} {signal}");
        assert_eq!(names(folder.path()), [""; 0], "{arguments:?} {signal}");
    }
}

#[test]
fn attributes_are_listed_changed_and_read_from_a_file() {
    let noted = json!({"component": "douyin", "authorizer": "tt1", "tags": ["gold"], "variables": {"shop": "小店"}});
    let service = StandIn::answering([ok(json!({"items": [noted]})), ok(noted.clone()), ok(noted.clone()), ok(json!({"changed": 2}))]);
    let list = service.run(&["authorizers", "attributes", "douyin", "--tagged", "gold"]);
    assert_eq!(list.out, "APP ID  TAGS  VARIABLES\ntt1     gold  {\"shop\":\"小店\"}\n", "{}", list.err);
    service.run(&["authorizers", "attributes", "douyin", "tt1"]);
    service.run(&["authorizers", "attributes", "douyin", "tt1", "--tag", "new", "--set", "n=3", "--set", "shop=小店", "--unset", "x"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.jsonl"), "{\"authorizer\":\"tt1\"}\n\n{\"authorizer\":\"tt2\"}\n").unwrap();
    let ran = service.run_in(folder.path(), &["authorizers", "attributes", "douyin", "--file", "all.jsonl", "--merge"]);
    assert_eq!(ran.out, "2 authorizers noted\n", "{}", ran.err);
    assert_eq!(
        service.lines(),
        [
            "GET /v1/components/douyin/attributes?tag=gold&limit=100",
            "GET /v1/components/douyin/authorizers/tt1/attributes",
            "PATCH /v1/components/douyin/authorizers/tt1/attributes",
            "POST /v1/components/douyin/attributes",
        ]
    );
    let body = |index: usize| serde_json::from_str::<Value>(&service.asked()[index].body).unwrap();
    assert_eq!(body(2), json!({"add_tags": ["new"], "remove_tags": [], "variables": {"n": 3, "shop": "小店", "x": null}}));
    assert_eq!(body(3), json!({"mode": "merge", "items": [{"authorizer": "tt1"}, {"authorizer": "tt2"}]}));
}

#[test]
fn an_answer_of_somebody_else_is_no_success() {
    let kinds = [(200, "text/html", &b"<p>hello"[..]), (200, "application/json", b""), (204, "", b""), (200, "application/json", b"[1]")];
    for (status, kind, body) in kinds.into_iter().chain([(200, "application/json", &b"null"[..])]) {
        let commands: [&[&str]; 6] = [
            &["token", "douyin"],
            &["events", "show", "evt_1"],
            &["events", "replay", "evt_1"],
            &["deliveries", "retry", "dlv_1"],
            &["rollout", "pause", "rol_1", "--json"],
            &["reconcile", "douyin"],
        ];
        for arguments in commands {
            let ran = StandIn::answering([(status, kind, body.to_vec())]).run(arguments);
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?} {body:?}");
            assert!(ran.err.contains("the answer is not a JSON object\nhint: does --url name"), "{}", ran.err);
        }
        let ran = StandIn::answering([(status, kind, body.to_vec())]).run(&["events", "tail"]);
        assert!(ran.code == 1 && ran.err.contains("no stream of events\nhint: does --url name"), "{}", ran.err);
    }
}

#[test]
fn a_list_that_goes_round_in_a_circle_is_not_followed_for_ever() {
    for arguments in [&["events", "list", "--limit", "1000"][..], &["events", "export"], &["rollout", "list"]] {
        let page = ok(json!({"items": [], "next_cursor": "same"}));
        let service = StandIn::answering([page.clone(), page.clone(), page]);
        let ran = service.run(arguments);
        assert!(ran.code == 1 && ran.err.contains("goes round in a circle"), "{}", ran.err);
        assert_eq!(service.lines().len(), 2);
    }
}

#[test]
fn words_of_a_refusal_cannot_command_the_terminal() {
    let body = json!({"title": "\u{1b}[2Jno", "detail": "a\rb\u{9b}1m", "hint": "x\u{7}y", "request_id": "r\u{0}", "vendor": {"message": "\u{1b}]0;z\u{7f}"}, "\u{1b}c": 1});
    let ran = StandIn::answering([problem(502, body)]).run(&["token", "douyin"]);
    assert_eq!(ran.code, 1);
    assert!(!ran.err.chars().any(|c| c.is_control() && c != '\n'), "{:?}", ran.err);
    assert!(ran.err.contains("no: a") && ran.err.contains("hint: x"), "{:?}", ran.err);
}

#[test]
fn a_name_that_would_lead_elsewhere_is_not_asked_for() {
    let commands: [&[&str]; 5] = [
        &["events", "show", ".."],
        &["events", "replay", "."],
        &["token", ""],
        &["rollout", "pause", ".."],
        &["deliveries", "retry", ".."],
    ];
    for arguments in commands {
        let service = StandIn::json(json!({"items": []}));
        let ran = service.run(arguments);
        assert!(ran.code == 1 && ran.err.contains("is no name and no id"), "{arguments:?}: {}", ran.err);
        assert!(service.lines().is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_bulk_retry_goes_on_past_a_refusal_and_tells_at_the_end() {
    let listed = json!({"items": [{"id": "dlv_1"}, {"id": "dlv_2"}, {"id": "dlv_3"}]});
    let gone = || problem(409, json!({"title": "conflict", "detail": "the subscription `shut` of this delivery is not there any more"}));
    let service = StandIn::answering([ok(listed.clone()), gone(), ok(json!({"id": "dlv_2"})), gone()]);
    let ran = service.run(&["deliveries", "retry", "--status", "dead", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "1 deliveries are on their way again\n"), "{}", ran.err);
    assert!(ran.err.contains("dlv_3: conflict: the subscription `shut`"), "{}", ran.err);
    assert!(ran.err.contains("error: 2 of 3 deliveries were not tried again"), "{}", ran.err);
    assert_eq!(service.lines().len(), 4);

    // What is no delivery's fault ends it.
    let service = StandIn::answering([ok(listed), ok(json!({"id": "dlv_1"})), problem(401, json!({"title": "unauthenticated"}))]);
    let ran = service.run(&["deliveries", "retry", "--status", "dead", "--yes", "--json"]);
    assert_eq!((ran.code, ran.json()["items"].as_array().unwrap().len()), (1, 1), "{}", ran.err);
    assert!(ran.err.contains("2 of 3 deliveries were not tried again"), "{}", ran.err);
    assert_eq!(service.lines().len(), 3);
}

#[test]
fn a_stream_that_broke_before_its_first_event_is_taken_up_from_where_it_began_and_gaps_are_told() {
    let text = |text: &str| (200, "text/event-stream", text.as_bytes().to_vec());
    let gap = "event: gap\ndata: {\"reason\":\"expunged\",\"detail\":\"they are no longer kept\"}\n\n";
    let service = StandIn::answering([
        text("retry: 2000\nid: seq_7\n: from now\n\n"),
        text(&format!("id: seq_7\n: resumed\n\n{gap}id: evt_1\ndata: {}\n\n: still here\nid: seq_9\n\n", event(1))),
        text(&format!("id: seq_9\n: resumed\n\nid: evt_2\ndata: {}\n\n", event(2))),
    ]);
    let ran = service.run(&["events", "tail", "--count", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.lines().map(|line| line.split_whitespace().last().unwrap()).collect::<Vec<_>>(), ["evt_1", "evt_2"]);
    assert!(ran.err.contains("events are missing here: they are no longer kept"), "{}", ran.err);
    let ids: Vec<Option<String>> = service.asked().into_iter().map(|asked| asked.last_event_id).collect();
    assert_eq!(ids, [None, Some("seq_7".into()), Some("seq_9".into())]);
}
