//! Metrics, levels, and lines on their way out.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use yizhan::telemetry::{self, Kind, Lines, METRICS};

#[test]
fn levels_are_words_or_per_module() {
    for level in ["info", "WARN", "off", "info,yizhan::fanout=debug", "yizhan=trace"] {
        assert!(telemetry::is_level(level), "{level}");
    }
    for level in ["", "loud", "info,,x", "yizhan=loud"] {
        assert!(!telemetry::is_level(level), "{level}");
    }
}

#[test]
fn every_metric_is_described_and_every_histogram_has_buckets() {
    let recorder = telemetry::recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => metrics::counter!(metric.name).increment(1),
                Kind::Gauge => metrics::gauge!(metric.name).set(1.0),
                Kind::Histogram(_) => metrics::histogram!(metric.name).record(0.3),
            }
        }
    });
    let text = handle.render();
    for metric in METRICS {
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(text.contains(&format!("{}_bucket{{le=\"{}\"}}", metric.name, buckets[0])), "{} in {text}", metric.name);
        }
    }
}

#[test]
fn two_services_in_one_process_share_the_figures() {
    let (first, second) = (telemetry::metrics(), telemetry::metrics());
    metrics::gauge!("yizhan_events_lost").set(0.0);
    assert!(first.render().contains("yizhan_events_lost 0"));
    assert!(second.render().contains("yizhan_events_lost 0"));
}

/// Who reads what is said, as slowly as the test wants.
#[derive(Clone, Default)]
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
}

impl Reader {
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn saying(lines: &Lines, say: impl FnOnce()) {
    tracing::subscriber::with_default(telemetry::text(EnvFilter::new("info"), false, lines.clone()), say);
}

#[test]
fn a_warning_is_written_at_once_with_all_that_was_said_before_it() {
    let reader = Reader::default();
    let (lines, _end) = Lines::to(reader.clone());
    saying(&lines, || {
        tracing::info!("first");
        tracing::info!("second");
        tracing::warn!("third");
        let text = reader.text();
        let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word} in {text}"));
        assert!(at("first") < at("second") && at("second") < at("third"), "{text}");
    });
}

#[test]
fn lines_of_many_threads_come_out_whole_and_each_threads_in_order() {
    let reader = Reader::default();
    let (lines, end) = Lines::to(reader.clone());
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let lines = lines.clone();
            threads.spawn(move || saying(&lines, || (0..500).for_each(|number| tracing::info!(thread, number, "said"))));
        }
    });
    drop(end);
    let text = reader.text();
    assert_eq!(text.lines().count(), 2000);
    for thread in 0..4 {
        let numbers = text.lines().filter_map(|line| line.split_once(&format!("said thread={thread} number="))?.1.parse::<u32>().ok());
        assert!(numbers.eq(0..500), "of thread {thread}");
    }
}

#[test]
fn what_is_said_after_the_end_is_still_written() {
    let reader = Reader::default();
    let (lines, end) = Lines::to(reader.clone());
    saying(&lines, || tracing::info!("before"));
    drop(end);
    assert!(reader.text().contains("before"));
    saying(&lines, || tracing::info!("after"));
    assert!(reader.text().contains("after"));
}

#[test]
fn what_waits_is_bounded() {
    let reader = Reader::default();
    let (lines, _end) = Lines::to(reader.clone());
    let word = "x".repeat(60_000);
    saying(&lines, || (0..5).for_each(|_| tracing::info!("{word}")));
    assert!(!reader.text().is_empty(), "more than a quarter of a megabyte waits");
}

/// A reader who takes nothing until it is let.
#[derive(Clone, Default)]
struct Hanging {
    reader: Reader,
    lets: Arc<(Mutex<bool>, Condvar)>,
}

impl Write for Hanging {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        drop(self.lets.1.wait_while(self.lets.0.lock().unwrap(), |lets| !*lets).unwrap());
        self.reader.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn nobody_is_held_up_for_long_by_a_reader_who_takes_nothing() {
    let reader = Hanging::default();
    let (lines, end) = Lines::to(reader.clone());
    let recorder = telemetry::recorder();
    let began = Instant::now();
    saying(&lines, || {
        tracing::warn!("first");
        assert!(began.elapsed() >= Duration::from_millis(400), "a warning waits for a reader who is slow");
        metrics::with_local_recorder(&recorder, || {
            let word = "x".repeat(1000);
            (0..1000).for_each(|number| tracing::warn!(number, "{word}"));
        });
    });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let figures = recorder.handle().render();
    let lost = figures.lines().find_map(|line| line.strip_prefix("yizhan_log_lines_lost_total ")).unwrap().parse::<usize>().unwrap();
    assert!((700..1000).contains(&lost), "{lost} of a megabyte were lost where a quarter has room");
    *reader.lets.0.lock().unwrap() = true;
    reader.lets.1.notify_all();
    // Who comes again is waited for again.
    while reader.reader.text().lines().count() < 1001 - lost {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    saying(&lines, || {
        tracing::warn!("last");
        assert!(reader.reader.text().contains("last"));
    });
    drop(end);
    let text = reader.reader.text();
    let numbers: Vec<usize> = text.lines().filter_map(|line| line.split_once("number=")?.1.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(0..1000 - lost), "whole and in order: {numbers:?}");
}

#[test]
fn an_end_does_not_wait_for_a_reader_who_takes_nothing() {
    let (lines, end) = Lines::to(Hanging::default());
    let began = Instant::now();
    saying(&lines, || tracing::info!("first"));
    drop(end);
    saying(&lines, || tracing::error!("last"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_stranger_who_speaks_no_http_is_nobodys_error() {
    let said = |level: &str| {
        let reader = Reader::default();
        let (lines, end) = Lines::to(reader.clone());
        tracing::subscriber::with_default(telemetry::text(telemetry::filter(level), false, lines), || {
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error: request parse error");
            tracing::info!("ours");
        });
        drop(end);
        (reader.text().contains("stream error"), reader.text().contains("ours"))
    };
    assert_eq!(said("info"), (false, true));
    assert_eq!(said("info,yizhan::fanout=debug"), (false, true));
    assert_eq!(said("info,actix_http::h1::dispatcher=debug"), (true, true), "whoever asks for it hears it");
    assert_eq!(said("off"), (false, false));
}
