//! Clients are told that a user logged out (OpenID Connect Back-Channel Logout), by a token that we post to them.
//!
//! What waits for being sent is bounded and in memory: a client that cannot be reached for long keeps its own session's
//! end; our tokens of the session are refused from the logout on, whatever the client hears.

use std::sync::Arc;
use std::time::Duration;

use fetch::Fetcher;
use serde_json::json;
use store::Credential;
use store::grants::Session;
use tokio::sync::Semaphore;

use crate::IdentityState;
use crate::metrics::IdentityMetrics;

/// The `typ` of a logout token (§2.4).
const TYP_LOGOUT: &str = "logout+jwt";
/// The event that it tells of (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long it may be used, in seconds: two minutes, as §2.4 recommends.
const LIFETIME_S: u64 = 120;
/// How many are sent at the same time.
const PARALLEL: usize = 8;
/// The first pause between two attempts; each further one is four times as long.
const PAUSE: Duration = Duration::from_secs(2);

/// Sends logout tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogoutSender {
    fetcher: Fetcher,
    waiting: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    attempts: u32,
}

impl LogoutSender {
    pub(crate) fn new(fetcher: Fetcher, waiting_max: usize, attempts: u32) -> Self {
        Self {
            fetcher,
            waiting: Arc::new(Semaphore::new(waiting_max)),
            sending: Arc::new(Semaphore::new(PARALLEL)),
            attempts: attempts.max(1),
        }
    }

    /// Posts a token until the client takes it, or the attempts are used up.
    fn send(&self, url: url::Url, client_id: String, token: String, metrics: Arc<IdentityMetrics>) {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            metrics.logouts_dropped.count();
            tracing::warn!(
                client = client_id,
                "too many logout tokens wait: this one is dropped"
            );
            return;
        };
        let (fetcher, sending, attempts) = (
            self.fetcher.clone(),
            Arc::clone(&self.sending),
            self.attempts,
        );
        tokio::spawn(async move {
            let _place = place;
            let body = format!("logout_token={token}");
            let mut pause = PAUSE;
            for attempt in 1..=attempts {
                let sent = match sending.acquire().await {
                    Ok(_permit) => fetcher.post_form(&url, body.clone()).await,
                    Err(_) => return,
                };
                match sent {
                    Ok(()) => {
                        metrics.logouts_told.count();
                        return;
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::info!(
                            error,
                            client = client_id,
                            attempt,
                            "a client was not told of a logout"
                        );
                    }
                }
                if attempt < attempts {
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
            }
            metrics.logouts_failed.count();
            tracing::warn!(
                client = client_id,
                "a client was not told of a logout; no further attempt"
            );
        });
    }
}

impl IdentityState {
    /// Tells a client that a session ended, where it wants to know.
    pub(crate) fn tell_of_logout(&self, credential: &Credential, session: &Session) {
        let (Some(sender), Some(client)) = (&self.people.logouts, credential.client()) else {
            return;
        };
        let Some(uri) = &client.metadata.backchannel_logout_uri else {
            return;
        };
        let Ok(url) = url::Url::parse(uri) else {
            return;
        };
        let claims = json!({
            "sub": session.user_id,
            "aud": client.client_id,
            "sid": session.sid,
            "events": { EVENT: {} },
        });
        let algorithm = client.metadata.id_token_signed_response_alg;
        match self
            .tokens
            .mint_statement(algorithm, TYP_LOGOUT, claims, LIFETIME_S)
        {
            Ok(token) => {
                let metrics = Arc::clone(&self.metrics);
                sender.send(url, client.client_id.clone(), token, metrics);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "no logout token was minted");
            }
        }
    }
}
