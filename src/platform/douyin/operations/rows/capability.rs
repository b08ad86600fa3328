//! Capabilities: short-video mount and the generic ones in the second generation, live component and phone number in the first (5.7, 5.8).

use super::{MERCHANT, MERCHANT_V1, PICTURE, json, may, must, once, read, with};
use crate::platform::operation::{Kind, Operation, Param, Place};

fn capability(place: Place) -> Param {
    must(
        (
            "capability",
            "能力：short_video 短视频挂载，live 直播挂载，或平台的 capacity_key",
            "Capability: short_video, live, or the vendor's capacity_key",
        ),
        Kind::Text(64),
        place,
        "short_video",
    )
}

pub(super) fn rows() -> Vec<Operation> {
    vec![
        with(
            once(
                ("capability.apply", "申请能力", "Apply for a capability"),
                MERCHANT,
                "/api/apps/v1/capacity/apply_capacity/",
                "Douyin 5.7, 5.8",
            ),
            [
                capability(Place::Own),
                must(("reason", "申请原因与内容", "Reason and content"), Kind::Text(200), Place::Own, "挂载门店点单页面"),
                may(
                    ("anchor_text", "锚点文案示例，short_video 必填", "Sample anchor text; short_video needs it"),
                    Kind::Text(200),
                    Place::Own,
                    "点一杯春茶",
                ),
                may(
                    ("materials", "落地页截图，short_video 必填", "Screenshot of the landing page; short_video needs it"),
                    Kind::Picture(PICTURE),
                    Place::Own,
                    r#"{"file_name":"landing.png","content_base64":"iVBORw0KGgo="}"#,
                ),
                may(
                    (
                        "apply_info",
                        "其他能力要求的内容，如 {scene_desc: [...], img_uri_list: [...]}；short_video 没有",
                        "What another capability asks for, such as {scene_desc: [...], img_uri_list: [...]}; nothing for short_video",
                    ),
                    Kind::Object,
                    Place::Own,
                    "{}",
                ),
            ],
        ),
        with(
            read(
                ("capability.status", "查询能力申请状态", "State of a capability"),
                MERCHANT,
                "/api/apps/v1/capacity/query_apply_status/",
                "Douyin 5.7, 5.8",
            ),
            [capability(Place::Own)],
        ),
        read(("capability.list", "查询能力列表", "Capabilities"), MERCHANT, "/api/apps/v1/capacity/query_capacity_list/", "Douyin 5.8"),
        with(
            once(
                ("live_component.apply", "申请直播组件", "Apply for the live component"),
                MERCHANT_V1,
                "/openapi/v1/microapp/operation/live_application",
                "Douyin 5.7",
            ),
            [
                must(("reason", "申请说明", "Introduction"), Kind::Text(300), json("intro"), "每周直播新品"),
                must(
                    ("firstLiveTime", "首次直播时间，Unix 秒", "First broadcast, Unix seconds"),
                    Kind::Number(0, 4_102_444_800),
                    json("firstLiveTime"),
                    "1795000000",
                ),
                must(("liveFrequency", "每周直播次数", "Broadcasts in a week"), Kind::Number(0, 1000), json("liveFrequency"), "3"),
                must(("hasAdBudget", "是否有投放预算", "Whether there is a budget"), Kind::Flag, Place::Own, "true"),
                may(("adBudgetAmount", "预算，元", "Budget in yuan"), Kind::Number(0, 1_000_000_000), json("adBudgetAmount"), "5000"),
                may(("adPersonName", "投放负责人", "Who is in charge of it"), Kind::Text(10), json("adPersonName"), "示例"),
            ],
        ),
        read(
            ("live_component.status", "查询直播组件申请状态", "State of the live component"),
            MERCHANT_V1,
            "/openapi/v1/microapp/operation/live_application_status",
            "Douyin 5.7",
        ),
        with(
            once(
                ("phone_number.apply", "申请获取用户手机号", "Apply for users' phone numbers"),
                MERCHANT_V1,
                "/openapi/v1/microapp/operation/phone_number_application",
                "Douyin 5.7",
            ),
            [
                must(
                    ("reason", "原因：1 必要登录，2 配送联系", "Reason: 1 necessary login, 2 delivery contact"),
                    Kind::Number(1, 2),
                    json("reason"),
                    "2",
                ),
                must(
                    (
                        "scene",
                        "场景：1 账号同步 2 购物 3 票务 4 办事 5 查询 6 预约 7 其他",
                        "Scene: 1 account, 2 shopping, 3 tickets, 4 business, 5 information, 6 reservation, 7 other",
                    ),
                    Kind::Number(1, 7),
                    json("scene"),
                    "2",
                ),
                must(
                    ("description", "说明，10–200 个字符", "Description, 10 to 200 characters"),
                    Kind::Text(200),
                    json("description"),
                    "外卖配送时骑手需要联系顾客",
                ),
                must(
                    ("materials", "场景图", "Picture of the scene"),
                    Kind::Picture(5 * 1024 * 1024),
                    Place::Own,
                    r#"{"file_name":"scene.png","content_base64":"iVBORw0KGgo="}"#,
                ),
            ],
        ),
        read(
            ("phone_number.status", "查询手机号申请状态", "State of users' phone numbers"),
            MERCHANT_V1,
            "/openapi/v1/microapp/operation/phone_number_application_status",
            "Douyin 5.7",
        ),
    ]
}
