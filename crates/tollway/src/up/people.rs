//! What the options say of sessions, codes, refresh tokens and wrong passwords.

use std::net::IpAddr;

use identity::{GuessLimits, LogoutLimits, PeopleConfig};

use super::options::set;
use super::{Options, Span, UpError};

/// Lifetimes and limits of what people pass through.
pub(super) fn config(options: &Options) -> Result<PeopleConfig, UpError> {
    let defaults = PeopleConfig::default();
    let guesses = GuessLimits::default();
    let seconds = |span: Option<Span>, default: u64| {
        span.map_or(default, |span| span.as_ms().div_ceil(1000).max(1))
    };
    Ok(PeopleConfig {
        session_lifetime_s: seconds(
            options.identity_session_lifetime,
            defaults.session_lifetime_s,
        ),
        session_idle_s: seconds(options.identity_session_idle, defaults.session_idle_s),
        flow_lifetime_s: seconds(options.identity_page_lifetime, defaults.flow_lifetime_s),
        code_lifetime_s: seconds(options.identity_code_lifetime, defaults.code_lifetime_s),
        device_lifetime_s: seconds(options.identity_device_lifetime, defaults.device_lifetime_s),
        refresh_grace_ms: options
            .identity_refresh_grace
            .map_or(defaults.refresh_grace_ms, Span::as_ms),
        refresh_lifetime_s: seconds(
            options.identity_refresh_lifetime,
            defaults.refresh_lifetime_s,
        ),
        grant_lifetime_s: seconds(options.identity_grant_lifetime, defaults.grant_lifetime_s),
        guesses: GuessLimits {
            account_free: options
                .identity_account_failures
                .unwrap_or(guesses.account_free),
            account_delay_max_s: seconds(
                options.identity_account_delay_max,
                guesses.account_delay_max_s,
            ),
            address_free: options
                .identity_address_failures
                .unwrap_or(guesses.address_free),
            address_delay_max_s: seconds(
                options.identity_address_delay_max,
                guesses.address_delay_max_s,
            ),
            entries_max: options.identity_failures_max.unwrap_or(guesses.entries_max),
            ..guesses
        },
        logouts: logouts(options),
        proxies: proxies(options.identity_proxies.as_deref())?,
        ..defaults
    })
}

/// How clients are told of logouts.
fn logouts(options: &Options) -> LogoutLimits {
    let mut limits = LogoutLimits::default();
    set(&mut limits.attempts, options.identity_logout_attempts);
    let pause = options.identity_logout_pause.map(Span::as_ms);
    set(&mut limits.pause_ms, pause);
    set(&mut limits.parallel, options.identity_logouts_parallel);
    limits
}

fn proxies(list: Option<&str>) -> Result<Vec<IpAddr>, UpError> {
    let words = list.into_iter().flat_map(|list| list.split(','));
    words
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let address: Result<IpAddr, _> = word.parse();
            address.map(|address| address.to_canonical()).map_err(|_| {
                UpError::Options(format!("--identity-proxies: {word} is no IP address"))
            })
        })
        .collect()
}
