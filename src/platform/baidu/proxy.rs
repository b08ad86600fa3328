//! Which of Baidu's paths are passed on: `access_token` always stands in the query (5.0).

use super::Application;
use super::errors::{self, Bearer};
use crate::platform::call::{Class, Reply};
use crate::platform::proxy::{Carrier, Lane, Proxied};
use crate::platform::token::Family;

impl Proxied for Application {
    fn lanes(&self) -> Vec<Lane<'_>> {
        let token = Carrier::Query("access_token");
        let lane =
            |prefix| Lane { prefix, base: &self.of.base_url, family: Family::Current, authorizer: token, component: token, id: None };
        vec![lane("/rest/"), lane("/file/")]
    }

    fn closed(&self) -> &'static [&'static str] {
        // Not all of `auth/tp/`: two calls below it only ask what a code of a registration is for (5.13). The token's own stands below /public/.
        &["/rest/2.0/oauth/token", "/rest/2.0/smartapp/auth/retrieve/", "/rest/2.0/smartapp/auth/tp/token"]
    }

    fn rejects_token(&self, _: &str, reply: &Reply) -> Option<Class> {
        let class = errors::read(reply, Bearer::Authorizer).err()?.class;
        matches!(class, Class::RenewAuthorizerToken | Class::GrantGone).then_some(class)
    }
}
