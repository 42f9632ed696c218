//! Passwords of callers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Plain;
use crate::up::passwords::Counts;

/// What became of passwords.
#[derive(Debug)]
pub(super) struct Passwords(pub(super) Arc<Counts>);

impl Collector for Passwords {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        for (name, help, count) in [
            (
                "tollway_gateway_passwords_checked",
                "Passwords of callers that were held against a hash; those that are remembered are not",
                &self.0.checked,
            ),
            (
                "tollway_gateway_passwords_busy",
                "Passwords of callers that were not looked at because too many were being checked",
                &self.0.busy,
            ),
            (
                "tollway_gateway_passwords_delayed",
                "Passwords of callers that were not looked at because too many before were wrong",
                &self.0.guessing,
            ),
        ] {
            plain.counter(name, help, count.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}
