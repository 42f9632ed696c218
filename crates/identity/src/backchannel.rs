//! Clients are told that a user logged out (OpenID Connect Back-Channel Logout), by a token that we post to them.
//!
//! Who has to be told is in the database, put there by the transaction that ended the session: whatever dies, some process
//! tells the client, at least once. One that cannot be reached is tried less and less often, and given up in the end; our
//! tokens of the session are refused from the logout on, whatever the client hears.

use std::sync::Arc;
use std::time::Duration;

use fetch::Fetcher;
use serde_json::json;
use store::grants::WaitingLogout;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::IdentityState;

/// The `typ` of a logout token (§2.4).
const TYP_LOGOUT: &str = "logout+jwt";
/// The event that it tells of (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long it may be used, in seconds: two minutes, as §2.4 recommends.
const LIFETIME_S: u64 = 120;
/// How often is looked for those who have to be told, beside being woken.
const LOOK: Duration = Duration::from_secs(1);
/// How long one attempt may take, and how long after its beginning another process takes over.
const ATTEMPT: Duration = Duration::from_secs(30);
const LEASE_MS: u64 = 60_000;

/// How clients are told of logouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogoutLimits {
    /// How often a client is tried; default 10, which takes some four hours.
    pub attempts: u64,
    /// The first pause between two attempts, in milliseconds; default 2 seconds. Each further one is four times as long.
    pub pause_ms: u64,
    /// The longest pause, in milliseconds; default one hour.
    pub pause_ms_max: u64,
    /// How many are told at the same time; default 8.
    pub parallel: usize,
}

impl Default for LogoutLimits {
    fn default() -> Self {
        Self {
            attempts: 10,
            pause_ms: 2_000,
            pause_ms_max: 3_600_000,
            parallel: 8,
        }
    }
}

impl LogoutLimits {
    /// How long after this many attempts the next one begins; `None` = there is none.
    fn pause_ms(&self, attempts: u64) -> Option<u64> {
        if attempts >= self.attempts {
            return None;
        }
        let fours = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.pause_ms.saturating_mul(4_u64.saturating_pow(fours));
        Some(pause.min(self.pause_ms_max))
    }
}

/// What logout tokens are sent with.
pub(crate) struct LogoutSender {
    fetcher: Fetcher,
    /// A session ended here.
    pub(crate) wake: Notify,
}

impl LogoutSender {
    pub(crate) fn new(fetcher: Fetcher) -> Self {
        Self {
            fetcher,
            wake: Notify::new(),
        }
    }
}

/// Tells clients of logouts, until it is dropped.
pub async fn tell_of_logouts(state: Arc<IdentityState>) {
    let Some(sender) = &state.people.logouts else {
        return;
    };
    let parallel = state.people.config.logouts.parallel.max(1);
    let mut telling = JoinSet::new();
    loop {
        let free = parallel.saturating_sub(telling.len());
        for waiting in state.logouts_due(free).await {
            let state = Arc::clone(&state);
            telling.spawn(async move { state.tell_of_logout(&waiting).await });
        }
        tokio::select! {
            Some(_) = telling.join_next() => {}
            () = sender.wake.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl IdentityState {
    /// Those who have to be told by now, at most `free`; counts those who wait.
    async fn logouts_due(&self, free: usize) -> Vec<WaitingLogout> {
        let store = &self.people.store;
        match store.logouts_waiting().await {
            Ok(waiting) => self.metrics.logouts_waiting.set(waiting),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "who has to be told of a logout is not known");
                return Vec::new();
            }
        }
        if free == 0 || self.metrics.logouts_waiting.get() == 0 {
            return Vec::new();
        }
        let now = self.clock.unix_ms();
        let taken = store.logouts_take(now, LEASE_MS, free as u64).await;
        taken.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "who has to be told of a logout is not known");
            Vec::new()
        })
    }

    /// One attempt to tell a client.
    async fn tell_of_logout(&self, waiting: &WaitingLogout) {
        let client = &waiting.client_id;
        let due = match self.tried_to_tell(waiting).await {
            Ok(Told::Yes) => {
                self.metrics.logouts_told.count();
                None
            }
            Ok(Told::Nobody) => None,
            Err(cause) => {
                let pause = self.people.config.logouts.pause_ms(waiting.attempts);
                if pause.is_some() {
                    tracing::info!(
                        client,
                        attempt = waiting.attempts,
                        cause,
                        "a client was not told of a logout"
                    );
                } else {
                    self.metrics.logouts_failed.count();
                    tracing::warn!(
                        client,
                        cause,
                        "a client was not told of a logout; no further attempt"
                    );
                }
                pause.map(|pause| self.clock.unix_ms().saturating_add(pause))
            }
        };
        // Where this fails it is due again when the lease ends: a client may be told twice, never not at all.
        if let Err(error) = self.people.store.logout_settle(waiting.id, due).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, client, "what became of a logout token was not noted");
        }
    }

    async fn tried_to_tell(&self, waiting: &WaitingLogout) -> Result<Told, String> {
        let Some(sender) = &self.people.logouts else {
            return Ok(Told::Nobody);
        };
        let found = self.live_client(&waiting.client_id).await;
        let found = found.map_err(|error| error.to_string())?;
        let Some(client) = found.as_ref().and_then(|found| found.client()) else {
            return Ok(Told::Nobody);
        };
        let uri = client.metadata.backchannel_logout_uri.as_deref();
        let Some(url) = uri.and_then(|uri| url::Url::parse(uri).ok()) else {
            return Ok(Told::Nobody);
        };
        let claims = json!({
            "sub": self.people.subject(client, waiting.user_id),
            "aud": client.client_id,
            "sid": waiting.sid,
            "events": { EVENT: {} },
        });
        let algorithm = client.metadata.id_token_signed_response_alg;
        let token = self
            .tokens
            .mint_statement(algorithm, TYP_LOGOUT, claims, LIFETIME_S)
            .map_err(|error| error.to_string())?;
        let sent = sender
            .fetcher
            .post_form(&url, format!("logout_token={token}"));
        match tokio::time::timeout(ATTEMPT, sent).await {
            Ok(Ok(())) => Ok(Told::Yes),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// What came of an attempt.
enum Told {
    Yes,
    /// There is no such client any more, or it does not want to know.
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_end() {
        let limits = LogoutLimits::default();
        let pauses: Vec<_> = (1..=11).map(|attempts| limits.pause_ms(attempts)).collect();
        assert_eq!(pauses[..3], [Some(2_000), Some(8_000), Some(32_000)]);
        assert_eq!(pauses[6..9], [Some(3_600_000); 3]);
        assert_eq!(pauses[9..], [None, None]);
        let all: u64 = pauses.iter().flatten().sum();
        assert!((3..5).contains(&(all / 3_600_000)), "{all} ms");
        let endless = LogoutLimits {
            attempts: u64::MAX,
            ..limits
        };
        assert_eq!(endless.pause_ms(1 << 40), Some(3_600_000));
    }
}
