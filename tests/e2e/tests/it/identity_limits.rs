//! The limits of identity are options, and their metrics tell how far they are used.

use std::time::{Duration, Instant};

use e2e::{Backend, PATIENCE, Sandbox};
use parts::Postgres;
use parts::pki::Authority;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tollway::up::Span;

use crate::PETS;

async fn called(sandbox: &Sandbox, url: &str, token: &str) -> (u16, String) {
    let answer = sandbox.http.get(format!("{url}/pets")).bearer_auth(token);
    let answer = answer.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn questions_about_unknown_tokens_are_bounded_and_counted() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.gateway_workers = Some(1);
        options.gateway_unknown_tokens_max = Some(2);
        options.jwks_max_age = Some(Span(Duration::from_secs(60)));
        options.registration_uses_max = Some(2);
        options.dpop_proofs_max = Some(77);
    });
    let sandbox = sandbox.await.unwrap();
    let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
    let api = api.unwrap();
    let begun = Instant::now();
    for token in ["twa_1", "twa_2", "twa_3", "twa_1", "twa_2", "twa_3"] {
        let refused = called(&sandbox, &api.url, token).await;
        assert_eq!(refused, (401, "TOKEN_INVALID".to_owned()));
    }
    // Two are remembered, for ten seconds; the third is asked for each time.
    let all_are_remembered = begun.elapsed() < Duration::from_secs(9);
    let asked = sandbox.metric("tollway_node_questions_opaque_tokens_total ");
    let asked = asked.await;
    assert!(asked == 4 || asked > 4 && !all_are_remembered, "{asked}");
    let name = "tollway_node_questions_not_remembered_total ";
    let forgotten = sandbox.metric(name).await;
    assert!(forgotten == 2 || !all_are_remembered, "{forgotten}");
    assert_eq!(
        sandbox
            .metric("tollway_node_questions_refused_total ")
            .await,
        0
    );
    assert_eq!(
        sandbox
            .metric("tollway_node_questions_unanswered_total ")
            .await,
        0
    );
    assert_eq!(sandbox.metric("tollway_node_proofs ").await, 0);
    assert_eq!(sandbox.metric("tollway_node_proofs_max ").await, 77);

    let keys = format!("{}/oauth2/jwks", sandbox.running.control_url());
    let keys = sandbox.http.get(keys).send().await.unwrap();
    assert_eq!(keys.headers()["cache-control"], "public, max-age=60");
    let wish = json!({"uses": 3});
    let refused = sandbox
        .refused(Method::POST, "/registration-tokens", wish)
        .await
        .unwrap();
    assert_eq!(refused.1, "BAD_REQUEST");
    assert_eq!(
        sandbox
            .metric("tollway_identity_registrations_total ")
            .await,
        0
    );

    let login = format!("{}/api/v1/login", sandbox.running.control_url());
    let wrong = json!({"username": "nobody", "password": "a guess of mine"});
    sandbox.http.post(login).json(&wrong).send().await.unwrap();
    assert_eq!(
        sandbox
            .metric("tollway_identity_failures_remembered ")
            .await,
        2,
        "account and address"
    );
    assert_eq!(
        sandbox
            .metric("tollway_identity_failures_remembered_max ")
            .await,
        20_000
    );
    assert_eq!(sandbox.metric("tollway_identity_logouts_waiting ").await, 0);
    assert_eq!(
        sandbox
            .metric("tollway_control_credential_notices_total ")
            .await,
        0
    );
}

#[tokio::test]
async fn questions_that_may_not_wait_are_refused() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.gateway_questions_max = Some(0);
    });
    let sandbox = sandbox.await.unwrap();
    let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
    let refused = called(&sandbox, &api.unwrap().url, "twa_1").await;
    assert_eq!(refused, (503, "TOKEN_UNVERIFIED".to_owned()));
    assert_eq!(
        sandbox
            .metric("tollway_node_questions_refused_total ")
            .await,
        1
    );
}

/// While somebody holds the table that has the answer: one platform gives up before the other one does.
#[tokio::test]
async fn questions_are_waited_for_no_longer_than_is_said() {
    const LOCK: &str =
        "BEGIN; LOCK TABLE opaque_tokens IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600); COMMIT";
    let server = Postgres::shared();
    let url = server.database();
    let name = url.rsplit('/').next().unwrap();
    let name = name.split('?').next().unwrap().to_owned();
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.database_url = Some(url.parse().unwrap());
        options.gateway_question_timeout = Some(Span(Duration::from_millis(20)));
    });
    let sandbox = sandbox.await.unwrap();
    let patient = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.database_url = Some(url.parse().unwrap());
        options.database_lock_timeout = Some(Span(10 * PATIENCE));
        options.gateway_question_timeout = Some(Span(10 * PATIENCE));
        options.key_file = Some(sandbox.data_dir().join("tollway.key"));
    });
    let patient = patient.await.unwrap();
    let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
    let api = api.unwrap();
    let database = name.clone();
    let holder = tokio::task::spawn_blocking(move || server.sql(&database, LOCK));
    let holders = |what: &str| {
        let locks = "FROM pg_locks WHERE relation = 'opaque_tokens'::regclass AND granted AND mode = 'AccessExclusiveLock'";
        server.sql(&name, &format!("SELECT {what} {locks}"))
    };
    let until = Instant::now() + PATIENCE;
    while holders("count(*)").trim() != "1" {
        assert!(!holder.is_finished() && Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let url = format!("{}/pets/1.0.0", patient.gateway());
    let mut waiting = std::pin::pin!(called(&patient, &url, "twa_1"));
    let refused = tokio::select! {
        biased;
        early = &mut waiting => panic!("{early:?}"),
        refused = called(&sandbox, &api.url, "twa_1") => refused,
    };
    assert_eq!(refused, (503, "TOKEN_UNVERIFIED".to_owned()));
    assert_eq!(
        sandbox
            .metric("tollway_node_questions_unanswered_total ")
            .await,
        1
    );
    holders("pg_terminate_backend(pid)");
    // It was cut off, and that is well.
    let _ = holder.await;
    assert_eq!(waiting.await, (401, "TOKEN_INVALID".to_owned()));
}

/// By default nobody looks for the next ten minutes, and 30 days are longer than what is told of (req: T6).
#[tokio::test]
async fn ends_of_credentials_are_noted_as_early_and_as_soon_as_is_said() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.credential_notice = Some(Span(Duration::from_secs(31 * 86_400)));
        options.credential_notice_every = Some(Span(Duration::from_millis(20)));
    });
    let sandbox = sandbox.await.unwrap();
    let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
    let keys = format!("/applications/{}/api-keys", api.unwrap().app);
    for days in [60, 30] {
        let wish = json!({"expiresIn": days * 86_400});
        sandbox.call(Method::POST, &keys, Some(wish)).await.unwrap();
    }
    let noted = async {
        let name = "tollway_control_credential_notices_total ";
        while sandbox.metric(name).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sandbox.metric(name).await
    };
    let noted = tokio::time::timeout(PATIENCE, noted).await;
    assert_eq!(noted, Ok(1), "the one that ends within 31 days");
}

/// Whoever keeps the keys has to ask again before the next one signs.
#[tokio::test]
async fn keys_are_not_kept_for_longer_than_they_are_ahead() {
    let started = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.signing_key_ahead = Some(Span(Duration::from_secs(3600)));
        options.jwks_max_age = Some(Span(Duration::from_secs(1801)));
    });
    let refused = started.await.err().unwrap().to_string();
    assert!(
        refused.contains("--jwks-max-age is at most half of --signing-key-ahead, here 1800s"),
        "{refused}"
    );
}

#[tokio::test]
async fn handshakes_are_bounded_and_counted() {
    let files = tempfile::tempdir().unwrap();
    let root = Authority::root("own");
    root.server().write(files.path());
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.identity_tls_listen = Some(([127, 0, 0, 1], 0).into());
        options.identity_tls_cert = Some(files.path().join("tls.crt"));
        options.identity_tls_key = Some(files.path().join("tls.key"));
        options.identity_tls_handshakes_max = Some(1);
    });
    let sandbox = sandbox.await.unwrap();
    let address = sandbox.running.identity_tls().unwrap();
    let becomes = async |name: &str, value: u64| {
        let wait = async {
            while sandbox.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{name} is not {value}");
    };
    let silent = TcpStream::connect(address).await.unwrap();
    becomes("tollway_identity_tls_handshakes ", 1).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0, "it is closed");
    let refused = sandbox.metric("tollway_identity_tls_handshakes_refused_total ");
    assert_eq!(refused.await, 1);
    let max = sandbox.metric("tollway_identity_tls_handshakes_max ");
    assert_eq!(max.await, 1);
    drop(silent);
    becomes("tollway_identity_tls_handshakes ", 0).await;
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
    let keys = client
        .build()
        .unwrap()
        .get(format!("https://{address}/oauth2/jwks"));
    assert_eq!(keys.send().await.unwrap().status(), 200);
}
