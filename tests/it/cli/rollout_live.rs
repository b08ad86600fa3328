//! `rollout` against the service itself, with the pretended vendors behind it.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::platform::twin::Verdict;

use super::{Ran, command};
use crate::rollout::stories::Deployment;

const NEW: [&str; 5] = ["kuaishou", "--template=12", "--release=2.0.1", "--description=spring menu", "--all"];

/// Runs the program beside the service, while time passes there.
async fn cli(deployment: &Deployment, arguments: &[&str]) -> Ran {
    let mut running = begun(deployment, arguments);
    loop {
        tokio::select! {
            ran = &mut running => return ran.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => deployment.world.advance(Duration::from_secs(1)),
        }
    }
}

/// The same, to be waited for.
fn begun(deployment: &Deployment, arguments: &[&str]) -> tokio::task::JoinHandle<Ran> {
    let mut command = command(deployment.world.store(), arguments);
    command.env("YIZHAN_URL", &deployment.world.base).env("YIZHAN_API_KEY", crate::world::KEY);
    tokio::task::spawn_blocking(move || command.output().unwrap().into())
}

/// A program that goes on, once it has said its first line to people.
async fn talking(deployment: &Deployment, arguments: &[&str]) -> (String, tokio::task::JoinHandle<Ran>) {
    let mut command = command(deployment.world.store(), arguments);
    command.env("YIZHAN_URL", &deployment.world.base).env("YIZHAN_API_KEY", crate::world::KEY);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap());
    let first = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        (line, talk)
    });
    let (line, mut talk) = first.await.unwrap();
    let ends = tokio::task::spawn_blocking(move || {
        let mut err = String::new();
        talk.read_to_string(&mut err).unwrap();
        let output = child.wait_with_output().unwrap();
        Ran { err, ..Ran::from(output) }
    });
    (line, ends)
}

fn with<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["rollout", verb].into_iter().chain(NEW).chain(more.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_planned_begun_watched_and_taken_back_from_the_command_line() {
    let deployment = Deployment::of("kuaishou").await;
    let [passes, fails, other] = deployment.shops;
    deployment.release("2.0.0", &[passes, fails, other]).await;
    let calls = deployment.world.simulator.journal().len();

    let plan = cli(&deployment, &with("plan", &["--variable", "shop=${variables.none}"])).await;
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert!(plan.err.contains("0 merchants take part, 3 do not; nothing was sent"), "{}", plan.err);
    assert!(plan.err.contains("3 × has no value for variables.none (for example ks71)"), "{}", plan.err);
    let plan = cli(&deployment, &with("plan", &["--json"])).await;
    assert_eq!((plan.json()["taking_part"].clone(), deployment.world.simulator.journal().len()), (json!(3), calls), "no vendor was asked");

    let started = cli(&deployment, &with("start", &["--yes", "--concurrency=2", "--json"])).await;
    assert_eq!(started.code, 0, "{}", started.err);
    let id = started.json()["id"].as_str().unwrap().to_owned();
    let list = cli(&deployment, &["rollout", "list"]).await;
    let line = list.out.lines().find(|line| line.contains(&id)).unwrap();
    assert!(line.contains("running") && line.contains("2.0.1") && line.contains(" of 3"), "{}", list.out);
    assert_eq!(list.out.lines().count(), 3, "a heading and two rollouts: {}", list.out);

    // Nobody asks here: without a terminal there are lines, and the end is told by the exit code.
    let (first, watching) = talking(&deployment, &["rollout", "watch", &id]).await;
    assert!(first.starts_with("running: 0 of 3"), "{first}");
    deployment.until_count(&id, "in_audit", 3).await;
    deployment.judge(fails, Verdict::Failed(String::from("图标不清"))).await;
    deployment.judge(passes, Verdict::Passed).await;
    deployment.judge(other, Verdict::Passed).await;
    deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    let watched = watching.await.unwrap();
    assert_eq!(watched.code, 1, "one was rejected: {}", watched.err);
    assert!(!watched.err.contains('\x1b') && !watched.out.contains('\x1b'), "{}{}", watched.err, watched.out);
    assert!(watched.out.contains("3 of 3: released 2 · rejected 1") && watched.out.contains("图标不清"), "{}", watched.out);

    let rejected = cli(&deployment, &["rollout", "status", &id, "--stage", "rejected", "--json"]).await;
    assert_eq!((&rejected.json()["items"][0]["authorizer"], &rejected.json()["items"][1]), (&json!(fails), &Value::Null));
    let told = cli(&deployment, &["rollout", "pause", &id]).await;
    assert_eq!(told.code, 1);
    assert!(told.err.contains("a rollout that is done cannot be paused"), "{}", told.err);

    // Somebody has gone on from there: that one is left alone, and said.
    deployment.release("2.0.2", &[other]).await;
    let asked = cli(&deployment, &["rollout", "rollback", &id]).await;
    assert_eq!(asked.code, 2, "nobody can answer here");
    assert!(asked.err.contains(&format!("take 2.0.1 back from 2 merchants to which {id} released it?")), "{}", asked.err);
    let back = cli(&deployment, &["rollout", "rollback", &id, "--yes", "--watch"]).await;
    assert_eq!(back.code, 1, "{}", back.err);
    assert!(back.out.contains("1 of 2 taken back"), "{}", back.out);
    assert!(back.out.contains(other) && back.out.contains("version 2.0.1 is not what is online"), "{}", back.out);
    assert_eq!(deployment.online(passes).await, ["2.0.0"]);
    assert_eq!(deployment.online(other).await, ["2.0.2"]);
    let status = cli(&deployment, &["rollout", "status", &id]).await;
    assert!(status.out.contains("released 2 · rejected 1 · rolled back 1 · not rolled back 1"), "{}", status.out);
    assert!(status.out.contains("version 2.0.1 is not what is online"), "{}", status.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_paused_resumed_retried_and_cancelled_from_the_command_line() {
    let deployment = Deployment::of("kuaishou").await;
    let started = cli(&deployment, &with("start", &["--yes", "--template=99", "--watch", "--json"])).await;
    assert_eq!(started.code, 2, "a flag given twice is wrong use: {}", started.err);
    let wrong =
        ["rollout", "start", "kuaishou", "--template=99", "--release=2.0.1", "--description=d", "--all", "--yes", "--watch", "--json"];
    let failed = cli(&deployment, &wrong).await;
    assert_eq!(failed.code, 1, "{}", failed.err);
    let lines: Vec<Value> = failed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["state"], &last["counts"]["failed"]), (&json!("done"), &json!(3)), "a line for each change, the last one the end");
    let id = last["id"].as_str().unwrap().to_owned();
    let retried = cli(&deployment, &["rollout", "retry", &id]).await;
    assert!(retried.code == 0 && retried.out.contains("running"), "{}{}", retried.out, retried.err);
    let status = cli(&deployment, &["rollout", "status", &id]).await;
    assert!(status.out.contains(&id), "{}", status.out);

    let started =
        cli(&deployment, &["rollout", "start", "kuaishou", "--template=12", "--release=2.0.3", "--description=d", "--all", "--yes"]).await;
    assert_eq!(started.code, 0, "{}", started.err);
    let id = started.out.trim().to_owned();
    deployment.until_count(&id, "in_audit", 3).await;
    let paused = cli(&deployment, &["rollout", "pause", &id]).await;
    assert!(paused.out.contains(": paused"), "{}{}", paused.out, paused.err);
    let resumed = cli(&deployment, &["rollout", "resume", &id, "--json"]).await;
    assert_eq!(resumed.json()["state"], "running");
    let cancelled = cli(&deployment, &["rollout", "cancel", &id, "--yes"]).await;
    assert!(cancelled.code == 0 && cancelled.out.contains(": cancelled"), "{}{}", cancelled.out, cancelled.err);
    let watched = cli(&deployment, &["rollout", "watch", &id]).await;
    assert_eq!(watched.code, 1, "it did not come to its end");
    assert!(watched.out.contains("3 of 3: cancelled 3"), "{}", watched.out);
    for verb in ["status", "watch", "pause", "retry"] {
        let nobody = cli(&deployment, &["rollout", verb, "rol_00000000000000000000000000000000"]).await;
        assert_eq!(nobody.code, 1, "{verb}: {}", nobody.err);
        assert!(nobody.err.contains("rol_0000"), "{verb}: {}", nobody.err);
    }
}
