//! Comparisons with secrets: all of them take the same time whatever they find. A test of the text, because time itself cannot be tested
//! on a busy machine.

use std::fs;
use std::path::{Path, PathBuf};

/// The vendors' side is no part of the service; the demo and the sample handler are programs of their own.
const NOT_THE_SERVICE: &[&str] = &["/twin", "simulator/", "cli/demo", "downstream.rs"];

/// Comparisons that look like one with a secret and are none, with the reason.
const HARMLESS: &[(&str, &str)] = &[
    ("cbc::key(key.expose()).is_ok_and(|bytes| bytes.len() == 32)", "a length"),
    ("Some(key.hash) == hash", "two hashes of the same configuration file"),
    ("used.at == at", "two times"),
    ("bytes.len() == KEY)", "a length"),
    ("**former != hash", "two hashes of codes that we hold"),
    ("known.secret == key.secret", "`Secret` compares in constant time"),
    ("Some(&key.secret) == of_file", "`Secret` compares in constant time"),
    ("key.secret == *secret", "`Secret` compares in constant time"),
    ("bytes.len() == SEED_BYTES", "a length"),
    ("certificate.signature_algorithm.algorithm.to_id_string()", "the name of an algorithm"),
    ("sub_code == \"isv.invalid-signature\"", "a vendor's word"),
    ("version == \"v1a\"", "the name of a version"),
    ("version == \"v1\" && equal::bytes(", "the name of a version, then a comparison in constant time"),
    ("name == \"test_password\"", "the name of a parameter"),
    ("text.trim().len() == text.len() => Secret::new(text)", "two lengths"),
    ("SECRET_MEMBERS.iter().any(|secret| secret.as_bytes() == name)", "names of members"),
    ("self.names(*field).any(|known| known == name)", "names of members"),
    ("secret.is_some() && kind ==", "whether there is one"),
    ("expected == checksum.digest()", "a checksum against rot, not against people"),
    ("kept.value == ticket.value", "`Secret` compares in constant time"),
    ("access.value == tokens.access.value", "`Secret` compares in constant time"),
    ("held.token.as_ref() == Some(&tokens.access.value)", "`Secret` compares in constant time"),
    ("access.value != tokens.access.value", "`Secret` compares in constant time"),
    ("other.network == bringer.network", "two networks"),
    ("other != hash && code.origin", "two hashes of codes that we hold"),
];

/// Words that secrets and digests go by.
const TELLING: &[&str] =
    &["expose()", "secret", "signature", "digest", "hash", "mac(", "password", "ticket.value", "token.value", "access.value"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line compares something that goes by a telling word.
fn is_telling(line: &str) -> bool {
    let compares = line.contains(" == ") || line.contains(" != ");
    compares
        && TELLING.iter().any(|word| line.to_ascii_lowercase().contains(word))
        && !HARMLESS.iter().any(|(known, _)| line.contains(known))
}

#[test]
fn no_secret_is_compared_with_an_equals_sign() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        if NOT_THE_SERVICE.iter().any(|part| format!("/{name}").contains(part)) {
            continue;
        }
        for (index, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if !line.trim_start().starts_with("//") && is_telling(line) {
                wrong.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "compare with `envelope::equal`, or as `Secret`; what is no secret goes into HARMLESS with the reason:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_one_comparison_is_the_constant_time_one() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap();
    assert!(read("envelope/equal.rs").contains("a.ct_eq(b).into()"));
    assert!(read("secret.rs").contains("self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()"));
    assert!(!read("secret.rs").contains("derive(PartialEq"));
    // Every reader of pushes that checks a digest does it there, and Alipay's RSA is the library's.
    for name in ["platform/sorted_envelope/sealing.rs", "platform/kuaishou/seal.rs", "fanout/signature.rs", "http/caller.rs", "access.rs"] {
        assert!(read(name).contains("equal::"), "{name}");
    }
}

#[test]
fn the_reader_of_lines_sees_what_it_must() {
    for line in ["if sent == self.secret.expose() {", "    signature != computed", "Some(hash) == other.hash"] {
        assert!(is_telling(line), "{line}");
    }
    for line in ["if a == b {", "let secret = 1;", "if bytes.len() == SEED_BYTES { hash }"] {
        assert!(!is_telling(line), "{line}");
    }
}
