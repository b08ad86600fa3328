//! What the committed corpus is made of: the fixtures, and a few inputs that somebody hostile would begin with.

use std::fs;

use serde_json::{Value, json};
use yizhan::platform::{self, Opened};

use super::corpus::{self, files, subjects, written};

/// One input of the corpus.
pub struct Seed {
    /// Whose.
    pub target: String,
    /// File name.
    pub name: String,
    /// Content.
    pub input: Vec<u8>,
}

/// Inputs that are written down here.
const WRITTEN: &[(&str, &[&str])] = &[
    (
        "query",
        &[
            "",
            "component=douyin&type=audit.*&since=2026-11-20T08:00:00Z&until=2026-11-21T08:00:00%2B08:00&limit=10",
            "status=dead&q=%E5%AE%A1%E6%A0%B8&authorizer=tt0123*&platform=*",
            "limit=0&limit=1&cursor=abc&nothing=1",
            "{\"rate\":10,\"filter\":{\"component\":\"douyin\",\"x\":1}}",
        ],
    ),
    (
        "cursor",
        &[
            "{\"list\":\"events\",\"filter\":{},\"after\":\"17\"}",
            "{\"list\":\"events\",\"filter\":{\"component\":\"douyin\",\"type\":\"audit.*\",\"since\":\"2026-11-20T08:00:00Z\"},\"after\":\"00000000000000000017\"}",
            "{\"list\":\"audit\",\"filter\":{},\"after\":\"\"}",
            "bm90IGEgY3Vyc29y",
        ],
    ),
    ("glob", &["audit.*\naudit.failed", "*\n", "*a*b*\naabb", "ticket.received\nticket.received", "***\n*"]),
    (
        "address",
        &[
            "https://bot.example.com:8443/hooks/yizhan?a=1",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://1.1.1.1./",
            "http://user@example.com/",
            "http://%31%32%37.0.0.1/",
        ],
    ),
    (
        "vendor_path",
        &[
            "/rest/2.0/smartapp/tp/app/info",
            "/api/apps/v1/package_version/list/",
            "/v1/components/douyin/authorizers/tt1/proxy/api/tpapp/v1/x",
            "/openapi/mp/developer/component/x",
            "/alipay.open.mini.version.list.query",
            "/a/../b",
            "/a/%2e%2e/b",
            "//evil.example.com/a",
        ],
    ),
    ("webhook", &["0evt_2", "11795158246", "2v1,AAAA", "3{\"id\":1}"]),
    (
        "xml",
        &[
            "<XML><AppId>2021000000000001</AppId><FromUserId/><CreateTime>1</CreateTime><MsgType>event</MsgType><EventType>verifygw</EventType></XML>",
            "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol1 \"&lol;&lol;&lol;\">]><lolz>&lol1;</lolz>",
            "<!DOCTYPE foo [<!ENTITY xxe SYSTEM \"file:///etc/passwd\">]><foo>&xxe;</foo>",
            "<a>&#60;b&gt;<![CDATA[<c>]]></a>",
            "<a><b>1</b><b>2</b><b><c/></b></a>",
        ],
    ),
    (
        "placeholder",
        &[
            "{\"version\":\"${event.data.version}\",\"note\":\"for ${authorizer}: $${literal} ${variables.shop.name}\",\"list\":[\"${a.0.b}\",1,null]}",
            "\"${variables.domains}\"",
            "$$${a} ${b} $${ ${c",
            "${}${ a }${a..b}${a-b_1}",
        ],
    ),
    (
        "playbook",
        &[
            "{\"name\":\"onboard\",\"on\":\"authorization.granted\",\"components\":[],\"when\":{\"data.version\":[\"1.0.0\",\"1.0.1\"],\"authorizer\":{\"exists\":true}},\"steps\":[{\"tell\":\"ops\",\"text\":\"${authorizer} is here\"}]}",
            "{\"name\":\"release\",\"on\":[\"audit.passed\"],\"steps\":[{\"operation\":\"package.release\",\"window\":\"22:00-06:00\",\"approval\":true},{\"tell\":\"ops\"}]}",
            "{\"name\":\"first\",\"on\":[\"*\"],\"steps\":[{\"operation\":\"package.upload\",\"with\":{\"template_id\":12,\"version\":\"1.0.3\",\"description\":\"d\"},\"find\":{}}]}",
        ],
    ),
    (
        "rollout",
        &[
            "{\"component\":\"douyin\",\"authorizers\":\"all\",\"template_id\":12,\"version\":\"1.0.3\",\"description\":\"d\",\"variables\":{\"a\":{\"b\":[1]}},\"until\":\"released\",\"concurrency\":8,\"rate\":2.5,\"canary\":1,\"batch\":10,\"stop_above_failed_percent\":20,\"window\":\"22:00-06:00\",\"dry_run\":true}",
            "{\"component\":\"baidu\",\"authorizers\":[\"1\",\"2\"],\"template_id\":\"00012\",\"version\":\"1\",\"description\":\"\"}",
            "{\"component\":\"alipay\",\"authorizers\":{\"tag\":\"north\"},\"template_id\":1,\"version\":\"0.0.1\",\"description\":\"d\",\"rate\":1e-3,\"window\":\"23:59-00:00\"}",
        ],
    ),
    (
        "multipart",
        &[
            "multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n\0\x01\r\n--x--\r\n",
            "multipart/form-data; charset=utf-8; boundary=\"a b\"\nbefore\r\n--a b  \r\nContent-Disposition: form-data; filename=\"%22\"; name=n\r\n\r\n\r\n--a b--",
        ],
    ),
    (
        "configuration",
        &[
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://a.example.com\"\n[store]\nmaster_key = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\nretention = \"30d\"\n[fanout]\nretry = [\"5s\", \"1h\"]\nallow_private = [\"10.0.0.0/8\"]\n[[api_keys]]\nname = \"a\"\nhash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\nscopes = [\"tokens:read@x\", \"*\"]\n",
            "[store]\nmaster_key = { env = \"K\" }\n[[subscriptions]]\nname = \"s\"\nurl = \"https://a.example.com/h\"\nsecret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\nevents = [\"audit.*\"]\nordering = \"authorizer\"\n---\nK=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nYIZHAN__SERVER__LISTEN=0.0.0.0:1\n",
            "[server]\nlisen = 1\nmax_push_bytes = 0x10\n[log]\nlevel = [1.5, 2026-11-20]\n",
        ],
    ),
    (
        "tamper",
        &[
            "\0\0\0\u{11}\u{12}",
            "\u{3}\u{1}\u{5}\u{2}\u{2}\u{2}\u{1}\u{3}",
            "\u{1}\0\u{8}\u{1}\u{1}",
            "\u{3}\u{2}\u{6}\u{4}\u{1}\u{b}\u{1}\u{1}",
            "\u{2}\0\u{d}\0\u{1}",
            "\u{3}\u{7}\u{e}\u{7f}\u{1}",
            "\u{3}\u{8}\u{f}\u{4}\u{1}",
            "\u{3}\u{a}\u{10}\u{1}\u{1}",
        ],
    ),
    (
        "envelope",
        &[
            "\0\x000123456789abcdef0123456789abcdefa text that is sealed",
            "\u{2}\u{1}0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ],
    ),
    (
        "replies",
        &[
            "\0\0{\"errno\":0,\"msg\":\"success\",\"data\":{\"access_token\":\"4a.token\",\"expires_in\":2592000,\"refresh_token\":\"r\"}}",
            "\u{1}\0{\"err_no\":0,\"err_tips\":\"\",\"data\":{\"component_access_token\":\"t\",\"expires_in\":7200}}",
            "\u{2}\0{\"result\":1,\"componentAccessToken\":\"t\",\"expiresIn\":7200}",
            "\u{3}\0{\"alipay_open_auth_token_app_response\":{\"code\":\"10000\",\"msg\":\"Success\",\"tokens\":[{\"app_auth_token\":\"t\",\"app_refresh_token\":\"r\",\"auth_app_id\":\"1\"}]},\"sign\":\"AA==\"}",
            "\u{1}\u{7f}<html>502</html>",
        ],
    ),
];

/// Every seed.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target: &str, name: String, input: Vec<u8>| seeds.push(Seed { target: target.to_owned(), name, input });
    for (target, inputs) in WRITTEN {
        for (index, input) in inputs.iter().enumerate() {
            add(target, format!("written-{index}"), input.as_bytes().to_vec());
        }
    }
    for platform in platform::ALL.iter().map(|platform| platform.name()) {
        for (index, subject) in subjects(platform).iter().enumerate() {
            for (name, raw) in &subject.pushes {
                let name = format!("{platform}-{name}");
                add(&format!("push_{platform}"), name.clone(), written(index, raw));
                let is_form = !raw.body.trim_ascii_start().starts_with(b"{");
                if is_form {
                    add("form", name.clone(), raw.body.to_vec());
                }
                let mut request = format!("POST /callback/{platform}/message HTTP/1.1\r\n").into_bytes();
                for (header, value) in &raw.headers {
                    request.extend([header.as_bytes(), b": ", value, b"\r\n"].concat());
                }
                request.extend([b"\r\n".as_slice(), &raw.body].concat());
                add("capture", name.clone(), request);
                if let Ok(Opened::Push(push)) = subject.component.open(raw) {
                    add(&format!("said_{platform}"), name, opened_again(push.vendor).to_string().into_bytes());
                }
            }
        }
        let sample = platform::named(platform).map(|platform| platform.sample_settings("http://127.0.0.1:9/v")).unwrap_or_default();
        add(
            "configuration",
            format!("component-{platform}"),
            format!("[[components]]\nname = \"a\"\nplatform = \"{platform}\"\n{sample}").into_bytes(),
        );
    }
    let keys = corpus::fixtures().join("keys/alipay");
    for file in files(&keys) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if ["application_public.pem", "application_pkcs1.pem", "other_root.crt"].contains(&name.as_str()) {
            add("keys", name, fs::read(&file).expect("a key"));
        }
    }
    add("keys", String::from("aes"), b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG".to_vec());
    seeds
}

/// What was said before it was sealed, as far as it can be known: with made-up secrets in the sealed places, and nothing of Alipay's signature.
fn opened_again(mut vendor: Value) -> Value {
    fn fill(value: &mut Value) {
        match value {
            Value::String(text) if text == "[sealed]" => *value = json!("made-up-secret-0123456789abcdef"),
            Value::Array(items) => items.iter_mut().for_each(fill),
            Value::Object(members) => members.values_mut().for_each(fill),
            _ => {}
        }
    }
    if let Value::Object(members) = &mut vendor {
        members.retain(|name, _| !["sign", "sign_type", "alipay_cert_sn"].contains(&name.as_str()));
        // The content of Alipay's form is a text.
        if let Some(content) = members.get_mut("biz_content").filter(|content| content.is_object()) {
            fill(content);
            *content = Value::String(content.to_string());
        }
    }
    fill(&mut vendor);
    vendor
}
