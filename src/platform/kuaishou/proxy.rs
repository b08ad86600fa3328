//! Which of Kuaishou's paths are passed on: the token stands in the query beside the component's id (5.0).

use super::Application;
use super::errors::Spent;
use crate::platform::call::{Class, Reply};
use crate::platform::proxy::{Carrier, Lane, Proxied};
use crate::platform::token::Family;

impl Proxied for Application {
    fn lanes(&self) -> Vec<Lane<'_>> {
        let lane = |prefix| Lane {
            prefix,
            base: &self.base_url,
            family: Family::Current,
            authorizer: Carrier::Query("authorizer_access_token"),
            component: Carrier::Query("component_access_token"),
            id: Some(("component_app_id", &self.app_id)),
        };
        vec![lane("/openapi/mp/"), lane("/mp/tp/")]
    }

    fn closed(&self) -> &'static [&'static str] {
        &["/mp/tp/oauth/"]
    }

    fn rejects_token(&self, _: &str, reply: &Reply) -> Option<Class> {
        // One token travels with a call, whichever: what is said about "the token" is said about that one.
        let classes = [Spent::ComponentToken, Spent::AuthorizerToken].into_iter();
        let mut classes = classes.filter_map(|spent| Some(self.errors.read_reply(reply, spent, "result").err()?.class));
        classes.find(|class| matches!(class, Class::RenewComponentToken | Class::RenewAuthorizerToken | Class::GrantGone))
    }
}
