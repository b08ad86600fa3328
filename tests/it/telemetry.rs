//! Metrics and levels.

use yizhan::telemetry::{self, Kind, METRICS};

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
