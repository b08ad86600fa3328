//! Code packages (5.2): upload, list, audit, release, rollback, QR codes.

use super::*;
use crate::platform::baidu::operations::packages::{APPROVED, DEVELOPMENT, IN_AUDIT, ONLINE};

fn test_account() -> Param {
    param("test_account", Kind::Text(128), form("test_account"), "供审核的测试账号", "login for reviewers", "reviewer")
}

fn test_password() -> Param {
    param("test_password", Kind::Text(128), form("test_password"), "测试账号的密码", "its password", "sample-password-1")
}

fn width() -> Param {
    param("width", Kind::Number(200, 1280), query("width"), "宽度（像素），缺省 200", "width in pixels, 200 where absent", "430")
}

fn path() -> Param {
    param("path", Kind::Text(1024), query("path"), "打开的页面路径", "page that it opens", "pages/index/index")
}

pub(super) fn rows() -> Vec<Row> {
    let description = |place, zh, en| param("description", Kind::Text(256), place, zh, en, "首次发布");
    vec![
        post(
            "package.upload",
            "上传代码包并等待生成",
            "Make a package from a template and wait for it",
            APP,
            "package/upload",
            "Baidu 5.2.1",
        )
        .takes([
            must(param("template_id", Kind::Digits, form("template_id"), "模板 ID", "id of the template", "\"12\"")),
            must(param("version", Kind::Text(64), form("user_version"), "版本号", "version", "1.0.3")),
            must(description(form("user_desc"), "版本描述", "what is new")),
            param(
                "ext",
                Kind::Object,
                Place::Own,
                "并入 ext_json：ext、extPages、window、directCommit 等",
                "merged into ext_json: ext, extPages, window, directCommit and so on",
                r#"{"ext":{"shop":"sample"}}"#,
            ),
            test_account(),
            test_password(),
        ])
        .before(Before::Packages)
        .sends(Sends::Upload)
        .once(Asks::Packages),
        get("package.list", "代码包列表", "Packages", APP, "package/get", "Baidu 5.2.2").reads(read::packages),
        get("package.get", "代码包详情", "One package; the online one where none is named", APP, "package/getdetail", "Baidu 5.2.3")
            .takes([
                package_id(),
                version(),
                param(
                    "type",
                    Kind::Number(1, 8),
                    query("type"),
                    "按状态查询：1 线上，3 开发，4 审核中，5 未通过，6 已通过",
                    "by state: 1 online, 3 development, 4 in audit, 5 failed, 6 passed",
                    "3",
                ),
            ])
            .before(Before::Package(&[]))
            .sends(Sends::Package)
            .reads(read::package),
        post("audit.submit", "提交审核", "Submit a package for audit", APP, "package/submitaudit", "Baidu 5.2.4")
            .takes([
                package_id(),
                version(),
                description(Place::Own, "送审内容，缺省取版本描述", "what is submitted; the package's description where absent"),
                param("remark", Kind::Text(256), Place::Own, "备注，缺省同送审内容", "remark; the description where absent", "请审核"),
                test_account(),
                test_password(),
            ])
            .before(Before::Package(&[DEVELOPMENT]))
            .sends(Sends::Submission)
            .once(Asks::Packages)
            .leaves("in_audit"),
        post("audit.withdraw", "撤回审核", "Withdraw a package from audit", APP, "package/withdraw", "Baidu 5.2.6")
            .takes([package_id(), version()])
            .before(Before::Package(&[IN_AUDIT]))
            .sends(Sends::Package)
            .once(Asks::Packages)
            .leaves("development"),
        get("audit.quota", "查询提审额度", "Submissions left", APP, "package/auditquota", "Baidu 5.2.5").reads(read::quota),
        post("package.release", "发布审核通过的代码包", "Release an approved package", APP, "package/release", "Baidu 5.2.7")
            .takes([package_id(), version()])
            .before(Before::Package(&[APPROVED]))
            .sends(Sends::Package)
            .once(Asks::Packages)
            .leaves("online"),
        post(
            "package.rollback",
            "回退线上代码包",
            "Go back from the online package to the one before",
            APP,
            "package/rollback",
            "Baidu 5.2.8",
        )
        .takes([package_id()])
        .before(Before::Package(&[ONLINE]))
        .sends(Sends::Package)
        .once(Asks::Packages)
        .leaves("rolling_back"),
        get("trial.qrcode", "获取体验二维码", "QR code of a version that is not online yet", APP, "app/qrcode", "Baidu 5.2.9")
            .takes([
                package_id(),
                version(),
                param(
                    "stage",
                    Kind::Word(&["latest", "audit", "current"]),
                    Place::Own,
                    "缺省 latest",
                    "which version; latest where absent",
                    "latest",
                ),
                path(),
                width(),
            ])
            .before(Before::Stage)
            .sends(Sends::Package)
            .file("qrcode.png"),
        get("qrcode.create", "获取线上二维码", "QR code of the online version", APP, "app/qrcode", "Baidu 5.2.9")
            .takes([path(), width()])
            .file("qrcode.png"),
    ]
}
