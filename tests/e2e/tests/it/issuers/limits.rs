//! What is asked of issuers is limited: each limit at another value than it has by itself, and its metric.

use tollway::up::Span;

use super::introspection::{asked, secret};
use super::*;

/// Keys that are fetched for unknown ones alone.
fn seldom() -> Value {
    json!({"refresh": {"every": "1h", "atMost": "1h"}})
}

fn ms(ms: u64) -> Option<Span> {
    Some(Span(Duration::from_millis(ms)))
}

impl Setting {
    /// One whose issuer's keys are known, by the first fetch.
    async fn limited(more: Value, change: impl FnOnce(&mut Options)) -> Self {
        let setting = Self::with(more, change).await;
        until("the first keys", async || {
            let keys = "tollway_gateway_issuer_keys{issuer=\"default/outside\"}";
            setting.sandbox.metric(keys).await == 1
        })
        .await;
        setting
    }

    /// How often a limit took effect.
    async fn hit(&self, limit: &str) -> u64 {
        let name = format!("tollway_gateway_issuer_limits_hit_total{{limit=\"{limit}\"}}");
        self.sandbox.metric(&name).await
    }

    /// A call with a key that nobody knows.
    async fn stranger(&self) {
        let key = SigningKey::generate_es256().unwrap();
        let token = sign(&key, "at+jwt", self.claims(json!({})));
        assert_eq!(self.refused(&token).await, "TOKEN_INVALID");
    }
}

/// req: T1
#[tokio::test]
async fn unknown_keys_cause_as_many_fetches_as_is_said() {
    let setting = Setting::limited(seldom(), |options| {
        options.gateway_issuer_refetches_max = Some(2);
        options.gateway_issuer_refetch_every = Some(Span(Duration::from_secs(3600)));
        options.gateway_issuer_refetch_pause = ms(0);
    })
    .await;
    let before = setting.issuer.seen("/keys").len();
    for _ in 0..5 {
        setting.stranger().await;
    }
    assert_eq!(setting.issuer.seen("/keys").len() - before, 2);
    assert_eq!(setting.hit("refetches").await, 3);
    assert_eq!(setting.hit("refetch_pause").await, 0);
    assert_eq!(setting.hit("keys_wait").await, 0);
}

/// By default the second call would wait for a second, and at most for five.
#[tokio::test]
async fn a_call_waits_for_keys_as_long_as_is_said() {
    let setting = Setting::limited(seldom(), |options| {
        options.gateway_issuer_refetch_pause = Some(Span(Duration::from_secs(60)));
        options.gateway_issuer_keys_wait = ms(50);
    })
    .await;
    setting.issuer.delay(Duration::ZERO);
    setting.stranger().await;
    let timed = async || {
        let begun = Instant::now();
        setting.stranger().await;
        begun.elapsed()
    };
    let mut quickest = timed().await;
    assert_eq!(setting.hit("refetch_pause").await, 1);
    // A machine may stand still in some of them.
    for _ in 0..4 {
        quickest = quickest.min(timed().await);
    }
    assert!(quickest < Duration::from_secs(4), "{quickest:?}");
    assert!(setting.hit("keys_wait").await >= 1);
    assert_eq!(setting.hit("refetches").await, 0);
}

/// Too slow, too long, too many; by default it would take ten seconds until they are fetched again.
#[tokio::test]
async fn keys_that_are_too_slow_too_long_or_too_many_are_not_taken() {
    let setting = Setting::limited(seldom(), |options| {
        options.gateway_issuer_fetch_timeout = ms(500);
        options.gateway_issuer_retry = ms(100);
        options.gateway_issuer_keys_bytes_max = Some(1024);
        options.gateway_issuer_keys_max = Some(2);
    })
    .await;
    let hits = async |limit: &str| {
        until(limit, async || setting.hit(limit).await >= 2).await;
        let status = status(&setting.sandbox, "outside").await;
        status["fault"].as_str().unwrap_or_default().to_owned()
    };
    let begun = Instant::now();
    setting.issuer.delay(60 * PATIENCE);
    setting.stranger().await;
    until("the fault", async || {
        hits("fetch_timeout").await.contains("within 500 ms")
    })
    .await;
    setting.issuer.delay(Duration::ZERO);
    let long = format!("{{\"keys\": [], \"x\": \"{}\"}}", "y".repeat(1024));
    setting.issuer.answer_with("/keys", 200, &[], &long);
    hits("keys_bytes").await;
    let keys: Vec<_> = (0..3)
        .map(|_| SigningKey::generate_es256().unwrap())
        .collect();
    setting.issuer.keys(&keys.iter().collect::<Vec<_>>());
    hits("keys").await;
    assert!(setting.hit("retry").await >= 6);
    assert!(begun.elapsed() < Duration::from_secs(45));
    // What was known stays in force, and two are not too many.
    setting.passes(&setting.token(json!({}))).await;
    setting.issuer.keys(&[&setting.key, &keys[0]]);
    until("the end of the fault", async || {
        status(&setting.sandbox, "outside").await["fault"].is_null()
    })
    .await;
    let retried = setting.hit("retry").await;
    setting
        .passes(&sign(&keys[0], "at+jwt", setting.claims(json!({}))))
        .await;
    assert_eq!(setting.hit("retry").await, retried);
}

#[tokio::test]
async fn questions_about_tokens_are_bounded() {
    let setting = Setting::limited(seldom(), |options| {
        options.gateway_introspection_bytes_max = Some(1024);
        options.gateway_introspections_parallel = Some(1);
    })
    .await;
    secret(&setting, "s3");
    let declare = async |more: Value| {
        setting
            .declare("outside", &setting.issuer, asked(more))
            .await;
    };
    // No question waits for another one, and each answer pushes the one before the last out.
    declare(json!({"cache": {"ttl": "1h", "entriesMax": 2}})).await;
    for token in ["a", "b", "c"] {
        setting.active(token, json!({}));
        setting.passes(token).await;
    }
    assert_eq!(setting.hit("answers").await, 1);
    assert_eq!(setting.hit("questions_parallel").await, 0);
    setting.active("long", json!({"filler": "x".repeat(1024)}));
    assert_eq!(setting.refused("long").await, "TOKEN_UNVERIFIED");
    assert_eq!(setting.hit("answer_bytes").await, 1);

    // One at a time.
    setting.issuer.delay(Duration::from_millis(300));
    declare(json!({"timeout": "1m"})).await;
    let begun = Instant::now();
    let calls = ["a", "b", "c"].map(|token| setting.passes(token));
    futures_util::future::join_all(calls).await;
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(setting.hit("questions_parallel").await >= 1);
    assert_eq!(setting.hit("answer_timeout").await, 0);

    // What the document says.
    setting.issuer.delay(60 * PATIENCE);
    declare(json!({"timeout": "1h", "waitingMax": 1})).await;
    let (a, b) = (
        Box::pin(setting.refused("a")),
        Box::pin(setting.refused("b")),
    );
    let refused = tokio::time::timeout(PATIENCE, futures_util::future::select(a, b));
    assert!(refused.await.is_ok(), "both wait");
    assert_eq!(setting.hit("questions_waiting").await, 1);
    assert_eq!(setting.hit("answer_timeout").await, 0);
    declare(json!({"timeout": "500ms"})).await;
    setting.refused("a").await;
    assert_eq!(setting.hit("answer_timeout").await, 1);
}
