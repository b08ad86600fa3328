//! The committing thread alone.

use std::sync::mpsc;

use tokio::sync::oneshot;
use yizhan::inbox::LogError;
use yizhan::store::commit::{Commit, Committer, Limits};

enum Job {
    Answer(oneshot::Sender<usize>),
    /// As many bytes, nobody to answer.
    Bytes(usize),
    /// Tells that it was reached, then waits until it may go on.
    Hold(mpsc::Sender<()>, mpsc::Receiver<()>),
    Fail,
    Panic,
}

struct Counting;

impl Commit for Counting {
    type Job = Job;

    fn weight(job: &Job) -> usize {
        if let Job::Bytes(bytes) = job { *bytes } else { 1 }
    }

    fn commit(&mut self, group: Vec<Job>) -> Result<(), String> {
        let size = group.len();
        for job in group {
            match job {
                Job::Answer(answer) => drop(answer.send(size)),
                Job::Bytes(_) => {}
                Job::Hold(reached, go_on) => {
                    reached.send(()).unwrap();
                    go_on.recv().unwrap();
                }
                Job::Fail => return Err(String::from("the disk is gone")),
                Job::Panic => panic!("surprise"),
            }
        }
        Ok(())
    }
}

fn committer(queue: usize) -> Committer<Job> {
    Committer::start("test", Limits { queue, queue_bytes: 1000, group: 100, group_bytes: 100 }, Counting).unwrap()
}

fn hold(committer: &Committer<Job>) -> mpsc::Sender<()> {
    let ((reached, reach), (go_on, going_on)) = (mpsc::channel(), mpsc::channel());
    committer.put(Job::Hold(reached, going_on)).unwrap();
    reach.recv().unwrap();
    go_on
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_what_waited_is_one_group() {
    let committer = committer(3);
    let go_on = hold(&committer);
    let (answers, mut answered): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel::<usize>()).unzip();
    for answer in answers {
        committer.put(Job::Answer(answer)).unwrap();
    }
    assert!(matches!(committer.ask_now(Job::Answer).await, Err(LogError::Full)));
    go_on.send(()).unwrap();
    for answer in &mut answered {
        assert_eq!(answer.await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_few_large_writes_fill_the_queue_as_many_small_ones_do() {
    let committer = committer(100);
    let go_on = hold(&committer);
    committer.put(Job::Bytes(5000)).unwrap();
    assert!(matches!(committer.put(Job::Bytes(10)), Err(LogError::Full)), "one alone is taken, however large, and then no more");
    go_on.send(()).unwrap();
    assert_eq!(committer.ask(Job::Answer).await.unwrap(), 1);
    let go_on = hold(&committer);
    for _ in 0..10 {
        committer.put(Job::Bytes(100)).unwrap();
    }
    assert!(matches!(committer.ask_now(Job::Answer).await, Err(LogError::Full)));
    go_on.send(()).unwrap();
    committer.ask(Job::Answer).await.unwrap();
    committer.put(Job::Bytes(1000)).unwrap();
}

#[tokio::test]
async fn who_goes_away_while_waiting_for_room_leaves_nothing_behind() {
    let committer = committer(1);
    let go_on = hold(&committer);
    committer.put(Job::Bytes(1)).unwrap();
    for _ in 0..3 {
        let asking = committer.ask::<()>(|_| Job::Bytes(500));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), asking).await.is_err(), "there is no room");
    }
    go_on.send(()).unwrap();
    committer.ask(Job::Answer).await.unwrap();
    let go_on = hold(&committer);
    committer.put(Job::Bytes(10)).expect("nothing waits any more");
    go_on.send(()).unwrap();
}

#[tokio::test]
async fn a_failed_commit_is_final_for_those_in_the_group_in_the_queue_and_later() {
    let committer = committer(10);
    let mut failed = committer.failed();
    let go_on = hold(&committer);
    committer.put(Job::Fail).unwrap();
    let (waiting, ()) = tokio::join!(committer.ask_now(Job::Answer), async { go_on.send(()).unwrap() });
    let Err(LogError::Failed(why)) = waiting else { panic!("{waiting:?}") };
    assert_eq!(why, "the disk is gone");
    assert!(matches!(committer.ask_now(Job::Answer).await, Err(LogError::Failed(_))));
    assert!(matches!(committer.ask(Job::Answer).await, Err(LogError::Failed(_))));
    assert_eq!(failed.wait_for(Option::is_some).await.unwrap().as_deref(), Some("the disk is gone"));
}

#[tokio::test]
async fn a_panic_while_committing_is_a_failed_commit() {
    let committer = committer(10);
    let mut failed = committer.failed();
    committer.put(Job::Panic).unwrap();
    assert_eq!(failed.wait_for(Option::is_some).await.unwrap().as_deref(), Some("panic while committing: surprise"));
}

#[test]
fn what_waits_before_a_disk_that_hangs_shows() {
    let recorder = yizhan::telemetry::recorder();
    let handle = recorder.handle();
    let depth = || {
        let text = handle.render();
        let line = text.lines().find(|line| line.starts_with("yizhan_queue_depth{queue=\"test\"}")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let committer = metrics::with_local_recorder(&recorder, || committer(3));
    let go_on = hold(&committer);
    assert_eq!(depth(), "0", "what is being written waits no more");
    for waiting in ["1", "2", "3"] {
        committer.put(Job::Bytes(1)).unwrap();
        assert_eq!(depth(), waiting);
    }
    assert!(committer.put(Job::Bytes(1)).is_err(), "full");
    assert_eq!(depth(), "3");
    go_on.send(()).unwrap();
    drop(committer);
    assert_eq!(depth(), "0");
}
