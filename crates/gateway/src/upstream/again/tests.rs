use super::*;

fn rules() -> RetryRules {
    RetryRules {
        attempts: 3,
        on_connect_failure: true,
        on_reset: true,
        on_refused_stream: true,
        on_timeout: true,
        on_statuses: vec![503],
        methods: None,
        per_try_ms: None,
        budget_percent: 20,
        budget_floor: 3,
        backoff_base_ms: 25,
        backoff_max_ms: 250,
        retry_after_max_ms: 1_000,
        body_bytes_max: 0,
    }
}

#[test]
fn pauses_are_random_double_and_have_an_end() {
    let rules = rules();
    for (made, longest) in [
        (0, 25),
        (1, 50),
        (2, 100),
        (3, 200),
        (4, 250),
        (63, 250),
        (200, 250),
    ] {
        let pauses: Vec<_> = (0..1000)
            .map(|random| backoff_ms(&rules, made, random))
            .collect();
        assert_eq!(pauses.iter().max(), Some(&longest), "{made}");
        assert_eq!(pauses.iter().min(), Some(&0));
    }
    let none = RetryRules {
        backoff_base_ms: 0,
        ..rules
    };
    assert_eq!(backoff_ms(&none, 3, u64::MAX), 0);
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let asked = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, http::HeaderValue::from_static(text));
        // Sun, 06 Nov 1994 08:49:37 GMT
        retry_after_ms(&headers, 784_111_777_000)
    };
    assert_eq!(asked("0"), Some(0));
    assert_eq!(asked("120"), Some(120_000));
    assert_eq!(asked("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000));
    assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
    assert_eq!(asked("soon"), None);
    assert_eq!(asked("-1"), None);
    assert_eq!(retry_after_ms(&HeaderMap::new(), 0), None);
}

#[test]
fn what_the_backend_may_have_seen_needs_a_method_that_bears_it() {
    let lost = |reach| {
        Err(Lost {
            failure: Failure::Failed,
            reach,
            reused: false,
        })
    };
    let rules = rules();
    for (method, reach, wanted) in [
        (Method::GET, Reach::Broke, true),
        (Method::PUT, Reach::Broke, true),
        (Method::DELETE, Reach::Late, true),
        (Method::POST, Reach::Broke, false),
        (Method::PATCH, Reach::Late, false),
        (Method::POST, Reach::Nothing, true),
        (Method::POST, Reach::Refused, true),
        (Method::GET, Reach::Garbled, false),
    ] {
        assert_eq!(
            is_wanted(&rules, &method, &lost(reach)),
            wanted,
            "{method} {reach:?}"
        );
    }
    let posts = RetryRules {
        methods: Some(vec!["POST".to_owned()]),
        ..rules.clone()
    };
    assert!(is_wanted(&posts, &Method::POST, &lost(Reach::Broke)));
    assert!(!is_wanted(&posts, &Method::GET, &lost(Reach::Broke)));
    let nothing = RetryRules {
        on_connect_failure: false,
        on_reset: false,
        on_refused_stream: false,
        on_timeout: false,
        on_statuses: Vec::new(),
        ..rules
    };
    for reach in [Reach::Nothing, Reach::Refused, Reach::Broke, Reach::Late] {
        assert!(!is_wanted(&nothing, &Method::GET, &lost(reach)));
    }
}
