//! Code (5.6): upload makes the test version, audit the audit version, release the online version, rollback the one before.

use super::{MERCHANT, json, may, must, once, read, with};
use crate::platform::operation::{Kind, Operation, Param, Place};

const CHANNEL: &[&str] = &["1"];

fn channel() -> Param {
    may(("tag", "测试通道，默认通道不填", "Test channel; left out: the default one"), Kind::Word(CHANNEL), json("tag"), r#""1""#)
}

pub(super) fn rows() -> Vec<Operation> {
    vec![
        with(
            once(("package.upload", "提交代码", "Upload code"), MERCHANT, "/api/apps/v1/package_version/upload/", "Douyin 5.6"),
            [
                must(("template_id", "模板 id", "Id of the template"), Kind::Digits, json("template_id"), "9133504853504530001"),
                must(("version", "版本号", "Version"), Kind::Text(64), json("user_version"), "2.0.1"),
                must(("description", "版本描述", "Description"), Kind::Text(1000), json("user_desc"), "春季菜单"),
                may(
                    (
                        "ext",
                        "ext.json 的内容；extEnable 与 extAppid 自动填写",
                        "Content of ext.json; `extEnable` and `extAppid` are filled in",
                    ),
                    Kind::Object,
                    Place::Own,
                    r#"{"ext":{"shop":"42"}}"#,
                ),
                channel(),
            ],
        ),
        read(("package.list", "版本列表", "Versions"), MERCHANT, "/api/apps/v1/package_version/versions/", "Douyin 5.6"),
        with(
            read(("package.get", "版本详情", "One version"), MERCHANT, "/api/apps/v1/package_version/versions/", "Douyin 5.6"),
            [
                may(
                    ("stage", "阶段：测试、审核、线上、灰度", "Stage: test, in audit, online, gradual"),
                    Kind::Word(&["latest", "audit", "current", "gray"]),
                    Place::Own,
                    "latest",
                ),
                may(("version", "版本号", "Version"), Kind::Text(64), Place::Own, "2.0.1"),
            ],
        ),
        read(
            ("audit.hosts", "可提审的宿主端", "Hosts that audit"),
            MERCHANT,
            "/api/apps/v1/package_version/get_audit_hosts/",
            "Douyin 5.6",
        ),
        with(
            once(("audit.submit", "提交审核", "Submit for audit"), MERCHANT, "/api/apps/v2/package_version/audit/", "Douyin 5.6"),
            [
                must(
                    ("hosts", "宿主端；未选的端在下个线上版本不可见", "Hosts; one that is left out does not show the next online version"),
                    Kind::Texts(20),
                    json("host_names"),
                    r#"["douyin","douyin_lite"]"#,
                ),
                may(
                    ("remark", "备注、测试账号", "Notes and test accounts"),
                    Kind::Text(200),
                    json("audit_note"),
                    "测试账号 tester，密码见备注",
                ),
                may(
                    ("audit_way", "0 正常提审，1 重新提交上次被拒的版本", "0 as usual, 1 the last rejected version again"),
                    Kind::Number(0, 1),
                    json("audit_way"),
                    "0",
                ),
                channel(),
                may(
                    ("is_force_skip_plugin_jssdk_check", "跳过插件基础库检测", "Skip the check of the plug-in's library"),
                    Kind::Flag,
                    json("is_force_skip_plugin_jssdk_check"),
                    "false",
                ),
                may(
                    ("is_force_skip_plugin_app_check", "跳过插件客户端覆盖检测", "Skip the check of the plug-in's coverage"),
                    Kind::Flag,
                    json("is_force_skip_plugin_app_check"),
                    "false",
                ),
            ],
        ),
        once(("audit.withdraw", "撤回审核", "Withdraw from audit"), MERCHANT, "/api/apps/v1/package_version/revoke_audit/", "Douyin 5.6"),
        once(("package.release", "发布", "Release"), MERCHANT, "/api/apps/v1/package_version/release/", "Douyin 5.6"),
        once(("package.rollback", "回滚", "Roll back"), MERCHANT, "/api/apps/v1/package_version/rollback/", "Douyin 5.6"),
    ]
}
