//! The short way to a token: asked for thousands of times a second, and mostly answered from memory.
//!
//! There the site's own ways (finding a route by regular expressions, boxing what is awaited, keeping what middleware may want) cost as much as the
//! answer. So [`Shortcut`] stands before the site and answers one kind of request: a plain `GET` of a token that is at hand, by a key that may
//! have it. Whatever is not plain or not in order goes on to the site untouched, which alone decides and refuses.
//! Built by [`super::start`]. It never waits, and never answers anything but 200.

use std::task::{Context, Poll};
use std::time::Instant;

use actix_http::{Payload, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, RequestHead};
use actix_web::http::{Method, header};
use actix_web::web;
use futures_util::future::{Either, LocalBoxFuture, MapOk, Ready, TryFutureExt as _, ready};

use super::Face;
use super::caller::{self, Reader};
use super::connections::Open;
use super::passage::{self, Address};
use super::routes::{TOKEN_OF_AUTHORIZER, TOKEN_OF_COMPONENT};
use super::tokens;
use crate::access::Scope;
use crate::attributes::is_authorizer;

/// What stands before a site.
pub(super) struct Shortcut<S> {
    face: web::Data<Face>,
    site: S,
}

impl<F> Shortcut<F> {
    /// Before that site.
    pub fn before<S>(site: S, face: web::Data<Face>) -> Self
    where
        S: IntoServiceFactory<F, Request>,
        F: ServiceFactory<Request>,
    {
        Self { face, site: site.into_factory() }
    }
}

impl<F> ServiceFactory<Request> for Shortcut<F>
where
    F: ServiceFactory<Request, Config = AppConfig>,
    F::Response: Into<Response<BoxBody>> + 'static,
    F::Future: 'static,
    F::InitError: 'static,
    F::Service: 'static,
{
    type Response = Response<BoxBody>;
    type Error = F::Error;
    type Config = AppConfig;
    type Service = Before<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, F::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let face = self.face.clone();
        let (of_component, of_authorizer) = (Address::of(TOKEN_OF_COMPONENT), Address::of(TOKEN_OF_AUTHORIZER));
        Box::pin(self.site.new_service(config).map_ok(|site| Before { face, of_component, of_authorizer, site }))
    }
}

/// The same on one thread of the server.
pub(super) struct Before<S> {
    face: web::Data<Face>,
    of_component: Address,
    of_authorizer: Address,
    site: S,
}

impl<S> Service<Request> for Before<S>
where
    S: Service<Request>,
    S::Response: Into<Response<BoxBody>>,
{
    type Response = Response<BoxBody>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Self::Response, S::Error>>, MapOk<S::Future, fn(S::Response) -> Self::Response>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.site.poll_ready(context)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let is_without_body = matches!(request.payload(), Payload::None);
        let open = request.conn_data::<Open>();
        if let Some(open) = open {
            open.asks(request.head(), is_without_body);
        }
        let is_plain = is_without_body && open.is_none_or(|open| !open.has_grown());
        match is_plain.then(|| self.answer(request.head())).flatten() {
            Some(answer) => {
                if let Some(open) = open {
                    open.is_answered(true);
                }
                Either::Left(ready(Ok(answer)))
            }
            None => Either::Right(self.site.call(request).map_ok(Into::into)),
        }
    }
}

impl<S> Before<S> {
    /// The answer to a request without a body, if it is one that is answered here.
    fn answer(&self, request: &RequestHead) -> Option<Response<BoxBody>> {
        let began = Instant::now();
        let (component, authorizer) = plain(request)?;
        let key = self.face.keys.shown(request.headers().get(header::AUTHORIZATION)?)?;
        if !key.may(Scope::TokensRead, Some(component)) || tracing::enabled!(tracing::Level::DEBUG) {
            return None;
        }
        let remote = caller::remote(request, &self.face.app.config.server.trusted_proxies);
        let mut answer = tokens::at_hand(&self.face, Reader { key: &key.name, remote }, component, authorizer)?;
        passage::dress(answer.headers_mut(), passage::named(request.headers()));
        let address = if authorizer.is_some() { &self.of_authorizer } else { &self.of_component };
        address.count(answer.status(), began.elapsed());
        Some(answer.into())
    }
}

/// Whose token is asked for, where nothing is asked but that.
fn plain(request: &RequestHead) -> Option<(&str, Option<&str>)> {
    if request.method != Method::GET || request.uri.query().is_some() || request.headers().contains_key(header::IF_NONE_MATCH) {
        return None;
    }
    let whose = request.uri.path().strip_prefix("/v1/components/")?.strip_suffix("/token")?;
    let mut parts = whose.split('/');
    let is_plain = |part: &&str| !part.is_empty() && !part.contains('%');
    let component = parts.next().filter(is_plain)?;
    match (parts.next(), parts.next().filter(is_plain), parts.next()) {
        (None, ..) => Some((component, None)),
        (Some("authorizers"), Some(authorizer), None) if is_authorizer(authorizer) => Some((component, Some(authorizer))),
        _ => None,
    }
}
