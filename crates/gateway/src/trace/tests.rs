//! What comes in, what is recorded, what goes out.

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const OTHER: &str = "463ac35c9f6413ad48485a3953bb6124";

fn rules(propagation: Propagation, records: Option<f64>) -> Rules {
    Rules {
        propagation,
        threshold: threshold(records.unwrap_or(0.0)),
        records: records.is_some(),
    }
}

/// What goes out for what came in; fields of traces alone.
fn passed(rules: &Rules, came: &[(&str, &str)]) -> (Trace, Arrival, HeaderMap) {
    let mut headers = HeaderMap::new();
    for (name, value) in came {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let (trace, arrival) = begin(&headers, rules, &IdSource::new());
    arrival.stamp(&mut headers, &trace);
    (trace, arrival, headers)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

fn w3c(sampled: bool) -> String {
    format!("00-{TRACE}-{SPAN}-0{}", u8::from(sampled))
}

/// req: O3
#[test]
fn without_an_exporter_the_callers_span_stays_the_parent() {
    for sampled in [true, false] {
        let came = w3c(sampled);
        let rules = rules(Propagation::Auto, None);
        let (trace, arrival, headers) =
            passed(&rules, &[("traceparent", &came), ("tracestate", "a=b")]);
        assert!(!arrival.recorded);
        assert_eq!(text(&headers, "traceparent"), Some(came.as_str()));
        assert_eq!(text(&headers, "tracestate"), Some("a=b"));
        assert_eq!(id_text(&trace), TRACE);
    }
}

/// req: O3
#[test]
fn a_recorded_call_is_the_parent_of_what_comes_next() {
    let rules = rules(Propagation::Auto, Some(0.0));
    let (trace, arrival, mut headers) = passed(&rules, &[("traceparent", &w3c(true))]);
    assert!(arrival.recorded, "the parent decides, not the ratio");
    assert_eq!(arrival.parent, hex(SPAN.as_bytes()));
    let sent = text(&headers, "traceparent").unwrap().to_owned();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-01"));
    assert!(!sent.contains(SPAN));

    arrival.restamp(&mut headers, &trace, [7; 8]);
    let expected = format!("00-{TRACE}-0707070707070707-01");
    assert_eq!(text(&headers, "traceparent"), Some(expected.as_str()));
    headers.remove("traceparent");
    arrival.restamp(&mut headers, &trace, [8; 8]);
    assert_eq!(text(&headers, "traceparent"), None, "a policy took it out");
}

#[test]
fn a_caller_that_does_not_record_is_left_alone() {
    let rules = rules(Propagation::Auto, Some(1.0));
    let (_, arrival, headers) = passed(&rules, &[("traceparent", &w3c(false))]);
    assert!(!arrival.recorded);
    assert_eq!(text(&headers, "traceparent"), Some(w3c(false).as_str()));
}

#[test]
fn the_ratio_decides_where_nobody_has() {
    for (ratio, least, most) in [(0.0, 0, 0), (0.25, 150, 350), (1.0, 1000, 1000)] {
        let rules = rules(Propagation::Auto, Some(ratio));
        let recorded = (0..1000).filter(|_| passed(&rules, &[]).1.recorded).count();
        assert!((least..=most).contains(&recorded), "{ratio}: {recorded}");
    }
    let (trace, arrival, headers) = passed(&rules(Propagation::Auto, Some(1.0)), &[]);
    assert!(arrival.recorded && arrival.parent.is_none() && trace.flags == 1);
    assert!(text(&headers, "traceparent").unwrap().ends_with("-01"));
    let (trace, ..) = passed(&rules(Propagation::Auto, Some(0.0)), &[]);
    assert_eq!(trace.flags, 0);
}

#[test]
fn begins_a_trace_where_the_field_is_not_one_and_drops_its_state() {
    let rules = rules(Propagation::Auto, None);
    for bad in [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    ] {
        let (trace, _, headers) = passed(&rules, &[("traceparent", bad), ("tracestate", "a=b")]);
        assert_ne!(id_text(&trace), TRACE, "{bad}");
        assert_eq!(text(&headers, "tracestate"), None, "{bad}");
    }
    let twice = [
        ("traceparent", w3c(true)),
        ("traceparent", format!("00-{OTHER}-{SPAN}-01")),
    ];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let (trace, _, headers) = passed(&rules, &twice);
    assert!(id_text(&trace) != TRACE && id_text(&trace) != OTHER);
    assert_eq!(headers.get_all("traceparent").iter().count(), 1);
}

#[test]
fn a_later_version_may_say_more() {
    let came = format!("01-{TRACE}-{SPAN}-01-more");
    let (trace, _, headers) = passed(&rules(Propagation::Auto, None), &[("traceparent", &came)]);
    assert_eq!(id_text(&trace), TRACE);
    assert_eq!(text(&headers, "traceparent"), Some(w3c(true).as_str()));
}

/// req: O3
#[test]
fn b3_in_one_field_is_read_and_passed_on_in_one_field() {
    let came = format!("{TRACE}-{SPAN}-1");
    let quiet = rules(Propagation::Auto, None);
    let (trace, _, headers) = passed(&quiet, &[("b3", &came)]);
    assert_eq!(id_text(&trace), TRACE);
    assert_eq!(text(&headers, "b3"), Some(came.as_str()));
    assert_eq!(text(&headers, "traceparent"), Some(w3c(true).as_str()));

    let (trace, arrival, mut headers) =
        passed(&rules(Propagation::Auto, Some(0.0)), &[("b3", &came)]);
    assert!(arrival.recorded);
    let own = digits(&trace.span_id);
    let expected = format!("{TRACE}-{own}-1-{SPAN}");
    assert_eq!(text(&headers, "b3"), Some(expected.as_str()));
    arrival.restamp(&mut headers, &trace, [7; 8]);
    let expected = format!("{TRACE}-0707070707070707-1-{own}");
    assert_eq!(text(&headers, "b3"), Some(expected.as_str()));

    for (came, out) in [
        (format!("{TRACE}-{SPAN}"), format!("{TRACE}-{SPAN}")),
        (format!("{TRACE}-{SPAN}-0"), format!("{TRACE}-{SPAN}-0")),
        (
            format!("{TRACE}-{SPAN}-d-{SPAN}"),
            format!("{TRACE}-{SPAN}-d"),
        ),
        (
            format!("48485a3953bb6124-{SPAN}-1"),
            format!("48485a3953bb6124-{SPAN}-1"),
        ),
    ] {
        let (_, _, headers) = passed(&quiet, &[("b3", &came)]);
        assert_eq!(text(&headers, "b3"), Some(out.as_str()), "{came}");
    }
}

/// req: O3
#[test]
fn b3_in_several_fields_is_read_and_passed_on_in_several() {
    let came = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-parentspanid", "0000000000000001"),
        ("x-b3-sampled", "1"),
    ];
    let (trace, arrival, headers) = passed(&rules(Propagation::Auto, Some(0.0)), &came);
    assert!(arrival.recorded);
    assert_eq!(text(&headers, "x-b3-traceid"), Some(TRACE));
    assert_eq!(
        text(&headers, "x-b3-spanid"),
        Some(digits(&trace.span_id).as_str())
    );
    assert_eq!(text(&headers, "x-b3-parentspanid"), Some(SPAN));
    assert_eq!(text(&headers, "x-b3-sampled"), Some("1"));
    let expected = format!("00-{TRACE}-{}-01", digits(&trace.span_id));
    assert_eq!(text(&headers, "traceparent"), Some(expected.as_str()));

    let quiet = rules(Propagation::Auto, Some(1.0));
    let denied = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "0"),
    ];
    let (_, arrival, headers) = passed(&quiet, &denied);
    assert!(!arrival.recorded);
    assert_eq!(text(&headers, "x-b3-sampled"), Some("0"));
    let debug = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-flags", "1"),
    ];
    let (_, arrival, headers) = passed(&quiet, &debug);
    assert!(arrival.recorded);
    assert_eq!(text(&headers, "x-b3-flags"), Some("1"));
}

#[test]
fn a_state_alone_decides_about_a_new_trace() {
    let rules = rules(Propagation::Auto, Some(1.0));
    let (_, arrival, headers) = passed(&rules, &[("b3", "0")]);
    assert!(!arrival.recorded && arrival.parent.is_none());
    assert!(text(&headers, "b3").unwrap().ends_with("-0"));
    assert!(text(&headers, "traceparent").unwrap().ends_with("-00"));
}

#[test]
fn of_two_stories_w3c_tells_the_true_one() {
    let came = [
        ("traceparent", w3c(true)),
        ("b3", format!("{OTHER}-00f067aa0ba902b7-0")),
    ];
    let came: Vec<(&str, &str)> = came.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let (trace, arrival, headers) = passed(&rules(Propagation::Auto, Some(0.0)), &came);
    assert_eq!(id_text(&trace), TRACE);
    assert!(arrival.recorded);
    assert!(text(&headers, "b3").unwrap().starts_with(TRACE));
    assert!(!text(&headers, "b3").unwrap().contains(OTHER));
}

#[test]
fn malformed_b3_begins_a_trace() {
    let rules = rules(Propagation::Auto, None);
    for bad in ["", "x", "1-2", &format!("{TRACE}-{SPAN}-x"), &TRACE[1..]] {
        let (trace, _, headers) = passed(&rules, &[("b3", bad)]);
        assert_ne!(id_text(&trace), TRACE, "{bad}");
        assert!(text(&headers, "b3").unwrap().starts_with(&id_text(&trace)));
    }
}

#[test]
fn what_goes_out_can_be_chosen() {
    let came = [("traceparent", w3c(true))];
    let came: Vec<(&str, &str)> = came.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let (_, _, headers) = passed(&rules(Propagation::B3, None), &came);
    assert_eq!(text(&headers, "x-b3-traceid"), Some(TRACE));
    assert_eq!(text(&headers, "traceparent"), Some(w3c(true).as_str()));
    let (_, _, headers) = passed(&rules(Propagation::B3Single, None), &came);
    assert_eq!(
        text(&headers, "b3"),
        Some(format!("{TRACE}-{SPAN}-1").as_str())
    );
    let b3 = format!("{OTHER}-{SPAN}-1");
    let (trace, _, headers) = passed(&rules(Propagation::W3c, None), &[("b3", &b3)]);
    assert_ne!(id_text(&trace), OTHER, "B3 is a field like any other");
    assert_eq!(text(&headers, "b3"), Some(b3.as_str()));
}

fn digits(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    write_hex(bytes, &mut text);
    String::from_utf8(text).unwrap()
}
