//! The rows as a page for people, `docs/operations.md`: which feature each platform has, and which it lacks.
//!
//! Printed by `yizhan openapi --markdown`; a test holds the file in the tree against it.

use std::fmt::Write as _;

use super::sheet::Sheet;
use crate::platform::operation::{Answers, Bearer, Effect, Kind, Operation, Param};
use crate::platform::{Family, Title};

const HEAD: &str = "\
# Operations · 操作

<!-- Written by `yizhan openapi --markdown` from the rows in `src/platform/*/`. Do not edit: change the row. -->

Every follow-up call that a platform offers, under one name and with the same parameter names on each platform that has it.
同一功能在各平台使用同一名称和同一组参数名。

```sh
yizhan call douyin --list                                  # the operations of a component
yizhan call douyin tt0123456789abcdef package.upload --example
yizhan call douyin tt0123456789abcdef package.upload template_id=12 version=1.0.3 description='first release'
curl -H \"Authorization: Bearer $YIZHAN_API_KEY\" -H 'Idempotency-Key: release-1.0.3' -d '{}' \\
  \"$YIZHAN_URL/v1/components/douyin/authorizers/tt0123456789abcdef/operations/package.release\"
```

Everything that is not here goes through `ANY /v1/components/{c}[/authorizers/{a}]/proxy/{path}`, which adds the token.

`yes` = ready · `off` = the platform has it, but its wire format is not verified: it is switched on and corrected in the configuration ·
`–` = no row: the platform has no such call, or its reference does not describe one.
";

/// The page.
#[must_use]
pub fn markdown(sheets: &[Sheet]) -> String {
    let mut page = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = overview(&mut page, sheets);
    for sheet in sheets {
        let _ = platform(&mut page, sheet);
    }
    page
}

/// Names in the order in which people look for them: groups as they first appear, names within a group likewise.
fn names(sheets: &[Sheet]) -> Vec<(&'static str, Title)> {
    let mut names: Vec<(&'static str, Title)> = Vec::new();
    for row in sheets.iter().flat_map(|sheet| &sheet.rows) {
        if names.iter().any(|(name, _)| *name == row.name) {
            continue;
        }
        let behind = names.iter().rposition(|(name, _)| group(name) == group(row.name)).map_or(names.len(), |last| last + 1);
        names.insert(behind, (row.name, row.title));
    }
    names
}

fn group(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn overview(page: &mut String, sheets: &[Sheet]) -> std::fmt::Result {
    writeln!(page, "\n## Feature by platform · 各平台功能\n")?;
    write!(page, "| operation | what it does |")?;
    for sheet in sheets {
        write!(page, " {} |", sheet.platform.title().en)?;
    }
    writeln!(page, "\n|---|---|{}", "---|".repeat(sheets.len()))?;
    for (name, title) in names(sheets) {
        write!(page, "| `{name}` | {} · {} |", cell(title.zh), cell(title.en))?;
        for sheet in sheets {
            let state = match sheet.rows.iter().find(|row| row.name == name) {
                None => "–",
                Some(row) if row.disabled.is_some() => "off",
                Some(_) => "yes",
            };
            write!(page, " {state} |")?;
        }
        writeln!(page)?;
    }
    write!(page, "| **operations** | |")?;
    for sheet in sheets {
        write!(page, " {} |", sheet.rows.len())?;
    }
    writeln!(page)
}

fn platform(page: &mut String, sheet: &Sheet) -> std::fmt::Result {
    let title = sheet.platform.title();
    writeln!(page, "\n## {} · {}\n", title.en, title.zh)?;
    if sheet.rows.is_empty() {
        return writeln!(page, "No operations yet.");
    }
    writeln!(page, "Parameters marked `*` are required.\n")?;
    writeln!(page, "| operation | token | call | parameters | a repetition | reference |")?;
    writeln!(page, "|---|---|---|---|---|---|")?;
    for row in &sheet.rows {
        let params: Vec<String> = row.params.iter().map(param).collect();
        let params = if params.is_empty() { String::from("none") } else { params.join(", ") };
        let answers = if row.answers == Answers::File { " (answers a file)" } else { "" };
        let method = row.method.as_str();
        let (bearer, effect) = (bearer(row.bearer), effect(row.effect));
        let path = cell(&row.path);
        writeln!(page, "| `{}` | {bearer} | `{method} {path}`{answers} | {params} | {effect} | {} |", row.name, cell(row.reference))?;
    }
    let off: Vec<&Operation> = sheet.rows.iter().filter(|row| row.disabled.is_some()).collect();
    if off.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n### Switched off until they are configured · 需配置后启用\n")?;
    for row in off {
        writeln!(page, "- `{}`: {}", row.name, row.disabled.as_deref().unwrap_or_default().replace('\n', " "))?;
    }
    Ok(())
}

fn param(param: &Param) -> String {
    let mark = if param.required { "\\*" } else { "" };
    format!("`{}`{mark} {}", param.name, cell(&kind(param.kind)))
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text(most) => format!("text ≤ {most}"),
        Kind::Digits => String::from("id"),
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Flag => String::from("true or false"),
        Kind::Word(words) => words.join(" or "),
        Kind::Texts(most) => format!("list of texts ≤ {most}"),
        Kind::Object => String::from("object"),
        Kind::Objects(most) => format!("list of objects ≤ {most}"),
        Kind::File(most) => format!("file ≤ {}", size(most)),
        Kind::Picture(most) => format!("file ≤ {}, or what `media.upload` gave", size(most)),
    }
}

fn size(bytes: u32) -> String {
    const MEBIBYTE: u32 = 1024 * 1024;
    match bytes {
        bytes if bytes >= MEBIBYTE && bytes % MEBIBYTE == 0 => format!("{} MiB", bytes / MEBIBYTE),
        bytes if bytes >= 1024 => format!("{} KiB", bytes / 1024),
        bytes => format!("{bytes} bytes"),
    }
}

fn bearer(bearer: Bearer) -> &'static str {
    match bearer {
        Bearer::Authorizer(Family::Current) => "authorizer",
        Bearer::Authorizer(Family::V1) => "authorizer, V1",
        Bearer::Component(Family::Current) => "component",
        Bearer::Component(Family::V1) => "component, V1",
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "changes nothing",
        Effect::Repeatable => "gives the same state",
        Effect::Once => "must not be: looked up first",
    }
}

/// Text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
