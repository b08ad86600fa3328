//! Bodies that go on coming after they were answered: the connection is closed, however the body is framed.
//!
//! The server library closes when the rest of a body of known length was not read. The rest of a chunked body, which has no known end, it
//! reads and throws away for as long as the sender likes: a few bytes now and then would hold a connection for ever. It does so once nobody
//! holds the body any more, so an answer holds it until it has been sent. Called by `passage` for every request; never reads anything itself.

use std::cell::RefCell;
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::Stream;

/// A chunked body that is held.
pub(super) struct Unread(Rc<RefCell<Payload>>);

impl Unread {
    /// The body of a request that is chunked; the request goes on with it as if nothing had happened.
    pub(super) fn of(request: &mut ServiceRequest) -> Option<Self> {
        if !request.headers().contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        let held = Rc::new(RefCell::new(request.take_payload()));
        let payload: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(Reading(Rc::clone(&held)));
        request.set_payload(payload.into());
        Some(Self(held))
    }

    /// The answer, holding the body.
    pub(super) fn held_by(self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        response.map_body(|_, body| BoxBody::new(Holding { body, _held: self.0 }))
    }
}

struct Reading(Rc<RefCell<Payload>>);

impl Stream for Reading {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

struct Holding {
    body: BoxBody,
    _held: Rc<RefCell<Payload>>,
}

impl MessageBody for Holding {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
