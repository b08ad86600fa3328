//! Which of Douyin's paths are passed on: V2 takes its token in a header, V1 in the query beside the component's id (5.0).

use super::{Application, errors};
use crate::platform::call::{Class, Reply};
use crate::platform::proxy::{Carrier, Lane, Proxied};
use crate::platform::token::Family;

impl Proxied for Application {
    fn lanes(&self) -> Vec<Lane<'_>> {
        let header = Carrier::Header("access-token");
        let current =
            |prefix| Lane { prefix, base: &self.of.base_url, family: Family::Current, authorizer: header, component: header, id: None };
        vec![
            current("/api/"),
            // The newer calls for the mount of short videos (5.7).
            current("/aweme/"),
            Lane {
                prefix: "/openapi/",
                base: &self.of.base_url_v1,
                family: Family::V1,
                authorizer: Carrier::Query("authorizer_access_token"),
                component: Carrier::Query("component_access_token"),
                id: Some(("component_appid", &self.of.component_appid)),
            },
        ]
    }

    fn closed(&self) -> &'static [&'static str] {
        &[
            "/api/tpapp/v2/auth/get_auth_token",
            "/api/tpapp/v2/auth/retrieve_auth_code",
            "/openapi/v1/oauth/",
            "/openapi/v1/auth/retrieve",
            "/openapi/v1/auth/tp",
            "/openapi/v2/auth/tp",
        ]
    }

    fn rejects_token(&self, _: &str, reply: &Reply) -> Option<Class> {
        let class = errors::read(reply).err()?.class;
        // The gateway's codes for a rejected token are the same for both kinds of token.
        matches!(class, Class::RenewAuthorizerToken | Class::RenewComponentToken | Class::GrantGone).then_some(class)
    }
}
