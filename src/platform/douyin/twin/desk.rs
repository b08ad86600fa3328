//! Where Douyin answers calls: both generations' addresses, shapes and error codes (4, 6.1).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::DouyinTwin;
use super::ledger::{CODE_SECONDS, For, Pair, REFRESH_TOKEN_SECONDS, TOKEN_SECONDS};
use crate::clock::Timestamp;
use crate::platform::call::Method;
use crate::platform::issued::State;
use crate::platform::token::Family;
use crate::platform::twin::{About, Answer, Outgoing, Request};

/// A code and the words beside it.
pub(super) struct No(pub i64, pub &'static str);

pub(super) type Said = Result<Value, No>;

pub(super) const PARAMETER: No = No(40_001, "wrong parameter");
/// Of frequency and of number alike (6.2).
pub(super) const USED_UP: No = No(28_003_017, "quota used up");
const PRE_AUTH_CODE_SECONDS: i64 = 600;
const LINK_SECONDS: i64 = 86_400;

impl DouyinTwin {
    pub(super) fn serve(&mut self, request: &Request, now: Timestamp) -> Answer {
        use Family::{Current, V1};
        use Method::{Get, Post};
        let (mut pushes, mut about): (_, Option<About>) = (Vec::new(), None);
        let path = request.path.trim_end_matches('/');
        let (deed, family, said) = match (request.method, path) {
            (Post, _) if !is_json(request, path) => ("other", generation(path), Err(PARAMETER)),
            (Get, "/openapi/v2/auth/tp/token") => return self.component_token(Current, request, now),
            (Get, "/openapi/v1/auth/tp/token") => return self.component_token(V1, request, now),
            (Get, "/api/tpapp/v2/auth/get_auth_token") => self.tokens(Current, request, now),
            (Get, "/openapi/v1/oauth/token") => self.tokens(V1, request, now),
            (Post, "/api/tpapp/v2/auth/retrieve_auth_code") => {
                let body = request.json();
                let app_id = body.get("authorization_appid").and_then(Value::as_str);
                ("recover", Current, self.retrieve(Current, app_id, request, now, &mut pushes))
            }
            (Post, "/openapi/v1/auth/retrieve") => {
                let app_id = request.query_value("authorization_appid");
                ("recover", V1, self.retrieve(V1, app_id.as_deref(), request, now, &mut pushes))
            }
            (Post, "/api/tpapp/v3/auth/gen_link") => ("link", Current, self.gen_link(Current, request, now)),
            (Post, "/openapi/v2/auth/gen_link") => ("link", V1, self.gen_link(V1, request, now)),
            (Post, "/api/tpapp/v3/auth/get_pre_auth_code") => ("link", Current, self.pre_auth_code(Current, request, now)),
            (Post, "/openapi/v2/auth/pre_auth_code") => ("link", V1, self.pre_auth_code(V1, request, now)),
            (Get, "/api/tpapp/v2/auth/get_auth_app_list") => ("authorization.list", Current, self.authorizers(Current, request, now)),
            (Get, "/openapi/v1/tp/auth_app_list") => ("authorization.list", V1, self.authorizers(V1, request, now)),
            (Get, "/mappconsole/tp/authorization") => ("other", V1, self.page(request, now)),
            _ => self.operate(request, path, now, &mut about),
        };
        let (accepted, body) = match (family, said) {
            (Current, Ok(data)) => (true, json!({"err_no": 0, "err_msg": "", "log_id": log_id(), "data": data})),
            (Current, Err(No(code, words))) => (false, json!({"err_no": code, "err_msg": words, "log_id": log_id()})),
            (V1, Ok(flat)) => (true, flat),
            (V1, Err(No(code, words))) => (false, json!({"errno": code, "message": words})),
        };
        Answer { pushes, about, ..Answer::json(deed, accepted, 200, &body) }
    }

    /// Flat in both generations; V2 writes its error number as text (4.2).
    fn component_token(&mut self, family: Family, request: &Request, now: Timestamp) -> Answer {
        let value = |name: &str| request.query_value(name).unwrap_or_default();
        let no = if value("component_appid") != self.of.component_appid {
            Some(No(40_003, "component not found"))
        } else if value("component_appsecret") != self.of.component_appsecret.expose() {
            Some(No(40_038, "secret invalid"))
        } else if self.ledger.ticket_state(&value("component_ticket"), now) != State::Good {
            Some(No(40_037, "ticket invalid"))
        } else {
            None
        };
        match (no, family) {
            (Some(No(code, words)), Family::Current) => {
                Answer::json("component_token", false, 200, &json!({"errno": code.to_string(), "message": words}))
            }
            (Some(No(code, words)), Family::V1) => Answer::json("component_token", false, 200, &json!({"errno": code, "message": words})),
            (None, _) => {
                let (token, seconds) = self.ledger.component_token(family, now);
                Answer::json("component_token", true, 200, &json!({"component_access_token": token, "expires_in": seconds}))
            }
        }
    }

    /// Checks the component token of a call: V2 in the header, V1 in the query beside the component's id.
    pub(super) fn component(&self, family: Family, request: &Request, now: Timestamp) -> Result<(), No> {
        let token = match family {
            Family::Current => request.header("access-token").map(str::to_owned),
            Family::V1 if request.query_value("component_appid").as_deref() != Some(self.of.component_appid.as_str()) => {
                return Err(No(40_003, "component not found"));
            }
            Family::V1 => request.query_value("component_access_token"),
        };
        match (family, self.ledger.component_state(&token.unwrap_or_default(), family, now)) {
            (_, State::Good) => Ok(()),
            (Family::Current, State::Expired) => Err(No(28_001_008, "access token expired")),
            (Family::Current, _) => Err(No(28_001_003, "access token invalid")),
            (Family::V1, State::Expired) => Err(No(40_009, "component access token expired")),
            (Family::V1, _) => Err(No(40_010, "component access token wrong")),
        }
    }

    fn tokens(&mut self, family: Family, request: &Request, now: Timestamp) -> (&'static str, Family, Said) {
        let component = self.component(family, request, now);
        let value = |name: &str| request.query_value(name).unwrap_or_default();
        let (deed, won, no) = match value("grant_type").as_str() {
            "app_to_tp_authorization_code" if component.is_ok() => {
                ("exchange", self.ledger.exchange(&value("authorization_code"), family, now), No(40_018, "authorization code expired"))
            }
            "app_to_tp_refresh_token" if component.is_ok() => (
                "refresh",
                self.ledger.refresh(&value("authorizer_refresh_token"), family, now),
                No(40_021, "refresh token wrong or expired"),
            ),
            "app_to_tp_authorization_code" => ("exchange", None, PARAMETER),
            "app_to_tp_refresh_token" => ("refresh", None, PARAMETER),
            _ => ("other", None, No(40_040, "invalid grant_type")),
        };
        let said = component.and_then(|()| won.ok_or(no)).map(|(of, pair)| pair_body(deed, &of, &pair));
        (deed, family, said)
    }

    /// The retrieved code is pushed as well (4.6).
    fn retrieve(&mut self, family: Family, app_id: Option<&str>, request: &Request, now: Timestamp, pushes: &mut Vec<Outgoing>) -> Said {
        self.component(family, request, now)?;
        let app_id = app_id.ok_or(PARAMETER)?;
        if !self.ledger.stands(app_id) {
            return Err(No(40_022, "mini program not authorized"));
        }
        let code = self.ledger.code(app_id, Some(family), now);
        pushes.push(self.code_event(app_id, "UPDATE_AUTHORIZED", &code, now));
        Ok(json!({"authorization_code": code, "expires_in": CODE_SECONDS}))
    }

    fn gen_link(&mut self, family: Family, request: &Request, now: Timestamp) -> Said {
        self.component(family, request, now)?;
        let body = request.json();
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        match body.get("link_type").and_then(Value::as_i64) {
            Some(1) => {}
            Some(2) if text("app_name").is_some() => {}
            Some(2) => return Err(No(40_059, "app_name missing")),
            _ => return Err(PARAMETER),
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("component_appid", &self.of.component_appid);
        query.append_pair("pre_auth_code", &self.ledger.pre_auth_code(LINK_SECONDS, now));
        if let Some(back) = text("redirect_uri") {
            query.append_pair("redirect_uri", back);
        }
        Ok(json!({"link": format!("{}/mappconsole/tp/authorization?{}", self.of.base_url_v1, query.finish())}))
    }

    fn pre_auth_code(&mut self, family: Family, request: &Request, now: Timestamp) -> Said {
        self.component(family, request, now)?;
        let code = self.ledger.pre_auth_code(PRE_AUTH_CODE_SECONDS, now);
        Ok(json!({"pre_auth_code": code, "expires_in": PRE_AUTH_CODE_SECONDS}))
    }

    /// What a merchant's browser opens.
    fn page(&self, request: &Request, now: Timestamp) -> Said {
        let value = |name: &str| request.query_value(name).unwrap_or_default();
        if value("component_appid") != self.of.component_appid {
            return Err(No(40_003, "component not found"));
        }
        match self.ledger.pre_auth_state(&value("pre_auth_code"), now) {
            State::Good => Ok(json!({"redirect_uri": value("redirect_uri")})),
            _ => Err(No(40_012, "pre-auth code expired")),
        }
    }

    fn authorizers(&self, family: Family, request: &Request, now: Timestamp) -> Said {
        self.component(family, request, now)?;
        let number = |name: &str| request.query_value(name).and_then(|text| text.parse::<usize>().ok());
        let (Some(page @ 1..), Some(size @ 1..=50)) = (number("page"), number("size")) else { return Err(PARAMETER) };
        let names = match family {
            Family::Current => ["auth_app_list", "auth_appid", "auth_time"],
            Family::V1 => ["authAppList", "authAppId", "authTime"],
        };
        let [list, id, time] = names.map(str::to_owned);
        let grants = self.ledger.grants();
        let total = grants.len();
        let listed = grants
            .skip((page - 1).saturating_mul(size))
            .take(size)
            .map(|(app_id, at)| Value::Object(Map::from_iter([(id.clone(), json!(app_id)), (time.clone(), json!(at.as_second()))])));
        let data = Map::from_iter([(list, Value::Array(listed.collect())), (String::from("total"), json!(total))]);
        Ok(match family {
            Family::Current => Value::Object(data),
            Family::V1 => json!({"errno": 0, "message": "success", "data": data}),
        })
    }

    /// Whose access token a call carries.
    pub(super) fn merchant(&self, family: Family, request: &Request, now: Timestamp) -> Result<String, No> {
        let token = match family {
            Family::Current => request.header("access-token").map(str::to_owned),
            Family::V1 => request.query_value("authorizer_access_token"),
        };
        let of = self.ledger.bearer(&token.unwrap_or_default(), family, now).map_err(|state| match (family, state) {
            (Family::V1, _) => No(40_020, "authorizer access token wrong or expired"),
            (Family::Current, State::Expired) => No(28_001_008, "access token expired"),
            (Family::Current, _) => No(28_001_003, "access token invalid"),
        })?;
        Ok(of.app_id.clone())
    }
}

fn generation(path: &str) -> Family {
    if path.starts_with("/openapi/") { Family::V1 } else { Family::Current }
}

/// Whether a body is said to be JSON (5.0): of the second generation exactly that, without a charset. An upload looks at its form itself.
fn is_json(request: &Request, path: &str) -> bool {
    let kind = request.header("content-type").unwrap_or_default();
    let kind = match generation(path) {
        Family::Current => kind,
        Family::V1 => kind.split(';').next().unwrap_or_default().trim_end(),
    };
    request.body.is_empty() || path.ends_with("/upload_material") || kind == "application/json"
}

/// App id and permissions stand in the answer to an exchange; the answer to a refresh may lack them (4.5), and here it does.
fn pair_body(deed: &str, of: &For, pair: &Pair) -> Value {
    let mut body = json!({
        "authorizer_access_token": pair.access, "expires_in": TOKEN_SECONDS,
        "authorizer_refresh_token": pair.refresh, "refresh_expires_in": REFRESH_TOKEN_SECONDS,
    });
    if let (Value::Object(body), "exchange") = (&mut body, deed) {
        let permissions = json!([
            {"id": 1, "category": "开发管理权限", "description": "开发管理权限"},
            {"id": 2, "category": "基本信息设置权限", "description": "基本信息设置权限"},
            {"id": 3, "category": "运营管理权限", "description": "运营管理权限"},
        ]);
        body.insert(String::from("authorizer_appid"), json!(of.app_id));
        body.insert(String::from("authorize_permission"), permissions);
    }
    body
}

fn log_id() -> String {
    Uuid::new_v4().simple().to_string()
}
