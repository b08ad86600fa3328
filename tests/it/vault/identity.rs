//! Whose records a vault holds: a name of the configuration never comes to stand for another application.

use yizhan::clock::SystemClock;
use yizhan::platform::{self, Component, Platform};
use yizhan::settings::{Settings, Surroundings};
use yizhan::vault::shelf::{Change, Clear, Kind, RecordKey};
use yizhan::vault::{Identities, OpenError};

use super::*;
use crate::twin_vendors::{TwinVendors, address};

/// A component of that platform under that name; what its vendor knows it by ends in `end`.
fn component(name: &str, platform: &str, end: char) -> Arc<dyn Component> {
    let platform = platform::named(platform).unwrap();
    let (sample, app_id) = (platform.sample_settings(&address(platform)), app_id(platform));
    let text = sample.replace(&format!("\"{app_id}\""), &format!("\"{}{end}\"", &app_id[..app_id.len() - 1]));
    platform.component(name, Settings::parse(&text, Surroundings::default()).unwrap()).unwrap()
}

/// By what its vendor knows the calls of its sample settings.
fn app_id(platform: &dyn Platform) -> String {
    let settings = Settings::parse(&platform.sample_settings(&address(platform)), Surroundings::default()).unwrap();
    platform.component("sample", settings).unwrap().calls_as().to_owned()
}

async fn opened(shelf: &Arc<MemoryShelf>, components: &[Arc<dyn Component>]) -> Result<Arc<Vault>, OpenError> {
    let clock = Arc::new(SystemClock);
    let vendors = TwinVendors::of_all(clock.clone(), |_| "");
    Vault::open(shelf.clone(), Components::new(components.to_vec()), vendors, clock, "https://post.example.com").await
}

/// Something that belongs to the application of that name.
async fn keep(shelf: &MemoryShelf, kind: Kind, component: &str, name: &str) {
    let body = Clear::new(b"{}".to_vec());
    shelf.commit(vec![Change::put(RecordKey::new(kind, component, name), body)]).await.unwrap();
}

#[tokio::test]
async fn a_name_under_which_something_is_kept_stands_for_one_application_at_every_platform() {
    for platform in platform::ALL {
        let (shelf, name) = (Arc::new(MemoryShelf::default()), platform.name());
        let [one, other] = ['3', '4'].map(|end| component("mine", name, end));
        drop(opened(&shelf, std::slice::from_ref(&one)).await.unwrap());
        keep(&shelf, Kind::Authorizer, "mine", "merchant").await;
        let counts = shelf.commits.load(std::sync::atomic::Ordering::SeqCst);

        let refused = opened(&shelf, std::slice::from_ref(&other)).await.err().unwrap();
        let OpenError::OtherApplication(mistaken) = &refused else { panic!("{refused}") };
        assert_eq!((mistaken.len(), mistaken[0].component.as_str()), (1, "mine"));
        let words = refused.to_string();
        assert!([one.calls_as(), other.calls_as(), name].iter().all(|word| words.contains(word)), "{words}");
        assert_eq!(shelf.commits.load(std::sync::atomic::Ordering::SeqCst), counts, "nothing was written");

        drop(opened(&shelf, &[component("other", name, '4'), one]).await.unwrap());
    }
}

#[tokio::test]
async fn a_mistyped_tp_id_of_baidu_which_stands_in_no_call_can_be_mended_at_any_time() {
    let (shelf, baidu) = (Arc::new(MemoryShelf::default()), platform::named("baidu").unwrap());
    for last in ['3', '4'] {
        let sample = baidu.sample_settings(&address(baidu));
        let at = sample.find("tp_id = \"").unwrap() + "tp_id = \"".len();
        let length = sample[at..].find('"').unwrap();
        let text = format!("{}{last}{}", &sample[..at + length - 1], &sample[at + length..]);
        let mine = baidu.component("mine", Settings::parse(&text, Surroundings::default()).unwrap()).unwrap();
        drop(opened(&shelf, &[mine]).await.unwrap());
        keep(&shelf, Kind::Authorizer, "mine", "merchant").await;
    }
}

#[tokio::test]
async fn two_names_that_are_exchanged_are_both_refused() {
    let shelf = Arc::new(MemoryShelf::default());
    drop(opened(&shelf, &[component("one", "baidu", '3'), component("two", "douyin", '3')]).await.unwrap());
    for name in ["one", "two"] {
        keep(&shelf, Kind::Ticket, name, "").await;
    }
    let refused = opened(&shelf, &[component("one", "douyin", '3'), component("two", "baidu", '3')]).await.err().unwrap();
    let words = refused.to_string();
    assert!(words.contains("component `one`") && words.contains("component `two`"), "{words}");
}

#[tokio::test]
async fn a_mistyped_app_id_is_mended_while_nothing_is_kept_of_it() {
    let shelf = Arc::new(MemoryShelf::default());
    drop(opened(&shelf, &[component("mine", "douyin", '3')]).await.unwrap());
    drop(opened(&shelf, &[component("mine", "douyin", '4')]).await.unwrap());
    keep(&shelf, Kind::Token, "mine", "current/").await;
    drop(opened(&shelf, &[component("mine", "douyin", '4')]).await.unwrap());
    assert!(opened(&shelf, &[component("mine", "douyin", '3')]).await.is_err(), "by now it is the other one's");
}

#[tokio::test]
async fn a_store_that_does_not_say_whose_it_is_is_taken_over_as_it_is_configured() {
    let shelf = Arc::new(MemoryShelf::default());
    keep(&shelf, Kind::Authorizer, "mine", "merchant").await;
    drop(opened(&shelf, &[component("mine", "kuaishou", '3')]).await.unwrap());
    assert!(opened(&shelf, &[component("mine", "kuaishou", '4')]).await.is_err(), "it was written down");
    // A note that cannot be read says nothing either.
    shelf.damage(&RecordKey::new(Kind::Note, "", "component/mine"));
    drop(opened(&shelf, &[component("mine", "kuaishou", '4')]).await.unwrap());
    assert!(opened(&shelf, &[component("mine", "kuaishou", '3')]).await.is_err());
}

#[tokio::test]
async fn what_the_configuration_leaves_out_or_renames_is_named_with_its_merchants() {
    let shelf = Arc::new(MemoryShelf::default());
    let [gone, empty, renamed] = [component("gone", "baidu", '3'), component("empty", "baidu", '4'), component("dy", "douyin", '3')];
    drop(opened(&shelf, &[gone, empty, renamed]).await.unwrap());
    for (component, merchant) in [("gone", "1"), ("gone", "2"), ("dy", "tt1")] {
        keep(&shelf, Kind::Authorizer, component, merchant).await;
    }
    let present = Components::new(vec![component("douyin", "douyin", '3')]);
    let found = Identities::compare(&*shelf, &present).await.unwrap();
    let found: Vec<_> = found.forgotten.iter().map(|one| (one.component.as_str(), one.merchants, one.renamed.as_deref())).collect();
    assert_eq!(found, [("dy", 1, Some("douyin")), ("gone", 2, None)], "of `empty` nothing is lost");
}
