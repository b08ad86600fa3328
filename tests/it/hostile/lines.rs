//! Log lines: nobody who is quoted in one begins a line of his own or commands the terminal that shows it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::EnvFilter;
use yizhan::telemetry;

/// Everything that was written.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// A subscriber as the service has it, for levels like `info`.
    pub fn subscriber(&self, levels: &str) -> impl tracing::Subscriber + Send + Sync + use<> {
        let writer = self.clone();
        telemetry::text(EnvFilter::new(levels), false, move || writer.clone())
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const HOSTILE: &str = "no\r\n2026-11-20T07:00:00Z ERROR forged line\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}txt\0\u{2028}";

#[test]
fn what_others_said_stays_within_its_line() {
    let written = Written::default();
    tracing::subscriber::with_default(written.subscriber("info"), || {
        tracing::warn!(error = %HOSTILE, component = HOSTILE, cause = ?HOSTILE, r#type = %"audit.passed", "the vendor refused: {HOSTILE}");
        tracing::info!("{HOSTILE}");
    });
    let text = written.text();
    assert_eq!(text.lines().count(), 2, "{text}");
    for c in text.chars().filter(|c| *c != '\n') {
        assert!(!c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c), "{c:?} in {text:?}");
    }
    assert!(text.contains("forged line") && text.contains("type=audit.passed"), "{text}");
}

#[test]
fn ordinary_words_are_shown_as_they_are() {
    let written = Written::default();
    tracing::subscriber::with_default(written.subscriber("info"), || {
        tracing::info!(component = "抖音", attempt = 3, error = %"vendor: 审核未通过 (40001)", "a push was stored");
    });
    let text = written.text();
    assert!(text.ends_with("a push was stored component=\"抖音\" attempt=3 error=vendor: 审核未通过 (40001)\n"), "{text}");
}
