//! Every address we answer, in one list. A method that is not listed for an address is 405, an address that is not listed is 404.

use actix_web::guard;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Route};

use super::problem::Problem;
use super::{
    audit, authorize, authorizers, backup, callback, components, deliveries, events, health, pages, rejected, replays, stream,
    subscriptions, tokens,
};

/// Registers all of them. `/v1/events/stream` stands before `/v1/events/{id}`: the first match answers.
#[rustfmt::skip]
pub fn configure(site: &mut ServiceConfig) {
    let mut at = |path: &str, routes: &mut [Entry]| address(site, path, routes);

    // Platforms and merchants (contract 2): no API key.
    at("/callback/{component}/authorization",       &mut [check(callback::authorization), post(callback::authorization)]);
    at("/callback/{component}/message",             &mut [check(callback::message), post(callback::message)]);
    at("/callback/{component}/message/{anything:.*}", &mut [check(callback::message), post(callback::message)]);
    at("/callback/{component}/authorized",          &mut [check(authorize::returned)]);
    at("/callback/{component}/authorized/{state}",  &mut [check(authorize::returned)]);
    at("/authorize/{component}",                    &mut [check(authorize::page)]);
    at("/assets/yizhan.css",                        &mut [get(pages::stylesheet)]);

    // Components, authorizers and what is held for them.
    at("/v1/components",                                    &mut [get(components::list)]);
    at("/v1/components/{component}",                        &mut [get(components::one)]);
    at("/v1/components/{component}/ticket",                 &mut [get(tokens::ticket)]);
    at("/v1/components/{component}/token",                  &mut [get(tokens::read)]);
    at("/v1/components/{component}/token/report-invalid",   &mut [post(tokens::report_invalid)]);
    at("/v1/components/{component}/token/refresh",          &mut [post(tokens::refresh)]);
    at("/v1/components/{component}/authorizations",         &mut [post(authorizers::invite)]);
    at("/v1/components/{component}/authorizers",            &mut [get(authorizers::list)]);
    at("/v1/components/{component}/authorizers/{authorizer}", &mut [get(authorizers::one)]);
    at("/v1/components/{component}/authorizers/{authorizer}/token", &mut [get(tokens::read)]);
    at("/v1/components/{component}/authorizers/{authorizer}/token/report-invalid", &mut [post(tokens::report_invalid)]);
    at("/v1/components/{component}/authorizers/{authorizer}/token/refresh", &mut [post(tokens::refresh)]);

    // Events and who hears of them.
    at("/v1/events",                        &mut [get(events::list)]);
    at("/v1/events/stream",                 &mut [check(stream::stream)]);
    at("/v1/events/{id}",                   &mut [get(events::one)]);
    at("/v1/events/{id}/replay",            &mut [post(events::replay)]);
    at("/v1/replays",                       &mut [post(replays::create)]);
    at("/v1/replays/{id}",                  &mut [get(replays::one)]);
    at("/v1/replays/{id}/cancel",           &mut [post(replays::cancel)]);
    at("/v1/replays/{id}/pause",            &mut [post(replays::pause)]);
    at("/v1/replays/{id}/resume",           &mut [post(replays::resume)]);
    at("/v1/deliveries",                    &mut [get(deliveries::list)]);
    at("/v1/deliveries/{id}",               &mut [get(deliveries::one)]);
    at("/v1/deliveries/{id}/retry",         &mut [post(deliveries::retry)]);
    at("/v1/subscriptions",                 &mut [get(subscriptions::list), post(subscriptions::create)]);
    at("/v1/subscriptions/{name}",          &mut [get(subscriptions::one), patch(subscriptions::change), delete(subscriptions::remove)]);
    at("/v1/subscriptions/{name}/test",     &mut [post(subscriptions::test)]);
    at("/v1/subscriptions/{name}/pause",    &mut [post(subscriptions::pause)]);
    at("/v1/subscriptions/{name}/resume",   &mut [post(subscriptions::resume)]);
    at("/v1/subscriptions/{name}/enable",   &mut [post(subscriptions::resume)]);
    at("/v1/subscriptions/{name}/rotate-secret", &mut [post(subscriptions::rotate_secret)]);

    // What was refused, and who read what.
    at("/v1/rejected",                      &mut [get(rejected::list)]);
    at("/v1/rejected/reprocess",            &mut [post(rejected::reprocess)]);
    at("/v1/audit",                         &mut [get(audit::list)]);

    // The whole store.
    at("/v1/backup",                        &mut [get(backup::archive)]);

    // The operations room: no API key, no secrets.
    at("/healthz",                          &mut [get(health::alive)]);
    at("/readyz",                           &mut [get(health::ready)]);
    at("/metrics",                          &mut [get(health::metrics)]);
}

/// Methods with the handler that answers them.
struct Entry {
    methods: &'static [Method],
    route: Option<Route>,
}

/// A `GET` that also answers `HEAD`: no more than reading comes of it.
fn get<F, Args>(handler: F) -> Entry
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    let either = guard::Any(guard::Get()).or(guard::Head());
    Entry { methods: &[Method::GET, Method::HEAD], route: Some(web::route().guard(either).to(handler)) }
}

/// A `GET` alone: it does something, or never ends, and a scanner's `HEAD` must not.
fn check<F, Args>(handler: F) -> Entry
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    Entry { methods: &[Method::GET], route: Some(web::get().to(handler)) }
}

macro_rules! methods {
    ($($name:ident = $method:ident,)+) => {$(
        fn $name<F, Args>(handler: F) -> Entry
        where
            F: actix_web::Handler<Args>,
            Args: actix_web::FromRequest + 'static,
            F::Output: actix_web::Responder + 'static,
        {
            Entry { methods: &[Method::$method], route: Some(web::$name().to(handler)) }
        }
    )+};
}

methods! { post = POST, patch = PATCH, delete = DELETE, }

fn address(site: &mut ServiceConfig, path: &str, entries: &mut [Entry]) {
    let allowed: Vec<Method> = entries.iter().flat_map(|entry| entry.methods.iter().cloned()).collect();
    let resource =
        entries.iter_mut().filter_map(|entry| entry.route.take()).fold(web::resource(path), |resource, route| resource.route(route));
    site.service(resource.default_service(web::to(move || {
        let problem = Problem::wrong_method(&allowed);
        async move { Err::<HttpResponse, _>(problem) }
    })));
}
