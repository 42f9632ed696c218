//! What people passed through: logins, consents, codes, refresh tokens, devices, logouts.

use std::fmt;
use std::sync::Arc;

use identity::{Counter, IdentityState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Plain;

/// What people passed through.
pub(super) struct People(pub(super) Arc<IdentityState>);

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("People")
    }
}

impl Collector for People {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        let identity = &self.0.metrics;
        let counts: [(&str, &str, &Counter); 18] = [
            (
                "logins_delayed",
                "Logins and user codes refused because too many before were wrong",
                &identity.logins_delayed,
            ),
            ("logouts", "Sessions that somebody ended", &identity.logouts),
            (
                "logouts_told",
                "Logout tokens that clients took",
                &identity.logouts_told,
            ),
            (
                "logouts_failed",
                "Logout tokens that no attempt brought to their client",
                &identity.logouts_failed,
            ),
            (
                "authorizations_refused",
                "Authorization requests refused",
                &identity.authorizations_refused,
            ),
            (
                "requests_pushed",
                "Authorization requests that were pushed",
                &identity.requests_pushed,
            ),
            (
                "forms_refused",
                "Forms refused: over, of another browser, or of another site",
                &identity.forms_refused,
            ),
            (
                "consents",
                "Times that somebody allowed a client something",
                &identity.consents,
            ),
            (
                "consents_denied",
                "Times that somebody did not",
                &identity.consents_denied,
            ),
            (
                "codes_issued",
                "Authorization codes issued",
                &identity.codes_issued,
            ),
            (
                "codes_replayed",
                "Authorization codes that came a second time",
                &identity.codes_replayed,
            ),
            ("refreshes", "Refresh tokens taken", &identity.refreshes),
            (
                "refreshes_replayed",
                "Refresh tokens that came too late or too often",
                &identity.refreshes_replayed,
            ),
            (
                "devices_begun",
                "Devices that began to wait",
                &identity.devices_begun,
            ),
            (
                "devices_slowed",
                "Questions of devices that came too early",
                &identity.devices_slowed,
            ),
            (
                "registrations",
                "Clients that registered themselves",
                &identity.registrations,
            ),
            (
                "registrations_refused",
                "Registrations refused",
                &identity.registrations_refused,
            ),
            (
                "user_codes_wrong",
                "User codes typed that no device showed",
                &identity.user_codes_wrong,
            ),
        ];
        counts.iter().try_for_each(|(name, help, count)| {
            plain.counter(&format!("tollway_identity_{name}"), help, count.get())
        })?;
        let people = &self.0.people;
        plain.gauge(
            "tollway_identity_failures_remembered",
            "Accounts and addresses with failed logins that are remembered",
            people.guess_entries() as u64,
        )?;
        plain.gauge(
            "tollway_identity_failures_remembered_max",
            "Accounts and addresses with failed logins that may be remembered",
            people.guess_entries_max() as u64,
        )?;
        plain.gauge(
            "tollway_identity_logouts_waiting",
            "Clients that have to be told of a logout still",
            identity.logouts_waiting.get(),
        )
    }
}
