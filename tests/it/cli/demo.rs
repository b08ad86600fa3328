//! `demo`: the whole story in real processes, and that everybody is accounted for at its end.

use serde_json::Value;

use super::run;

#[test]
fn the_demo_tells_its_story_and_accounts_for_every_merchant_of_its_rollout() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.err, ran.out);
    let told: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!((&told["ok"], told["platforms"].as_array().map(Vec::len)), (&Value::Bool(true), Some(4)), "{told}");
    let count = |name: &str| told["rollout"][name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));
    assert_eq!(told["rollout"].as_object().unwrap().len(), 7, "{told}");
    assert_eq!((count("authorizers"), count("doubled"), count("lost")), (200, 0, 0), "{told}");
    assert_eq!(count("released") + count("rejected") + count("failed") + count("skipped"), 200, "{told}");
    assert_eq!(count("skipped"), 4, "those who left before: {told}");
    assert!(count("released") > 150 && count("rejected") > 0 && count("failed") > 0, "{told}");
    for told in ["withdrew", "killed with SIGKILL", "pushes never came", "none twice, none missing", "Everything held."] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
}
