//! Signing keys: their rotation, their numbers.

use std::fmt;
use std::time::Duration;

use control::Control;
use credentials::{RotationConfig, Tokens, TokensConfig};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::UpError;
use super::options::{Options, Span};

/// Whether something is due is looked at twenty times a period, at least once a minute.
const LOOKS: u32 = 20;
const LOOK_MAX: Duration = Duration::from_secs(60);

/// How tokens are made.
pub(super) fn tokens_config(options: &Options, issuer: String) -> TokensConfig {
    let usual = TokensConfig::new(issuer);
    TokensConfig {
        lifetime_max_s: seconds(options.token_lifetime_max, usual.lifetime_max_s),
        ..usual
    }
}

/// When signing keys change.
///
/// # Errors
/// [`UpError::Options`] when a key would sign for less than two seconds.
pub(super) fn rotation(options: &Options) -> Result<RotationConfig, UpError> {
    let usual = RotationConfig::default();
    let config = RotationConfig {
        period_s: seconds(options.signing_key_period, usual.period_s),
        ahead_s: seconds(options.signing_key_ahead, usual.ahead_s),
    };
    if config.period_s < 2 {
        return Err(UpError::Options(
            "--signing-key-period is 2s at least".into(),
        ));
    }
    Ok(config)
}

/// How long verifiers may keep the public keys. Whoever keeps them asks again before the next key signs.
///
/// # Errors
/// [`UpError::Options`] when it is longer than half the time for which a key is published before it signs.
pub(super) fn jwks_max_age_s(options: &Options) -> Result<u64, UpError> {
    let rotation = rotation(options)?;
    let most = rotation.ahead_s.min(rotation.period_s / 2) / 2;
    let usual = identity::IdentityConfig::default().jwks_max_age_s;
    match options.jwks_max_age {
        None => Ok(usual.min(most)),
        Some(span) if span.0.as_secs() <= most => Ok(span.0.as_secs()),
        Some(_) => Err(UpError::Options(format!(
            "--jwks-max-age is at most half of --signing-key-ahead, here {most}s"
        ))),
    }
}

fn seconds(span: Option<Span>, usual: u64) -> u64 {
    span.map_or(usual, |span| span.0.as_secs())
}

/// Rotates until it is dropped.
pub(super) async fn keep_rotating(tokens: &Tokens, control: &Control, config: RotationConfig) {
    let look = Duration::from_secs(config.period_s) / LOOKS;
    let look = look.min(LOOK_MAX);
    tokens.keep_rotating(&config, control, look).await;
}

/// Adds the numbers to a registry.
pub(super) fn register(registry: &mut Registry, tokens: &Tokens) {
    registry.register_collector(Box::new(Keys(tokens.clone())));
}

#[derive(Debug)]
struct Keys(Tokens);

impl Collector for Keys {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let keys = self.0.keys();
        let gauge = ConstGauge::new(0_i64);
        let mut family = encoder.encode_descriptor(
            "tollway_signing_key_since_seconds",
            "Signing keys by algorithm and state: since when they are in it, in seconds since 1970",
            None,
            gauge.metric_type(),
        )?;
        for key in &keys {
            let labels = [
                ("kid", key.kid.as_str()),
                ("algorithm", key.algorithm.as_str()),
                ("state", key.state.as_str()),
            ];
            let since =
                ConstGauge::new(i64::try_from(key.since_unix_ms / 1000).unwrap_or(i64::MAX));
            since.encode(family.encode_family(&labels)?)?;
        }
        let failures = ConstCounter::new(self.0.rotation_failures());
        failures.encode(encoder.encode_descriptor(
            "tollway_signing_key_rotation_failures",
            "Looks at the signing keys that failed; a next key that not every gateway knows is one",
            None,
            failures.metric_type(),
        )?)
    }
}
