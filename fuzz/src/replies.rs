//! What a vendor, or somebody in its place, answers to a call: read or refused, never shown.

use yizhan::platform::Reply;
use yizhan::platform::token::LinkRequest;

use super::corpus::{self, subjects};

/// The first byte chooses the platform, the second the status.
pub fn replies(input: &[u8]) {
    let [platform, status, body @ ..] = input else { return };
    let platform = ["baidu", "douyin", "kuaishou", "alipay"][usize::from(*platform) % 4];
    let Some(subject) = subjects(platform).first() else { return };
    let component = &subject.component;
    let status = if *status < 0x80 { 200 } else { 400 + u16::from(*status & 0x7f) };
    let reply = Reply { status, content_type: String::from("application/json"), body: body.to_vec().into() };
    let mut said = Vec::new();
    let mut note = |error: yizhan::platform::ApiError| said.push(error.to_string());
    for family in component.families() {
        component.read_component_token(*family, &reply, corpus::now()).map_err(&mut note).ok();
        component.read_tokens(*family, &reply, corpus::now()).map_err(&mut note).ok();
        component.read_recovered(*family, "yz0123456789abcdef", &reply, corpus::now()).map_err(&mut note).ok();
    }
    component.read_start_tickets(&reply).map_err(&mut note).ok();
    component.read_identity(&reply).map_err(&mut note).ok();
    let request = LinkRequest { redirect_uri: String::from("https://a.example.com/"), state: String::from("s") };
    component.link(&request, Some(&reply), corpus::now()).map_err(&mut note).ok();
    if let Ok(query) = std::str::from_utf8(body) {
        component.returned(query, corpus::now()).map_err(&mut note).ok();
    }
    // An error goes to logs and to callers: it is short, whatever was answered.
    for text in said {
        assert!(text.len() <= 2_000, "{platform}: {} bytes of error", text.len());
    }
}
