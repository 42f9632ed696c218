//! What the node remembers of callers and shows backends, and what services say of calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway::backend_tokens::TokenCounts;
use policy::{AuthorizationCounts, BackendAuth, VerifiedTokens};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Plain;

#[derive(Clone, Debug)]
pub(in crate::up) struct Shown {
    pub(in crate::up) auth: Arc<BackendAuth>,
    pub(in crate::up) tokens: Arc<TokenCounts>,
    pub(in crate::up) authorization: Arc<AuthorizationCounts>,
    pub(in crate::up) verified: Arc<VerifiedTokens>,
}

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        let (shown, tokens) = (&self.auth.counts, &self.tokens);
        let all = [
            (
                "tollway_backend_jwts_signed",
                "Tokens for backends that were signed",
                &shown.jwts_signed,
            ),
            (
                "tollway_backend_jwts_forgotten",
                "Tokens for backends that were forgotten, since a core remembered too many",
                &shown.jwts_forgotten,
            ),
            (
                "tollway_gateway_verified_tokens_forgotten",
                "Verified tokens that were forgotten, since a core remembered too many or too long ones",
                &self.verified.forgotten,
            ),
            (
                "tollway_backend_tokens_forgotten",
                "Access tokens for backends that a core forgot, since it remembered too many, and looked up again",
                &shown.tokens_forgotten,
            ),
            (
                "tollway_backend_credentials_missing",
                "Calls refused, since what the backend has to be shown could not be made",
                &shown.refused,
            ),
            (
                "tollway_backend_tokens_given",
                "Access tokens for backends that authorization servers gave",
                &tokens.given,
            ),
            (
                "tollway_backend_tokens_failed",
                "Requests for access tokens for backends that gave none",
                &tokens.failed,
            ),
            (
                "tollway_backend_tokens_refused",
                "Calls whose access token was not asked for, since the node keeps those of too many clients",
                &tokens.too_many,
            ),
        ];
        for (name, help, count) in all {
            plain.counter(name, help, count.load(Ordering::Relaxed))?;
        }
        plain.gauge(
            "tollway_backend_token_clients",
            "OAuth clients whose tokens for backends are kept",
            tokens.clients.load(Ordering::Relaxed),
        )?;
        self.token_limits(&mut plain)?;
        self.authorization(&mut plain)
    }
}

impl Shown {
    fn token_limits(&self, plain: &mut Plain<'_>) -> fmt::Result {
        let mut family = plain.0.encode_descriptor(
            "tollway_backend_token_limits_hit",
            "How often a limit on access tokens for backends took effect",
            None,
            MetricType::Counter,
        )?;
        for (limit, count) in self.tokens.limits() {
            let count = ConstCounter::new(count);
            count.encode(family.encode_family(&[("limit", limit)])?)?;
        }
        Ok(())
    }

    fn authorization(&self, plain: &mut Plain<'_>) -> fmt::Result {
        let counts = &self.authorization;
        let all: [(&str, &AtomicU64); 5] = [
            ("allowed", &counts.allowed),
            ("denied", &counts.denied),
            ("failed", &counts.failed),
            ("failed-open", &counts.failed_open),
            ("too-long", &counts.too_long),
        ];
        let mut family = plain.0.encode_descriptor(
            "tollway_external_authorization",
            "Calls that services decided on (`extAuthz`), by what came of it",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in all {
            let labels = [("result", result)];
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
