//! For the component itself: its authorizers, its templates and drafts, its material, its check file (4.7, 5.9 to 5.11).

use super::{COMPONENT, json, must, once, part, query, read, repeatable, with};
use crate::platform::operation::{Answers, Kind, Operation};

pub(super) fn rows() -> Vec<Operation> {
    vec![
        with(
            read(
                ("authorization.list", "已授权小程序列表", "Authorizers"),
                COMPONENT,
                "/api/tpapp/v2/auth/get_auth_app_list/",
                "Douyin 4.7",
            ),
            [
                must(("page", "页码，从 1 开始", "Page, from 1"), Kind::Number(1, 1_000_000), query("page"), "1"),
                must(("size", "每页数量", "Entries on a page"), Kind::Number(1, 50), query("size"), "50"),
            ],
        ),
        read(("template.list", "模板列表", "Templates"), COMPONENT, "/api/tpapp/v2/template/get_tpl_list/", "Douyin 5.11"),
        read(
            ("template.drafts", "模板小程序与草稿", "Template mini programs and drafts"),
            COMPONENT,
            "/api/tpapp/v2/template/get_tpl_app_list/",
            "Douyin 5.11",
        ),
        with(
            once(
                ("template.add", "草稿添加为模板", "Make a draft a template"),
                COMPONENT,
                "/api/tpapp/v2/template/add_tpl/",
                "Douyin 5.11",
            ),
            [must(("draft_id", "草稿 id", "Id of the draft"), Kind::Digits, json("draft_id"), "9133504853504540002")],
        ),
        with(
            once(("template.delete", "删除模板", "Delete a template"), COMPONENT, "/api/tpapp/v2/template/del_tpl/", "Douyin 5.11"),
            [must(("template_id", "模板 id", "Id of the template"), Kind::Digits, json("template_id"), "9133504853504530001")],
        ),
        with(
            repeatable(
                ("component_media.upload", "上传服务商素材", "Upload material of the component"),
                COMPONENT,
                "/api/tpapp/v2/file/upload_material/",
                "Douyin 5.10",
            ),
            [
                must(
                    ("material_type", "用途：1 营业执照，2 图标", "Use: 1 business licence, 2 icon"),
                    Kind::Number(1, 2),
                    part("material_type"),
                    "2",
                ),
                must(("file", "文件", "File"), Kind::File(4 * 1024 * 1024), part("material_file"), "icon.png"),
            ],
        ),
        Operation {
            answers: Answers::File,
            ..read(
                ("webview_domain.check_file", "业务域名校验文件", "Check file of webview domains"),
                COMPONENT,
                "/api/tpapp/v2/domain/get_webview_check_file_info/",
                "Douyin 5.9",
            )
        },
    ]
}
