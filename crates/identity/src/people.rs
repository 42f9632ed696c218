//! What the role keeps for people: their pages, their guesses, what seals their flows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use base::UserId;
use credentials::{KeyFile, Pairwise};
use fetch::Fetcher;
use http::{Extensions, HeaderMap};
use store::GrantStore;
use store::clients::Client;

use crate::backchannel::{LogoutLimits, LogoutSender};
use crate::cookies::Cookies;
use crate::pages::Pages;
use limits::{GuessLimits, Guesses};

/// Lifetimes and limits of what people pass through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeopleConfig {
    /// How long an authorization code lasts, in seconds; default 30, at most 60.
    pub code_lifetime_s: u64,
    /// How long a page waits for its form, in seconds; default 900.
    pub flow_lifetime_s: u64,
    /// How long a session lasts at most, in seconds; default 12 hours.
    pub session_lifetime_s: u64,
    /// How long an unused session lasts, in seconds; default 2 hours.
    pub session_idle_s: u64,
    /// How long a pushed request lasts, in seconds; default 60, at most 90 (RFC 9126 §2.2, FAPI 2.0 §5.3.2.2).
    pub pushed_lifetime_s: u64,
    /// How long a device waits, in seconds; default 600.
    pub device_lifetime_s: u64,
    /// Seconds between two questions of a device; default 5 (RFC 8628 §3.2).
    pub device_interval_s: u64,
    /// How long after its rotation a refresh token may come once more, in milliseconds; default 10,000 (req: T4).
    pub refresh_grace_ms: u64,
    /// How many tokens can come of one within that time; default 5.
    pub refresh_siblings_max: u64,
    /// How long an unused refresh token lasts, in seconds, where the client says nothing; default 14 days.
    pub refresh_lifetime_s: u64,
    /// How long all refresh tokens of one grant last together, in seconds; default 90 days.
    pub grant_lifetime_s: u64,
    /// Lifetime of ID tokens in seconds, where the client says nothing; default one hour.
    pub id_token_lifetime_s: u64,
    /// How wrong passwords and user codes are slowed down.
    pub guesses: GuessLimits,
    /// Proxies whose `X-Forwarded-For` is believed: addresses as they connect. None by default.
    pub proxies: Vec<IpAddr>,
    /// How clients are told of logouts.
    pub logouts: LogoutLimits,
}

impl Default for PeopleConfig {
    fn default() -> Self {
        let day = 86_400;
        Self {
            code_lifetime_s: 30,
            flow_lifetime_s: 900,
            session_lifetime_s: day / 2,
            session_idle_s: 7_200,
            pushed_lifetime_s: 60,
            device_lifetime_s: 600,
            device_interval_s: 5,
            refresh_grace_ms: 10_000,
            refresh_siblings_max: 5,
            refresh_lifetime_s: 14 * day,
            grant_lifetime_s: 90 * day,
            id_token_lifetime_s: 3_600,
            guesses: GuessLimits::default(),
            proxies: Vec::new(),
            logouts: LogoutLimits::default(),
        }
    }
}

impl PeopleConfig {
    /// The address that a request comes from: the connection's, or, of a proxy that is believed, the last one in
    /// `X-Forwarded-For` that is no such proxy. `None` where the listener does not say.
    pub(crate) fn address(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        let believed = |ip: IpAddr| self.proxies.contains(&ip.to_canonical());
        let peer = peer.ip().to_canonical();
        if !believed(peer) {
            return Some(peer);
        }
        let lists: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let hops = lists.iter().rev().flat_map(|list| list.rsplit(','));
        hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok())
            .map(|hop| hop.to_canonical())
            .find(|hop| !believed(*hop))
            .or(Some(peer))
    }
}

/// What the role keeps for people.
pub struct People {
    /// Sessions, grants and what belongs to them.
    pub(crate) store: Arc<dyn GrantStore>,
    pub(crate) keys: KeyFile,
    /// Names users to clients.
    pub(crate) pairwise: Pairwise,
    pub(crate) pages: Pages,
    pub(crate) cookies: Cookies,
    pub(crate) guesses: Guesses,
    pub(crate) logouts: Option<LogoutSender>,
    pub(crate) config: PeopleConfig,
}

impl People {
    /// For the issuer with this URL. The keys seal what browsers carry; the guarded client tells clients of logouts, without
    /// one they are not told.
    #[must_use]
    pub fn new(
        store: Arc<dyn GrantStore>,
        keys: KeyFile,
        issuer: &str,
        fetcher: Option<Fetcher>,
        config: PeopleConfig,
    ) -> Self {
        Self {
            store,
            pairwise: Pairwise::new(&keys),
            keys,
            pages: Pages::new(issuer),
            cookies: Cookies::new(issuer),
            guesses: Guesses::new(config.guesses),
            logouts: fetcher.map(LogoutSender::new),
            config,
        }
    }

    /// What a client knows a user by: `sub`.
    pub(crate) fn subject(&self, client: &Client, user: UserId) -> String {
        let pairwise = self
            .pairwise
            .subject(&client.client_id, &client.metadata, user);
        pairwise.unwrap_or_else(|| user.to_string())
    }

    /// Where grants are kept.
    #[must_use]
    pub fn grants(&self) -> &Arc<dyn GrantStore> {
        &self.store
    }

    /// How many accounts and addresses with failures are remembered.
    #[must_use]
    pub fn guess_entries(&self) -> usize {
        self.guesses.entries()
    }

    /// How many are remembered at most.
    #[must_use]
    pub fn guess_entries_max(&self) -> usize {
        self.config.guesses.entries_max
    }
}

/// Without the keys.
impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("People")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(proxies: &[&str], peer: &str, forwarded: &[&str]) -> Option<String> {
        let config = PeopleConfig {
            proxies: proxies.iter().map(|ip| ip.parse().unwrap()).collect(),
            ..PeopleConfig::default()
        };
        let mut extensions = Extensions::new();
        let peer: SocketAddr = peer.parse().unwrap();
        extensions.insert(ConnectInfo(peer));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        config
            .address(&extensions, &headers)
            .map(|ip| ip.to_string())
    }

    #[test]
    fn only_a_known_proxy_is_believed() {
        let of = address;
        let theirs = ["1.1.1.1, 192.0.2.7"];
        assert_eq!(
            of(&[], "192.0.2.1:1", &theirs).as_deref(),
            Some("192.0.2.1")
        );
        let known = ["10.0.0.1", "10.0.0.2"];
        assert_eq!(
            of(&known, "10.0.0.1:1", &theirs).as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(
            of(&known, "10.0.0.9:1", &theirs).as_deref(),
            Some("10.0.0.9")
        );
        let chained = ["1.1.1.1", "192.0.2.7,10.0.0.2"];
        assert_eq!(
            of(&known, "[::ffff:10.0.0.1]:1", &chained).as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(
            of(&known, "10.0.0.1:1", &["evil"]).as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(of(&known, "10.0.0.1:1", &[]).as_deref(), Some("10.0.0.1"));
    }
}
