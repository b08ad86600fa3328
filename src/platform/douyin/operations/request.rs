//! Calls: an upload, a question, or the row's own call, each with the token where its generation wants it (5.0).

use serde_json::{Map, Value as Json, json};

use super::Task;
use super::fit;
use crate::platform::call::Method::{Get, Post};
use crate::platform::call::{Body, Call, Method, Part};
use crate::platform::operation::{Bearer, Caller, Kind, Params, Place, Placed};
use crate::platform::token::Family;

/// What is asked besides an operation's own call: before it, after it, or when its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// The version list.
    Versions,
    /// Basic information with what is in audit.
    Profile,
    /// Categories that were set.
    Categories,
    /// Categories that were published.
    Published,
    /// Server domains.
    ServerDomains,
    /// Webview domains.
    WebviewDomains,
    /// Template mini programs with their drafts.
    Drafts,
    /// Templates.
    Templates,
    /// The state of the capability that the parameters name.
    Capability,
    /// The state of the short-video mount.
    ShortVideo,
    /// The state of the live component.
    Live,
    /// The state of users' phone numbers.
    PhoneNumber,
}

/// The word for the short-video mount, which has addresses of its own.
pub(super) const SHORT_VIDEO: &str = "short_video";
const SHORT_VIDEO_APPLY: &str = "/aweme/apps/v1/video_mount/apply_permission/";
const SHORT_VIDEO_STATUS: &str = "/aweme/apps/v1/video_mount/query_apply_permission_status/";
/// One client's spelling of the check file's address, perhaps the vendor's own (8).
const CHECK_FILE_MISSPELT: &str = "/api/tpapp/v2/doamin/get_webview_check_file_info/";

impl Task<'_> {
    /// A call with the row's token: V2 takes it in a header, V1 in the query beside the component's id.
    fn call(&self, method: Method, path: &str, caller: Caller<'_>) -> Call {
        let of = self.of;
        let (family, token) = match self.operation.bearer {
            Bearer::Authorizer(family) => (family, caller.authorizer.map(|(_, token)| token)),
            Bearer::Component(family) => (family, caller.component_token),
        };
        let token = token.cloned().unwrap_or_default();
        match family {
            Family::Current => Call::new(method, format!("{}{path}", of.base_url)).header("access-token", token),
            Family::V1 => {
                let name = match self.operation.bearer {
                    Bearer::Authorizer(_) => "authorizer_access_token",
                    Bearer::Component(_) => "component_access_token",
                };
                let id = of.component_appid.as_str();
                Call::new(method, format!("{}{path}", of.base_url_v1)).query("component_appid", id).query(name, token)
            }
        }
    }

    /// Uploads one of the files that were given, for this use (5.10).
    pub(super) fn upload(&self, material_type: u8, file: usize, caller: Caller<'_>) -> Call {
        let path = match self.operation.bearer {
            Bearer::Authorizer(Family::V1) => "/openapi/v1/microapp/upload_material",
            _ => "/api/apps/v2/file/upload_material/",
        };
        let parts = self.params.files().into_iter().nth(file).map(|(name, content)| {
            let content_type = Some(fit::content_type(&content).to_owned());
            vec![
                text_part("material_type", &material_type.to_string()),
                Part { name: String::from("material_file"), file_name: Some(name), content_type, content },
            ]
        });
        self.call(Post, path, caller).body(Body::Multipart(parts.unwrap_or_default()))
    }

    /// Asks that.
    pub(super) fn ask(&self, question: Question, caller: Caller<'_>) -> Call {
        let get = |path: &str| self.call(Get, path, caller);
        let domains = |path: &str| self.call(Post, path, caller).json(&json!({"action": "get"}));
        match question {
            Question::Versions => get("/api/apps/v1/package_version/versions/"),
            Question::Profile => get("/api/apps/v2/basic_info/get_info/"),
            Question::Categories => get("/api/apps/v1/category/get_audit_categories/"),
            Question::Published => get("/api/apps/v1/category/get_online_categories/"),
            Question::ServerDomains => domains("/api/apps/v2/domain/modify_server_domain/"),
            Question::WebviewDomains => domains("/api/apps/v2/domain/modify_webview_domain/"),
            Question::Drafts => get("/api/tpapp/v2/template/get_tpl_app_list/"),
            Question::Templates => get("/api/tpapp/v2/template/get_tpl_list/"),
            Question::Capability if self.is_short_video() => self.ask(Question::ShortVideo, caller),
            Question::Capability => get("/api/apps/v1/capacity/query_apply_status/").query("capacity_key", self.capacity_key()),
            Question::ShortVideo => self.call(Post, SHORT_VIDEO_STATUS, caller).json(&json!({"component_appid": self.of.component_appid})),
            Question::Live => get("/openapi/v1/microapp/operation/live_application_status"),
            Question::PhoneNumber => get("/openapi/v1/microapp/operation/phone_number_application_status"),
        }
    }

    /// The check file under the other spelling of its address.
    pub(super) fn misspelt(&self, caller: Caller<'_>) -> Call {
        self.call(self.operation.method, CHECK_FILE_MISSPELT, caller)
    }

    /// The row's own call. `uploaded` are the paths of the files that were given, in their order.
    pub(super) fn main(&self, uploaded: &[String], caller: Caller<'_>) -> Call {
        let params = self.params.with_uploaded(uploaded);
        let mut placed = Placed::of(self.operation, if uploaded.is_empty() { self.params } else { &params });
        self.as_numbers(&mut placed);
        let path = match self.operation.name {
            "capability.status" => return self.ask(Question::Capability, caller),
            "capability.apply" if self.is_short_video() => SHORT_VIDEO_APPLY,
            _ => &self.operation.path,
        };
        self.own(&params, &mut placed.json, caller);
        let mut call = self.call(self.operation.method, path, caller);
        call.query.extend(placed.query.into_iter().map(|(name, value)| (name, value.into())));
        if !placed.files.is_empty() {
            let texts = placed.parts.iter().map(|(name, value)| text_part(name, value));
            let files = placed.files.iter().map(|(name, file, content)| Part {
                name: name.clone(),
                file_name: Some(file.clone()),
                content_type: Some(fit::content_type(content).to_owned()),
                content: content.clone(),
            });
            return call.body(Body::Multipart(texts.chain(files).collect()));
        }
        match (self.operation.method, self.operation.name) {
            (Get, _) => call,
            // Documented as posts without a body (5.6).
            (Post, "audit.withdraw" | "package.release" | "package.rollback") => call,
            (Post, _) => call.json(&Json::Object(placed.json)),
        }
    }

    /// Ids of 64 bits go as numbers, also where they were given as digits (5.0).
    fn as_numbers(&self, placed: &mut Placed) {
        for param in self.operation.params.iter().filter(|param| param.kind == Kind::Digits) {
            let Place::Json(name) = &param.place else { continue };
            if let Some(value) = placed.json.get_mut(name.as_ref())
                && let Some(number) = value.as_str().and_then(|digits| digits.parse::<u64>().ok())
            {
                *value = Json::from(number);
            }
        }
    }

    /// What a row's places cannot say.
    fn own(&self, params: &Params, body: &mut Map<String, Json>, caller: Caller<'_>) {
        let app_id = caller.authorizer.map_or("", |(app_id, _)| app_id);
        let mut put = |name: &str, value: Json| {
            body.insert(name.to_owned(), value);
        };
        match self.operation.name {
            "package.upload" => put("ext_json", Json::from(ext_json(params, app_id))),
            "qrcode.create" => {
                put("appid", Json::from(app_id));
                for (name, theirs) in [("color", "line_color"), ("background", "background")] {
                    if let Some([r, g, b]) = params.text(name).as_deref().and_then(fit::colour) {
                        put(theirs, json!({"r": r, "g": g, "b": b}));
                    }
                }
                if let Some(path) = start_path(params) {
                    put("path", Json::from(path));
                }
            }
            "category.add" | "category.modify" => put("category_info", Json::Array(categories(params))),
            "capability.apply" if self.is_short_video() => {
                put("intro", Json::from(params.text("reason")));
                put("anchor_text", Json::from(params.text("anchor_text")));
                put("image_path", Json::from(params.text("materials")));
                put("component_appid", Json::from(self.of.component_appid.as_str()));
            }
            "capability.apply" => {
                let mut info = params.get("apply_info").and_then(Json::as_object).cloned().unwrap_or_default();
                if let Some(picture) = params.text("materials") {
                    info.insert(String::from("img_uri_list"), json!([picture]));
                }
                put("capacity_key", Json::from(self.capacity_key()));
                put("apply_reason", Json::from(params.text("reason")));
                put("apply_info", Json::Object(info));
            }
            "live_component.apply" => {
                put("hasAdBudget", Json::from(u8::from(params.get("hasAdBudget").and_then(Json::as_bool).unwrap_or_default())));
            }
            "phone_number.apply" => put("imagePaths", json!([params.text("materials")])),
            name => {
                let Some((kind, action)) = name.split_once("_domain.") else { return };
                if !matches!(action, "get" | "add" | "set" | "delete") {
                    return;
                }
                put("action", Json::from(action));
                let lists: &[(&str, &str)] = if kind == "server" { SERVER_LISTS } else { WEBVIEW_LISTS };
                for (ours, theirs) in lists.iter().filter(|(ours, _)| params.get(ours).is_some()) {
                    put(theirs, Json::from(hosts(params, ours)));
                }
            }
        }
    }

    pub(super) fn is_short_video(&self) -> bool {
        self.params.text("capability").as_deref() == Some(SHORT_VIDEO)
    }

    /// The vendor's key: `live` is what the second generation has for mounting live rooms (5.7).
    fn capacity_key(&self) -> String {
        match self.params.text("capability").as_deref() {
            Some("live") => String::from("live_self_mount"),
            other => other.unwrap_or_default().to_owned(),
        }
    }
}

/// Our name and the vendor's of each list of server domains.
pub(super) const SERVER_LISTS: &[(&str, &str)] =
    &[("request", "request"), ("socket", "socket"), ("upload", "upload"), ("download", "download")];
/// The same for webview domains.
pub(super) const WEBVIEW_LISTS: &[(&str, &str)] = &[("domains", "webview")];

/// The bare hosts of a list of domains.
pub(super) fn hosts(params: &Params, name: &str) -> Vec<String> {
    params.texts(name).iter().filter_map(|url| fit::host(url)).collect()
}

fn text_part(name: &str, value: &str) -> Part {
    Part { name: name.to_owned(), file_name: None, content_type: None, content: value.to_owned().into() }
}

/// `ext.json` as text. The merchant's own id stands in it, whatever was given (5.6).
fn ext_json(params: &Params, app_id: &str) -> String {
    let mut ext = Map::from_iter([(String::from("extEnable"), Json::from(true)), (String::from("extAppid"), Json::from(app_id))]);
    if let Some(given) = params.get("ext").and_then(Json::as_object) {
        ext.extend(given.iter().filter(|(name, _)| *name != "extAppid").map(|(name, value)| (name.clone(), value.clone())));
    }
    Json::Object(ext).to_string()
}

/// Page and start parameters, encoded once as a whole (5.5).
fn start_path(params: &Params) -> Option<String> {
    let whole = match (params.text("path"), params.text("query")) {
        (None, None) => return None,
        (path, None) => path.unwrap_or_default(),
        (path, Some(query)) => format!("{}?{query}", path.unwrap_or_default()),
    };
    Some(url::form_urlencoded::byte_serialize(whole.as_bytes()).collect::<String>().replace('+', "%20"))
}

/// Categories in the vendor's shape. Without certificates the member is left out, otherwise the vendor refuses (5.2).
fn categories(params: &Params) -> Vec<Json> {
    let given = params.get("categories").and_then(Json::as_array);
    let category = |item: &Json| {
        let mut category = Map::from_iter([(String::from("category"), item.get("category").cloned().unwrap_or_default())]);
        if let Some(materials) = item.get("materials").and_then(Json::as_array).filter(|materials| !materials.is_empty()) {
            let certificates = materials.iter().map(|material| {
                let member = |name: &str| material.get(name).cloned().unwrap_or_default();
                let id = match member("id") {
                    Json::Number(number) => Json::from(number.to_string()),
                    other => other,
                };
                json!({"id": id, "name": member("name"), "path_list": member("files")})
            });
            category.insert(String::from("category_cert"), Json::Array(certificates.collect()));
        }
        Json::Object(category)
    };
    given.map(|items| items.iter().map(category).collect()).unwrap_or_default()
}
