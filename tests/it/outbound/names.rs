//! Looking names up: bounded, shared, and never at the cost of other work.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use yizhan::outbound::names::{LOOKUPS, Lookup, System};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A resolver that answers nobody until it is told to.
#[derive(Default)]
struct Slow {
    asked: Mutex<HashMap<String, usize>>,
    answers: Mutex<bool>,
    told: Condvar,
}

impl Slow {
    fn ask(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        *self.asked.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        let _answers = self.told.wait_while(self.answers.lock().unwrap(), |answers| !*answers).unwrap();
        if name == "nowhere" { Err(io::Error::new(io::ErrorKind::NotFound, "no such name")) } else { Ok(vec![HOME]) }
    }

    fn answer(&self) {
        *self.answers.lock().unwrap() = true;
        self.told.notify_all();
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }

    /// Whoever waits has no patience: a place is free at once, or there is none.
    fn resolver(self: &Arc<Self>) -> Arc<System> {
        let slow = Arc::clone(self);
        Arc::new(System::asking(move |name| slow.ask(name), Duration::ZERO))
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_answers_for_take_a_bounded_number_of_threads() {
    let slow = Arc::new(Slow::default());
    let system = slow.resolver();
    let ask = |number: usize| {
        let system = Arc::clone(&system);
        tokio::spawn(async move { system.addresses(&format!("host-{number}.example")).await })
    };
    // More than the runtime has threads for blocking work.
    let asking: Vec<_> = (0..600).map(ask).collect();
    until(|| slow.asked() == LOOKUPS).await;
    assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7, "others' blocking work goes on");
    let late = ask(600).await.unwrap().unwrap_err();
    assert!(late.to_string().contains("wait for this machine's resolver"), "{late}");
    slow.answer();
    let found = join_all(asking).await.into_iter().filter(|answer| answer.as_ref().unwrap().is_ok()).count();
    assert_eq!((found, slow.asked()), (LOOKUPS, LOOKUPS));
    // Places are given back on the threads that had them, a moment after the answer.
    while ask(601).await.unwrap().is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_asked_for_once_at_a_time_however_many_wait_and_whoever_goes_away() {
    let slow = Arc::new(Slow::default());
    let system = slow.resolver();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let system = Arc::clone(&system);
            tokio::spawn(async move { system.addresses("host.example").await })
        })
        .collect();
    until(|| slow.asked() == 1).await;
    let gone = tokio::time::timeout(Duration::from_millis(10), system.addresses("host.example")).await;
    assert!(gone.is_err(), "it waits like the others");
    slow.answer();
    for answer in join_all(waiting).await {
        assert_eq!(answer.unwrap().unwrap(), [HOME]);
    }
    assert_eq!(slow.asked(), 1);
    assert_eq!(system.addresses("host.example").await.unwrap(), [HOME]);
    assert_eq!(slow.asked(), 2, "an answer is not kept");
    let error = system.addresses("nowhere").await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::NotFound, "no such name"));
}
