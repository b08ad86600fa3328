//! Questions to a person. `script` of util-linux is the terminal: what is written to it is typed, what it prints stands on the screen.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::json;

use super::service::{StandIn, ok};

/// Runs a command on a terminal and types these keys once it has asked: its exit code, and the screen at the end.
fn asked(service: &StandIn, arguments: &[&str], keys: &[u8]) -> (Option<i32>, String) {
    let words: Vec<String> = [env!("CARGO_BIN_EXE_yizhan")].iter().chain(arguments).map(|word| format!("'{word}'")).collect();
    let mut terminal = Command::new("script");
    // `exec`: the command has the terminal to itself, no shell hears the keys beside it.
    terminal.args(["--quiet", "--return", "--command", &format!("exec {}", words.join(" ")), "/dev/null"]);
    terminal.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = service.environment(&mut terminal).spawn().expect("`script` of util-linux");
    let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut seen = Vec::new();
    while !seen.ends_with(b"[y/N] ") {
        let mut byte = [0];
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "it did not ask: {}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
    keyboard.write_all(keys).unwrap();
    screen.read_to_end(&mut seen).unwrap();
    let code = terminal.wait().unwrap().code();
    (code, String::from_utf8(seen).unwrap())
}

const CTRL_C: &[u8] = b"\x03";

#[test]
fn ctrl_c_at_a_question_ends_the_command_and_nothing_is_done() {
    let replay = ["events", "replay", "--type", "auth*"];
    let retry = ["deliveries", "retry", "--status", "dead"];
    let delete = ["playbooks", "delete", "look"];
    for (arguments, answers) in [
        (&replay[..], vec![ok(json!({"matched": 7}))]),
        (&retry[..], vec![ok(json!({"items": [{"id": "dlv_1"}]}))]),
        // Here nothing was asked of the service before.
        (&delete[..], Vec::new()),
    ] {
        let before = answers.len();
        let service = StandIn::answering(answers);
        let (code, screen) = asked(&service, arguments, CTRL_C);
        assert_eq!(code, Some(1), "{arguments:?}: {screen}");
        assert!(screen.ends_with("interrupted\r\n"), "{screen:?}");
        assert_eq!(service.lines().len(), before, "{arguments:?}");
    }
}

#[test]
fn a_question_is_answered_with_yes_or_it_is_no() {
    for (keys, code, deleted) in [(&b"y\r"[..], 0, 1), (b"YES\r", 0, 1), (b"\r", 1, 0), (b"n\r", 1, 0), (b"\x04", 1, 0)] {
        let service = StandIn::answering([(204, "text/plain", Vec::new())]);
        let (ended, screen) = asked(&service, &["playbooks", "delete", "look"], keys);
        assert_eq!((ended, service.lines().len()), (Some(code), deleted), "{keys:?}: {screen}");
    }
}
