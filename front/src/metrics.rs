//! Counts, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram of times, in milliseconds.
const BOUNDS: [u64; 11] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 10_000];

/// What the front counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By the first digit of the status, from 1 on.
    responses: [AtomicU64; 5],
    within: [AtomicU64; BOUNDS.len()],
    microseconds: AtomicU64,
    connections: AtomicI64,
    requests: AtomicI64,
    websockets: AtomicI64,
    workers: AtomicI64,
    replaced: AtomicU64,
}

/// Counts one more of something for as long as it lives.
pub(crate) struct Gauge<'a>(&'a AtomicI64);

impl<'a> Gauge<'a> {
    fn of(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// How many workers are ready.
    pub(crate) fn set_workers(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.workers.store(count, Ordering::Relaxed);
    }

    /// A worker ended without being told to.
    pub fn worker_ended(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    /// Is anybody there to answer?
    pub(crate) fn has_workers(&self) -> bool {
        self.workers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn connection(&self) -> Gauge<'_> {
        Gauge::of(&self.connections)
    }

    pub(crate) fn request(&self) -> Gauge<'_> {
        Gauge::of(&self.requests)
    }

    pub(crate) fn websocket(&self) -> Gauge<'_> {
        Gauge::of(&self.websockets)
    }

    pub(crate) fn responded(&self, status: u16, time: Duration) {
        if let Some(class) = self
            .responses
            .get(usize::from(status / 100).wrapping_sub(1))
        {
            class.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(micros, Ordering::Relaxed);
        for (bound, within) in BOUNDS.iter().zip(&self.within) {
            if micros <= bound * 1_000 {
                within.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut section = |name: &str, kind: &str, help: &str, lines: &[(String, String)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (suffix, value) in lines {
                let _ = writeln!(text, "{name}{suffix} {value}");
            }
        };
        let plain = |value: String| vec![(String::new(), value)];
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let gauge = |value: &AtomicI64| plain(value.load(Ordering::Relaxed).to_string());
        let total: u64 = self.responses.iter().map(count).sum();
        let responses: Vec<_> = (1..)
            .zip(&self.responses)
            .map(|(class, value)| {
                (
                    format!("{{status=\"{class}xx\"}}"),
                    count(value).to_string(),
                )
            })
            .collect();
        let mut times: Vec<_> = BOUNDS
            .iter()
            .zip(&self.within)
            .map(|(bound, value)| {
                let bound = *bound as f64 / 1e3;
                (
                    format!("_bucket{{le=\"{bound}\"}}"),
                    count(value).to_string(),
                )
            })
            .collect();
        let sum = count(&self.microseconds) as f64 / 1e6;
        times.push(("_bucket{le=\"+Inf\"}".to_owned(), total.to_string()));
        times.push(("_sum".to_owned(), sum.to_string()));
        times.push(("_count".to_owned(), total.to_string()));
        section(
            "pywasm_responses_total",
            "counter",
            "Responses.",
            &responses,
        );
        let help = "Time from the head of a request to the head of its response.";
        section("pywasm_response_seconds", "histogram", help, &times);
        let help = "Connections of clients.";
        section(
            "pywasm_connections",
            "gauge",
            help,
            &gauge(&self.connections),
        );
        let help = "Requests that are being served.";
        section("pywasm_requests", "gauge", help, &gauge(&self.requests));
        let help = "WebSockets that are open.";
        section("pywasm_websockets", "gauge", help, &gauge(&self.websockets));
        section(
            "pywasm_workers",
            "gauge",
            "Workers that are ready.",
            &gauge(&self.workers),
        );
        let help = "Workers that ended without being told to.";
        let ended = plain(count(&self.replaced).to_string());
        section("pywasm_workers_ended_total", "counter", help, &ended);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_prometheus() {
        let metrics = Metrics::default();
        metrics.set_workers(2);
        metrics.responded(200, Duration::from_millis(7));
        metrics.responded(503, Duration::from_millis(70));
        let request = metrics.request();
        let text = metrics.text();
        for line in [
            "# TYPE pywasm_responses_total counter",
            "pywasm_responses_total{status=\"2xx\"} 1",
            "pywasm_responses_total{status=\"5xx\"} 1",
            "pywasm_response_seconds_bucket{le=\"0.005\"} 0",
            "pywasm_response_seconds_bucket{le=\"0.01\"} 1",
            "pywasm_response_seconds_bucket{le=\"+Inf\"} 2",
            "pywasm_response_seconds_sum 0.077",
            "pywasm_requests 1",
            "pywasm_workers 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        drop(request);
        assert!(metrics.text().contains("pywasm_requests 0\n"));
    }
}
