//! Tells of clients and API keys before they end (req: T6).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Clock;
use serde_json::json;
use store::{Credential, CredentialKind, Notice, Store};

/// The kind of these notices.
pub const CREDENTIAL_EXPIRING: &str = "credential.expiring";

/// How long a notice is kept after what it tells of has happened, in seconds.
const KEPT_S: u64 = 30 * 24 * 60 * 60;
/// Rows that one transaction removes.
const PART: u64 = 500;

/// Notes all that ends within so many seconds, each end once whoever looks, and logs what is new. Forgets old notices.
///
/// # Errors
/// The store's.
pub async fn note_expiring(
    store: &dyn Store,
    clock: &dyn Clock,
    within_s: u64,
) -> store::Result<usize> {
    let (now_ms, now_s) = (clock.unix_ms(), clock.unix_s());
    let mut count = 0;
    for org in store.org_list().await? {
        let until = now_s.saturating_add(within_s);
        let ending = store.credential_list_ending(&org, now_s, until).await?;
        let notices = ending
            .iter()
            .flat_map(|credential| ends(credential, now_s, until))
            .map(|(credential, due_unix_s, secret)| notice(credential, due_unix_s, secret, now_ms))
            .collect();
        for new in store.notice_put(notices).await? {
            count += 1;
            tracing::warn!(
                org = new.org.as_str(),
                credential = new.subject,
                due_unix_s = new.due_unix_s,
                "a credential is going to end"
            );
        }
    }
    let before = now_s.saturating_sub(KEPT_S);
    while store.notices_expire(before, PART).await? == PART {}
    Ok(count)
}

/// The ends of a credential and of its secrets within a time. A secret that has a successor is no loss, but who still
/// uses it should know.
fn ends(
    credential: &Credential,
    from_s: u64,
    until_s: u64,
) -> impl Iterator<Item = (&Credential, u64, bool)> {
    let secrets = credential.secrets.iter();
    let secrets = secrets.filter_map(|secret| Some((secret.expires_unix_s?, true)));
    let own = credential.expires_unix_s.map(|end| (end, false));
    secrets
        .chain(own)
        .filter(move |(end, _)| (from_s..until_s).contains(end))
        .map(move |(end, secret)| (credential, end, secret))
}

fn notice(credential: &Credential, due_unix_s: u64, secret: bool, at_unix_ms: u64) -> Notice {
    let what = match (&credential.kind, secret) {
        (CredentialKind::Client(_), false) => "client",
        (CredentialKind::Client(_), true) => "secret of a client",
        (CredentialKind::ApiKey(_), false) => "API key",
        (CredentialKind::ApiKey(_), true) => "text of an API key",
    };
    Notice {
        id: uuid::Uuid::now_v7(),
        org: credential.org.clone(),
        kind: CREDENTIAL_EXPIRING.to_owned(),
        subject: credential.id.to_string(),
        due_unix_s,
        at_unix_ms,
        body: json!({
            "what": what,
            "name": credential.name,
            "applicationId": credential.application,
            "clientId": credential.client().map(|client| &client.client_id),
            "lastUsedUnixS": credential.used_unix_s,
        }),
    }
}

/// Does [`note_expiring`] again and again and counts what is new, until it is dropped. A failure is logged and the next
/// turn tries again.
pub async fn keep_noting(
    store: &dyn Store,
    clock: &dyn Clock,
    within_s: u64,
    period: Duration,
    noted: &AtomicU64,
) {
    let mut turns = tokio::time::interval(period.max(Duration::from_secs(1)));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match note_expiring(store, clock, within_s).await {
            Ok(new) => drop(noted.fetch_add(new as u64, Ordering::Relaxed)),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "credentials that are going to end were not noted"
            ),
        }
    }
}
