//! `/metrics` in both forms that scrapers read: OpenMetrics for those who ask for it, Prometheus's own otherwise.
//!
//! The library writes OpenMetrics. The older form (text format 0.0.4) differs in three ways: a counter's family has the
//! name of its samples (`…_total`), there are no units and no end mark.

use std::fmt::Write;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The content type of OpenMetrics.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of the older form.
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the scraper reads OpenMetrics.
pub(crate) fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT).iter();
    values.any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.contains("application/openmetrics-text")
    })
}

/// OpenMetrics as the older form.
pub(crate) fn classic(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some(help) = line.strip_prefix("# HELP ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        // The type follows the help.
        let kind = lines
            .next_if(|next| next.starts_with("# TYPE "))
            .and_then(|kind| kind.rsplit(' ').next())
            .unwrap_or("untyped");
        let total = if kind == "counter" { "_total" } else { "" };
        let written = writeln!(
            text,
            "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}"
        );
        written.expect("writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_units_and_the_end_are_written_as_the_older_form_has_them() {
        let openmetrics = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{x=\"# EOF\"} 1\n\
            # HELP b_seconds Time.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 0.5\n# EOF\n";
        assert_eq!(
            classic(openmetrics),
            "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{x=\"# EOF\"} 1\n\
             # HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_sum 0.5\n"
        );
    }

    #[test]
    fn scrapers_say_what_they_read() {
        let accepting = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            wants_openmetrics(&headers)
        };
        assert!(accepting(
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(!accepting("*/*"));
        assert!(!wants_openmetrics(&HeaderMap::new()));
    }
}
