//! The service as a process: it starts, is backed up, stops when asked, and is restored elsewhere.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use yizhan::clock::SystemClock;
use yizhan::simulator::{Manners, Simulator};

use super::{Ran, command, run};

/// A running service.
struct Service {
    child: Child,
    base: String,
    /// Lines of standard error that nobody has read yet; kept open, so that the service can go on writing.
    _talk: BufReader<std::process::ChildStderr>,
}

impl Service {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder, &["serve"]);
        let mut child = child.env("YIZHAN__SERVER__LISTEN", "127.0.0.1:0").env("RUST_LOG", "error").stderr(Stdio::piped()).spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while !told.starts_with("listening on ") {
            told.clear();
            assert_ne!(talk.read_line(&mut told).unwrap(), 0, "the service ended: {:?}", child.wait());
        }
        let base = told.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, base, _talk: talk }
    }

    fn run(&self, folder: &Path, key: &str, arguments: &[&str]) -> Ran {
        command(folder, arguments).env("YIZHAN_URL", &self.base).env("YIZHAN_API_KEY", key).output().unwrap().into()
    }

    fn signal(&self) {
        assert!(std::process::Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    fn stop(mut self) -> Option<i32> {
        self.signal();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_is_backed_up_and_restored_elsewhere() {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::start(free, Arc::new(SystemClock), Manners::default()).await.unwrap();
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = run(old.path(), &["init"]).out.trim().to_owned();
    let file = old.path().join("yizhan.toml");
    let narrow = run(old.path(), &["keys", "new", "--name", "narrow", "--scopes", "read", "--json"]).json();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}{}", narrow["config"].as_str().unwrap(), simulator.components_toml())).unwrap();

    let service = Service::start(old.path());
    simulator.connect(&service.base);
    simulator.ticket("douyin").await.unwrap();
    simulator.grant("douyin", "tt0123456789abcdef").await.unwrap();
    let token = service.run(old.path(), &key, &["token", "douyin", "--json"]);
    assert_eq!(token.code, 0, "{}", token.err);
    let busy = command(old.path(), &["serve"]).env("YIZHAN__SERVER__LISTEN", service.base.trim_start_matches("http://")).output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8(busy.stderr).unwrap().contains("cannot listen on"));

    // Every event of the service, the newest first, as the commands see them.
    let events = |service: &Service, folder: &Path| service.run(folder, &key, &["events", "list", "--json"]).json()["items"].clone();
    let before = events(&service, old.path());
    assert!(before.as_array().unwrap().len() >= 2, "{before}");
    let backup = old.path().join("store.backup");
    let made = service.run(old.path(), &key, &["backup", backup.to_str().unwrap(), "--json"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.json()["records"].as_u64().unwrap() > 5, "{}", made.out);
    let refused = service.run(old.path(), narrow["key"].as_str().unwrap(), &["backup", "no.backup"]);
    assert!(refused.code == 1 && refused.err.contains("lacks the scope `store:backup`"), "{}", refused.err);
    assert_eq!(service.stop(), Some(0));

    std::fs::copy(&file, new.path().join("yizhan.toml")).unwrap();
    let restored = run(new.path(), &["restore", backup.to_str().unwrap(), "--json"]);
    assert_eq!((restored.code, &restored.json()["records"]), (0, &made.json()["records"]), "{}", restored.err);
    let again = run(new.path(), &["restore", backup.to_str().unwrap()]);
    assert_eq!(again.code, 1, "a store that is there is not overwritten");
    let service = Service::start(new.path());
    assert_eq!(events(&service, new.path()), before);
    let held = service.run(new.path(), &key, &["token", "douyin", "--json"]);
    assert_eq!(held.json()["access_token"], token.json()["access_token"], "the token is held, not fetched again");
    assert_eq!(service.stop(), Some(0));
    simulator.stop();
}

#[test]
fn what_is_no_whole_backup_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    std::fs::write(folder.path().join("no.backup"), "nonsense, and long enough to be looked at").unwrap();
    let ran = run(folder.path(), &["restore", "no.backup"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("not a backup"), "{}", ran.err);
    assert!(!folder.path().join("yizhan-data").exists());
}
