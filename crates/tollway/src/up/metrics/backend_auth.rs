//! What the node shows backends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use policy::BackendAuth;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Plain;

#[derive(Debug)]
pub(super) struct Shown(pub(super) Arc<BackendAuth>);

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        let counts = &self.0.counts;
        let all = [
            (
                "tollway_backend_jwts_signed",
                "Tokens for backends that were signed",
                &counts.jwts_signed,
            ),
            (
                "tollway_backend_jwts_forgotten",
                "Tokens for backends that were forgotten, since a core remembered too many",
                &counts.jwts_forgotten,
            ),
            (
                "tollway_backend_credentials_missing",
                "Calls refused, since what the backend has to be shown could not be made",
                &counts.refused,
            ),
        ];
        all.into_iter().try_for_each(|(name, help, count)| {
            plain.counter(name, help, count.load(Ordering::Relaxed))
        })
    }
}
