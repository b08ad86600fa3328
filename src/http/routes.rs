//! Every address we answer, in one list, with what OpenAPI says of it. A method that is not listed for an address is 405, an address that is
//! not listed is 404.
//!
//! [`configure`] registers the list, `openapi` describes it: nothing is answered that is not described, and the reverse.

use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Route};

use super::passage::Address;
use super::problem::Problem;
use super::{
    attributes, audit, authorize, authorizers, backup, callback, components, deliveries, events, health, openapi, operations, pages,
    playbooks, problems, proxy, reconcile, rejected, replays, rollouts, runs, stream, subscriptions, tokens,
};
use crate::access::Scope;
use Gives::{Bytes, Empty, Events, File, Json, Page, Text, Vendor};

/// Addresses that [`super::shortcut`] answers too, as the metrics name them.
pub(super) const TOKEN_OF_COMPONENT: &str = "/v1/components/{component}/token";
pub(super) const TOKEN_OF_AUTHORIZER: &str = "/v1/components/{component}/authorizers/{authorizer}/token";

const LIST: &[&str] = &["limit", "cursor"];
const EVENTS: &[&str] = &["component", "platform", "authorizer", "type", "since", "until", "status", "q", "limit", "cursor"];
const STREAM: &[&str] = &["component", "platform", "authorizer", "type"];
const DELIVERIES: &[&str] = &["status", "subscription", "event", "since", "until", "limit", "cursor"];
const TOKEN: &[&str] = &["family", "min_ttl", "after_generation", "wait"];
const FAMILY: &[&str] = &["family"];
/// What `If-None-Match` names is held already.
const HELD: &[(u16, Gives)] = &[(304, Empty)];
const OF_COMPONENT: &[&str] = &["component", "limit", "cursor"];

/// Hands every address with its entries to `at`. `/v1/events/stream` stands before `/v1/events/{id}`: the first match answers.
#[rustfmt::skip]
pub fn every(at: &mut dyn FnMut(&'static str, Vec<Entry>)) {
    // Platforms and merchants (contract 2): no API key.
    at("/callback/{component}/authorization", vec![
        check(callback::authorization).says("平台控制台校验地址", "A console checks the address").gives(Text("text/plain")),
        post(callback::authorization).says("授权事件接收 URL", "The platform pushes tickets, grants and revocations").gives(Text("text/plain"))]);
    at("/callback/{component}/message", vec![
        check(callback::message).says("平台控制台校验地址", "A console checks the address").gives(Text("text/plain")),
        post(callback::message).says("消息与事件接收 URL，支付宝应用网关", "The platform pushes messages and events").gives(Text("text/plain"))]);
    at("/callback/{component}/message/{anything:.*}", vec![
        check(callback::message).says("平台控制台校验地址", "A console checks the address").gives(Text("text/plain")),
        post(callback::message).says("消息与事件接收 URL（带后缀）", "The same with a suffix of the platform's").gives(Text("text/plain"))]);
    at("/callback/{component}/authorized", vec![
        check(authorize::returned).says("商家授权后跳转回来", "A merchant's browser comes back with a code").gives(Text("text/html"))]);
    at("/callback/{component}/authorized/{state}", vec![
        check(authorize::returned).says("商家授权后跳转回来（带标记）", "The same with our mark in the path").gives(Text("text/html"))]);
    at("/authorize/{component}", vec![
        check(authorize::page).says("商家授权页面", "A page with link and QR code for a merchant").gives(Text("text/html"))]);
    at("/assets/yizhan.css", vec![get(pages::stylesheet).says("样式表", "The pages' stylesheet").gives(Text("text/css")).or(HELD)]);

    // Components, authorizers and what is held for them.
    at("/v1/components", vec![
        get(components::list).needs(Scope::Read).says("第三方应用列表", "Components and their state").query(LIST).gives(Page("Component"))]);
    at("/v1/components/{component}", vec![
        get(components::one).needs(Scope::Read).says("一个第三方应用的状态", "State of one component").gives(Json("Component"))]);
    at("/v1/components/{component}/reconcile", vec![
        post(reconcile::run).needs(Scope::OperationsCall).says("立即对账：补回漏掉的推送、审核结果与授权", "Ask the platform now for what lost pushes would have told").takes("Empty").gives(Json("Reconciled"))]);
    at("/v1/components/{component}/ticket", vec![
        get(tokens::ticket).needs(Scope::TicketsRead).says("最新 ticket", "The newest ticket").gives(Json("Ticket"))]);
    at(TOKEN_OF_COMPONENT, vec![
        get(tokens::read).needs(Scope::TokensRead).says("第三方应用的 access token", "The component's own access token").query(TOKEN).gives(Json("Token")).or(HELD)]);
    at("/v1/components/{component}/token/report-invalid", vec![
        post(tokens::report_invalid).needs(Scope::TokensRead).says("报告 token 失效", "A vendor rejected this generation: renew it").query(FAMILY).takes("Generation").gives(Json("Token"))]);
    at("/v1/components/{component}/token/refresh", vec![
        post(tokens::refresh).needs(Scope::TokensForce).says("强制刷新 token", "Renew unconditionally").query(FAMILY).takes("Empty").gives(Json("Token"))]);
    at("/v1/components/{component}/authorizations", vec![
        post(authorizers::invite).needs(Scope::AuthorizationsCreate).says("生成授权链接", "A link for one merchant").takes("Empty").gives(Json("Invitation"))]);
    at("/v1/components/{component}/authorizers", vec![
        get(authorizers::list).needs(Scope::Read).says("授权小程序列表", "Authorizers").query(LIST).gives(Page("Authorizer"))]);
    at("/v1/components/{component}/authorizers/{authorizer}", vec![
        get(authorizers::one).needs(Scope::Read).says("一个授权小程序", "One authorizer").gives(Json("Authorizer"))]);
    at("/v1/components/{component}/authorizers/{authorizer}/attributes", vec![
        get(attributes::one).needs(Scope::Read).says("一个授权小程序的标签和变量", "Tags and variables of one authorizer").gives(Json("Attributes")),
        put(attributes::set).needs(Scope::AttributesWrite).says("设置标签和变量", "Note exactly these tags and variables").takes("NewAttributes").gives(Json("Attributes")),
        patch(attributes::change).needs(Scope::AttributesWrite).says("修改标签和变量", "Add and take away tags, set variables (null takes one away)").takes("ChangedAttributes").gives(Json("Attributes"))]);
    at("/v1/components/{component}/attributes", vec![
        get(attributes::list).needs(Scope::Read).says("标签和变量列表", "Tags and variables by authorizer").query(&["tag", "limit", "cursor"]).gives(Page("Attributes")),
        post(attributes::set_many).needs(Scope::AttributesWrite).says("批量设置标签和变量", "Note tags and variables of many authorizers, all or none").takes("ManyAttributes").gives(Json("ManyAttributesSet"))]);
    at(TOKEN_OF_AUTHORIZER, vec![
        get(tokens::read).needs(Scope::TokensRead).says("授权小程序的 access token", "An authorizer's access token").query(TOKEN).gives(Json("Token")).or(HELD)]);
    at("/v1/components/{component}/authorizers/{authorizer}/token/report-invalid", vec![
        post(tokens::report_invalid).needs(Scope::TokensRead).says("报告 token 失效", "A vendor rejected this generation: renew it").query(FAMILY).takes("Generation").gives(Json("Token"))]);
    at("/v1/components/{component}/authorizers/{authorizer}/token/refresh", vec![
        post(tokens::refresh).needs(Scope::TokensForce).says("强制刷新 token", "Renew unconditionally").query(FAMILY).takes("Renewal").gives(Json("Token"))]);

    // Follow-up calls.
    at("/v1/operations", vec![
        get(operations::list).needs(Scope::Read).says("全部操作及其参数", "Every operation with its parameters").query(&["platform", "component"]).gives(Json("OperationPage"))]);
    at("/v1/components/{component}/operations/{operation}", vec![
        post(operations::call).needs(Scope::OperationsCall).says("以第三方应用身份调用操作", "Carry out an operation of the component itself").takes("Parameters").gives(File("Outcome"))]);
    at("/v1/components/{component}/authorizers/{authorizer}/operations/{operation}", vec![
        post(operations::call).needs(Scope::OperationsCall).says("代授权小程序调用操作", "Carry out an operation for an authorizer").takes("Parameters").gives(File("Outcome"))]);
    at("/v1/components/{component}/proxy/{path:.*}", vec![
        passing(proxy::pass).needs(Scope::ProxyCall).says("透传其他平台接口（第三方应用 token）", "Any other vendor call with the component's token").gives(Vendor)]);
    at("/v1/components/{component}/authorizers/{authorizer}/proxy/{path:.*}", vec![
        passing(proxy::pass).needs(Scope::ProxyCall).says("透传其他平台接口（授权小程序 token）", "Any other vendor call with the authorizer's token").gives(Vendor)]);

    // Events and who hears of them.
    at("/v1/events", vec![
        get(events::list).needs(Scope::EventsRead).says("事件列表", "Stored events, newest first").query(EVENTS).gives(Page("Event"))]);
    at("/v1/events/stream", vec![
        check(stream::stream).needs(Scope::EventsRead).says("实时事件流（SSE）；缺失的部分以 `event: gap` 告知", "Events as they come; resumed with Last-Event-ID; what is missing is told as `event: gap`").query(STREAM).gives(Events)]);
    at("/v1/events/{id}", vec![
        get(events::one).needs(Scope::EventsRead).says("一个事件", "One event").gives(Json("Event"))]);
    at("/v1/events/{id}/replay", vec![
        post(events::replay).needs(Scope::EventsReplay).says("重新投递事件", "Send an event again").takes("OneReplay").status(202).gives(Json("Replayed"))]);
    at("/v1/replays", vec![
        post(replays::create).needs(Scope::EventsReplay).says("批量重放", "Send many again").takes("NewReplay").status(202).gives(Json("Replay")).or(&[(200, Json("Counted"))])]);
    at("/v1/replays/{id}", vec![
        get(replays::one).needs(Scope::EventsReplay).says("重放进度", "Progress of a replay").gives(Json("Replay"))]);
    at("/v1/replays/{id}/cancel", vec![
        post(replays::cancel).needs(Scope::EventsReplay).says("取消重放", "Cancel a replay").takes("Empty").gives(Json("Replay"))]);
    at("/v1/replays/{id}/pause", vec![
        post(replays::pause).needs(Scope::EventsReplay).says("暂停重放", "Pause a replay").takes("Empty").gives(Json("Replay"))]);
    at("/v1/replays/{id}/resume", vec![
        post(replays::resume).needs(Scope::EventsReplay).says("继续重放", "Resume a replay").takes("Empty").gives(Json("Replay"))]);
    at("/v1/deliveries", vec![
        get(deliveries::list).needs(Scope::EventsRead).says("投递列表", "Deliveries; dead letters are status=dead").query(DELIVERIES).gives(Page("DeliverySummary"))]);
    at("/v1/deliveries/{id}", vec![
        get(deliveries::one).needs(Scope::EventsRead).says("一次投递及其尝试", "One delivery with its attempts").gives(Json("Delivery"))]);
    at("/v1/deliveries/{id}/retry", vec![
        post(deliveries::retry).needs(Scope::EventsReplay).says("立即重试", "Try again now").takes("Empty").status(202).gives(Json("Delivery"))]);
    at("/v1/subscriptions", vec![
        get(subscriptions::list).needs(Scope::SubscriptionsWrite).says("订阅列表", "Subscriptions").query(LIST).gives(Page("Subscription")),
        post(subscriptions::create).needs(Scope::SubscriptionsWrite).says("新建订阅", "Make a subscription; its secret is shown once").takes("NewSubscription").status(201).gives(Json("Subscription"))]);
    at("/v1/subscriptions/{name}", vec![
        get(subscriptions::one).needs(Scope::SubscriptionsWrite).says("一个订阅", "One subscription").gives(Json("Subscription")),
        patch(subscriptions::change).needs(Scope::SubscriptionsWrite).says("修改订阅", "Change a subscription").takes("ChangedSubscription").gives(Json("Subscription")),
        delete(subscriptions::remove).needs(Scope::SubscriptionsWrite).says("删除订阅", "Delete a subscription and cancel what waits for it, also where only the name is left").status(204).gives(Empty)]);
    at("/v1/subscriptions/{name}/test", vec![
        post(subscriptions::test).needs(Scope::SubscriptionsWrite).says("发送测试事件", "Send a test event and show the answer").takes("Empty").gives(Json("Attempt"))]);
    at("/v1/subscriptions/{name}/pause", vec![
        post(subscriptions::pause).needs(Scope::SubscriptionsWrite).says("暂停投递", "Hold its events").takes("Empty").gives(Json("Subscription"))]);
    at("/v1/subscriptions/{name}/resume", vec![
        post(subscriptions::resume).needs(Scope::SubscriptionsWrite).says("恢复投递", "Deliver what was held").takes("Empty").gives(Json("Subscription"))]);
    at("/v1/subscriptions/{name}/enable", vec![
        post(subscriptions::resume).needs(Scope::SubscriptionsWrite).says("重新启用", "The same after the handler answered 410").takes("Empty").gives(Json("Subscription"))]);
    at("/v1/subscriptions/{name}/rotate-secret", vec![
        post(subscriptions::rotate_secret).needs(Scope::SubscriptionsWrite).says("轮换签名密钥", "A new secret; the former signs too for a while").takes("Rotation").gives(Json("NewSecret"))]);

    // Rollouts.
    at("/v1/rollouts", vec![
        get(rollouts::list).needs(Scope::Read).says("批量升级列表", "Rollouts, newest first").query(LIST).gives(Page("Rollout")),
        post(rollouts::create).needs(Scope::RolloutsWrite).says("批量升级：一个模板版本到多个小程序", "Bring one template version to many authorizers").takes("NewRollout").status(202).gives(Json("Rollout")).or(&[(200, Json("Rollout"))])]);
    at("/v1/rollouts/{id}", vec![
        get(rollouts::one).needs(Scope::Read).says("批量升级进度", "Progress of a rollout").gives(Json("Rollout"))]);
    at("/v1/rollouts/{id}/items", vec![
        get(rollouts::items).needs(Scope::Read).says("批量升级中的小程序", "Authorizers of a rollout by app id").query(&["stage", "limit", "cursor"]).gives(Page("RolloutItem"))]);
    at("/v1/rollouts/{id}/pause", vec![
        post(rollouts::pause).needs(Scope::RolloutsWrite).says("暂停批量升级", "Begin nothing more").takes("Empty").gives(Json("Rollout"))]);
    at("/v1/rollouts/{id}/resume", vec![
        post(rollouts::resume).needs(Scope::RolloutsWrite).says("继续批量升级", "Go on").takes("Empty").gives(Json("Rollout"))]);
    at("/v1/rollouts/{id}/cancel", vec![
        post(rollouts::cancel).needs(Scope::RolloutsWrite).says("取消批量升级", "End it for good; nothing is withdrawn").takes("Empty").gives(Json("Rollout"))]);
    at("/v1/rollouts/{id}/retry", vec![
        post(rollouts::retry).needs(Scope::RolloutsWrite).says("重试失败的小程序", "Try those again that failed").takes("Empty").gives(Json("Rollout"))]);
    at("/v1/rollouts/{id}/rollback", vec![
        post(rollouts::rollback).needs(Scope::RolloutsWrite).says("回滚本次发布", "Take back what it released").takes("Empty").gives(Json("Rollout"))]);
    // Playbooks.
    at("/v1/playbooks", vec![
        get(playbooks::list).needs(Scope::PlaybooksWrite).says("剧本列表", "Playbooks").query(LIST).gives(Page("Playbook")),
        post(playbooks::create).needs(Scope::PlaybooksWrite).says("新建剧本", "Make a playbook").takes("NewPlaybook").status(201).gives(Json("Playbook"))]);
    at("/v1/playbooks/check", vec![
        post(playbooks::check).needs(Scope::PlaybooksWrite).says("检查剧本：错误与缺少变量的商家", "What is wrong with a playbook, and which merchants lack a variable").takes("NewPlaybook").gives(Json("PlaybookCheck"))]);
    at("/v1/playbooks/{name}", vec![
        get(playbooks::one).needs(Scope::PlaybooksWrite).says("一个剧本", "One playbook").gives(Json("Playbook")),
        put(playbooks::put).needs(Scope::PlaybooksWrite).says("新建或替换剧本", "Make or replace a playbook (201 where it is new)").takes("NewPlaybook").gives(Json("Playbook")).or(&[(201, Json("Playbook"))]),
        delete(playbooks::remove).needs(Scope::PlaybooksWrite).says("删除剧本", "Delete a playbook").status(204).gives(Empty)]);
    at("/v1/runs", vec![
        get(runs::list).needs(Scope::EventsRead).says("剧本运行列表", "Runs of playbooks, newest event first").query(&["playbook", "component", "authorizer", "state", "limit", "cursor"]).gives(Page("Run"))]);
    at("/v1/runs/{id}", vec![
        get(runs::one).needs(Scope::EventsRead).says("一次剧本运行及其步骤", "One run, step by step").gives(Json("Run"))]);
    at("/v1/runs/{id}/approve", vec![
        post(runs::approve).needs(Scope::PlaybooksWrite).says("批准等待中的步骤", "Approve the step that waits").takes("Empty").gives(Json("Run"))]);
    at("/v1/runs/{id}/cancel", vec![
        post(runs::cancel).needs(Scope::PlaybooksWrite).says("取消运行", "Stop a run for good").takes("Empty").gives(Json("Run"))]);

    // What was refused, and who read what.
    at("/v1/rejected", vec![
        get(rejected::list).needs(Scope::EventsRead).says("被拒绝的推送", "Refused pushes with the reason").query(OF_COMPONENT).gives(Page("Rejected"))]);
    at("/v1/rejected/reprocess", vec![
        post(rejected::reprocess).needs(Scope::EventsReplay).says("重新处理被拒绝的推送", "Open refused pushes again").takes("Reprocess").gives(Json("Reprocessed"))]);
    at("/v1/audit", vec![
        get(audit::list).needs(Scope::AuditRead).says("读取审计", "Who read which token when").query(OF_COMPONENT).gives(Page("Read"))]);

    // The whole store.
    at("/v1/backup", vec![
        get(backup::archive).needs(Scope::StoreBackup).says("备份整个存储", "The whole store as one archive; secrets stay sealed").gives(Bytes("application/octet-stream"))]);

    // The operations room: no API key, no secrets.
    at("/openapi.json", vec![get(openapi::serve).says("本文档", "This document").gives(Json("Any"))]);
    at("/problems", vec![get(problems::list).says("全部错误类型", "The kinds of problems that errors name").gives(Text("text/html"))]);
    at("/problems/{slug}", vec![get(problems::one).says("一种错误的说明与处理办法", "What a kind of problem means and what to do").gives(Text("text/html"))]);
    at("/healthz", vec![get(health::alive).says("存活检查", "The process answers").gives(Json("Any"))]);
    at("/readyz", vec![get(health::ready).says("就绪检查", "Every part with its state; 503 when one fails").gives(Json("Any"))]);
    at("/metrics", vec![get(health::metrics).says("Prometheus 指标", "Metrics for Prometheus").gives(Text("text/plain"))]);
}

/// What is asked for most stands first among what is registered: actix-web goes through its addresses in their order, with a regular expression for
/// each. None of these is matched by another one of the list.
const FIRST: &[&str] = &[TOKEN_OF_AUTHORIZER, "/callback/{component}/message", "/callback/{component}/authorization", TOKEN_OF_COMPONENT];

/// Registers all of them.
pub fn configure(site: &mut ServiceConfig) {
    let mut all = Vec::new();
    every(&mut |path, entries| all.push((path, entries)));
    all.sort_by_key(|(path, _)| FIRST.iter().position(|first| first == path).unwrap_or(FIRST.len()));
    all.into_iter().for_each(|(path, entries)| address(site, path, entries));
}

/// What an address answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// JSON of that schema.
    Json(&'static str),
    /// A page of a list of that schema.
    Page(&'static str),
    /// JSON of that schema, or a file where the caller accepts one.
    File(&'static str),
    /// Text of that type.
    Text(&'static str),
    /// Bytes of that type.
    Bytes(&'static str),
    /// Server-sent events.
    Events,
    /// Whatever the vendor answers.
    Vendor,
    /// Nothing.
    Empty,
}

/// What OpenAPI says of one method of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// The scope that an API key needs; `None`: no key.
    pub scope: Option<Scope>,
    /// What it does, Chinese.
    pub zh: &'static str,
    /// What it does, English.
    pub en: &'static str,
    /// Query parameters; `openapi` knows them by name.
    pub query: &'static [&'static str],
    /// Schema of the body.
    pub takes: Option<&'static str>,
    /// Status of success.
    pub status: u16,
    /// What success answers with.
    pub gives: Gives,
    /// What it answers too when all is well, and with what.
    pub also: &'static [(u16, Gives)],
}

/// Methods with the handler that answers them.
pub struct Entry {
    /// The methods.
    pub methods: &'static [Method],
    /// What OpenAPI says.
    pub words: Words,
    /// The handler, by its path in this crate.
    pub handler: &'static str,
    route: Option<Route>,
}

impl Entry {
    fn new<F, Args>(methods: &'static [Method], guard: impl Guard + 'static, handler: F) -> Self
    where
        F: actix_web::Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        let words = Words { scope: None, zh: "", en: "", query: &[], takes: None, status: 200, gives: Empty, also: &[] };
        Self { methods, words, handler: std::any::type_name::<F>(), route: Some(web::route().guard(guard).to(handler)) }
    }

    fn says(mut self, zh: &'static str, en: &'static str) -> Self {
        (self.words.zh, self.words.en) = (zh, en);
        self
    }

    fn needs(mut self, scope: Scope) -> Self {
        self.words.scope = Some(scope);
        self
    }

    fn query(mut self, names: &'static [&'static str]) -> Self {
        self.words.query = names;
        self
    }

    fn takes(mut self, schema: &'static str) -> Self {
        self.words.takes = Some(schema);
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.words.status = status;
        self
    }

    fn gives(mut self, gives: Gives) -> Self {
        self.words.gives = gives;
        self
    }

    fn or(mut self, also: &'static [(u16, Gives)]) -> Self {
        self.words.also = also;
        self
    }
}

/// A `GET` that also answers `HEAD`: no more than reading comes of it.
fn get<F, Args>(handler: F) -> Entry
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    Entry::new(&[Method::GET, Method::HEAD], guard::Any(guard::Get()).or(guard::Head()), handler)
}

/// Every method that is passed on to a vendor.
fn passing<F, Args>(handler: F) -> Entry
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    Entry::new(METHODS, guard::fn_guard(|context| METHODS.contains(&context.head().method)), handler)
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident = $method:ident,)+) => {$(
        $(#[doc = $doc])*
        fn $name<F, Args>(handler: F) -> Entry
        where
            F: actix_web::Handler<Args>,
            Args: actix_web::FromRequest + 'static,
            F::Output: actix_web::Responder + 'static,
        {
            Entry::new(&[Method::$method], guard::Method(Method::$method), handler)
        }
    )+};
}

methods! {
    /// A `GET` alone: it does something, or never ends, and a scanner's `HEAD` must not.
    check = GET,
    post = POST,
    patch = PATCH,
    put = PUT,
    delete = DELETE,
}

fn address(site: &mut ServiceConfig, path: &'static str, mut entries: Vec<Entry>) {
    let allowed: Vec<Method> = entries.iter().flat_map(|entry| entry.methods.iter().cloned()).collect();
    // The last one is tried first: where platforms push, that is the push, and asking for another method first costs it several allocations.
    let routes = entries.iter_mut().rev().filter_map(|entry| entry.route.take());
    let resource = routes.fold(web::resource(path), |resource, route| resource.route(route));
    site.service(resource.app_data(Address::of(path)).default_service(web::to(move || {
        let problem = Problem::wrong_method(&allowed);
        async move { Err::<HttpResponse, _>(problem) }
    })));
}
