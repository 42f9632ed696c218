//! Handshakes with the authorization server's TLS listener.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::Plain;
use crate::up::handshakes::Handshakes;

/// Registers what is counted of them.
pub(crate) fn register(registry: &mut Registry, handshakes: Handshakes) {
    registry.register_collector(Box::new(handshakes));
}

impl Collector for Handshakes {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        plain.gauge(
            "tollway_identity_tls_handshakes",
            "TLS handshakes with the authorization server that are under way",
            self.under_way() as u64,
        )?;
        plain.gauge(
            "tollway_identity_tls_handshakes_max",
            "TLS handshakes with the authorization server that may be under way",
            self.max() as u64,
        )?;
        plain.counter(
            "tollway_identity_tls_handshakes_refused",
            "Connections closed because too many handshakes were under way",
            self.refused(),
        )
    }
}
