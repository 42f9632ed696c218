//! Numbers of the database's connections.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use store_sql::SqlStore;

use super::Plain;

/// The store's connections, beside how many there may be.
pub(super) struct Connections(pub(super) Arc<SqlStore>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl Collector for Connections {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut plain = Plain(encoder);
        let found = self.0.connections();
        for (name, help, value) in [
            (
                "read_connections",
                "Connections to the database for reading",
                found.read,
            ),
            (
                "read_connections_idle",
                "Those of them that nobody uses",
                found.read_idle,
            ),
            (
                "read_connections_max",
                "How many there can be",
                found.read_max,
            ),
            (
                "write_connections",
                "Connections to the database for writing",
                found.write,
            ),
            (
                "write_connections_idle",
                "Those of them that nobody uses",
                found.write_idle,
            ),
            (
                "write_connections_max",
                "How many there can be",
                found.write_max,
            ),
        ] {
            plain.gauge(&format!("tollway_store_{name}"), help, value)?;
        }
        Ok(())
    }
}
