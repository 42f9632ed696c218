//! What a node remembers, fetches and asks for to authenticate calls and to prove itself to backends: its limits, from the options.

use std::fmt;
use std::ops::RangeInclusive;

use gateway::asking::AskingLimits;
use gateway::backend_tokens::TokenLimits;
use gateway::issuers;
use policy::{BackendAuth, Remembered};

use super::options::{set, within};
use super::{Options, Span, UpError};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What is asked of token issuers outside of the platform.
///
/// # Errors
/// [`UpError::Options`] for a value out of bounds.
pub(super) fn issuers(options: &Options) -> Result<issuers::Limits, UpError> {
    let mut limits = issuers::Limits::default();
    bounded(
        "--gateway-issuer-refetches-max",
        (
            &mut limits.refetches_max,
            options.gateway_issuer_refetches_max,
        ),
        1..=1_000,
    )?;
    bounded_ms(
        "--gateway-issuer-refetch-every",
        (
            &mut limits.refetch_every_ms,
            options.gateway_issuer_refetch_every,
        ),
        100..=HOUR,
    )?;
    bounded_ms(
        "--gateway-issuer-refetch-pause",
        (
            &mut limits.refetch_pause_ms,
            options.gateway_issuer_refetch_pause,
        ),
        0..=60 * SECOND,
    )?;
    bounded_ms(
        "--gateway-issuer-retry",
        (&mut limits.retry_ms, options.gateway_issuer_retry),
        100..=HOUR,
    )?;
    bounded_ms(
        "--gateway-issuer-keys-wait",
        (&mut limits.keys_wait_ms, options.gateway_issuer_keys_wait),
        1..=60 * SECOND,
    )?;
    bounded_ms(
        "--gateway-issuer-fetch-timeout",
        (
            &mut limits.fetch_timeout_ms,
            options.gateway_issuer_fetch_timeout,
        ),
        10..=60 * SECOND,
    )?;
    bounded(
        "--gateway-issuer-keys-bytes-max",
        (
            &mut limits.keys_bytes_max,
            options.gateway_issuer_keys_bytes_max,
        ),
        KIB..=16 * MIB,
    )?;
    bounded(
        "--gateway-issuer-keys-max",
        (&mut limits.keys_max, options.gateway_issuer_keys_max),
        1..=10_000,
    )?;
    bounded(
        "--gateway-introspection-bytes-max",
        (
            &mut limits.answer_bytes_max,
            options.gateway_introspection_bytes_max,
        ),
        KIB..=16 * MIB,
    )?;
    bounded(
        "--gateway-introspections-parallel",
        (
            &mut limits.questions_parallel,
            options.gateway_introspections_parallel,
        ),
        1..=10_000,
    )?;
    Ok(limits)
}

/// What a node asks its control plane at most.
///
/// # Errors
/// [`UpError::Options`] for a value out of bounds.
pub(super) fn asking(options: &Options) -> Result<AskingLimits, UpError> {
    let mut limits = AskingLimits::default();
    set(&mut limits.waiting_max, options.gateway_questions_max);
    let patience = options.gateway_question_timeout.map(Span::as_ms);
    set(&mut limits.patience_ms, patience);
    set(
        &mut limits.not_known_max,
        options.gateway_unknown_tokens_max,
    );
    bounded_ms(
        "--gateway-question-pause",
        (&mut limits.pause_ms, options.gateway_question_pause),
        0..=60 * SECOND,
    )?;
    Ok(limits)
}

/// What each core remembers of callers and of files.
///
/// # Errors
/// [`UpError::Options`] for a value out of bounds.
pub(super) fn remembered(options: &Options) -> Result<Remembered, UpError> {
    let mut all = Remembered::default();
    let many = 10_000_000;
    for (flag, limit, least, most) in [
        (
            "--gateway-verified-tokens-max",
            (&mut all.tokens_max, options.gateway_verified_tokens_max),
            0,
            many,
        ),
        (
            "--gateway-verified-tokens-bytes-max",
            (
                &mut all.token_bytes_max,
                options.gateway_verified_tokens_bytes_max,
            ),
            0,
            2_047 * MIB,
        ),
        (
            "--gateway-verified-passwords-max",
            (
                &mut all.passwords_max,
                options.gateway_verified_passwords_max,
            ),
            1,
            many,
        ),
        (
            "--gateway-verified-certificates-max",
            (
                &mut all.certificates_max,
                options.gateway_verified_certificates_max,
            ),
            1,
            many,
        ),
        (
            "--gateway-forwarded-certificates-max",
            (
                &mut all.forwarded_max,
                options.gateway_forwarded_certificates_max,
            ),
            1,
            many,
        ),
        (
            "--gateway-secrets-max",
            (&mut all.secrets_max, options.gateway_secrets_max),
            16,
            many,
        ),
    ] {
        bounded(flag, limit, least..=most)?;
    }
    Ok(all)
}

/// What the cores remember of what the node shows backends.
pub(super) fn backend_auth(options: &Options) -> BackendAuth {
    let mut backend_auth = BackendAuth::default();
    set(&mut backend_auth.jwts_max, options.gateway_backend_jwts_max);
    set(
        &mut backend_auth.tokens_max,
        options.gateway_backend_tokens_max,
    );
    backend_auth
}

/// What the node asks for and keeps of access tokens for backends.
///
/// # Errors
/// [`UpError::Options`] for a value out of bounds.
pub(super) fn backend_tokens(options: &Options) -> Result<TokenLimits, UpError> {
    let mut limits = TokenLimits::default();
    set(&mut limits.clients_max, options.gateway_backend_tokens_max);
    bounded(
        "--gateway-backend-token-answer-bytes-max",
        (
            &mut limits.answer_bytes_max,
            options.gateway_backend_token_answer_bytes_max,
        ),
        KIB..=16 * MIB,
    )?;
    bounded(
        "--gateway-backend-token-bytes-max",
        (
            &mut limits.token_bytes_max,
            options.gateway_backend_token_bytes_max,
        ),
        1..=64 * KIB,
    )?;
    bounded_ms(
        "--gateway-backend-token-pause",
        (&mut limits.pause_ms, options.gateway_backend_token_pause),
        1..=HOUR,
    )?;
    bounded_ms(
        "--gateway-backend-token-pause-max",
        (
            &mut limits.pause_ms_max,
            options.gateway_backend_token_pause_max,
        ),
        1..=DAY,
    )?;
    bounded_ms(
        "--gateway-backend-token-refused-age",
        (
            &mut limits.refused_age_ms,
            options.gateway_backend_token_refused_age,
        ),
        0..=HOUR,
    )?;
    // The longest pause is not shorter than the first one.
    limits.pause_ms_max = limits.pause_ms_max.max(limits.pause_ms);
    Ok(limits)
}

/// Sets what is configured, within its bounds.
pub(super) fn bounded<T: PartialOrd + fmt::Display>(
    flag: &str,
    (limit, configured): (&mut T, Option<T>),
    bounds: RangeInclusive<T>,
) -> Result<(), UpError> {
    let value = configured.map(|value| within(flag, value, "", bounds));
    set(limit, value.transpose()?);
    Ok(())
}

/// The same for times in milliseconds.
fn bounded_ms(
    flag: &str,
    (limit, configured): (&mut u64, Option<Span>),
    bounds: RangeInclusive<u64>,
) -> Result<(), UpError> {
    let value = configured.map(|value| within(flag, value.as_ms(), "ms", bounds));
    set(limit, value.transpose()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    /// All limits of this file at once.
    fn read(line: &[&str]) -> Result<(), UpError> {
        let line = std::iter::once(&"up").chain(line);
        let options = Line::try_parse_from(line).unwrap().options;
        issuers(&options)?;
        asking(&options)?;
        remembered(&options)?;
        backend_tokens(&options)?;
        Ok(())
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_the_bounds() {
        for (flag, good, bad) in [
            ("--gateway-issuer-refetches-max", "1", "0"),
            ("--gateway-issuer-refetch-every", "100ms", "99ms"),
            ("--gateway-issuer-refetch-pause", "0s", "61s"),
            ("--gateway-issuer-retry", "1h", "2h"),
            ("--gateway-issuer-keys-wait", "1ms", "0s"),
            ("--gateway-issuer-fetch-timeout", "10ms", "0s"),
            ("--gateway-issuer-keys-bytes-max", "1024", "1023"),
            ("--gateway-issuer-keys-max", "1", "0"),
            ("--gateway-introspection-bytes-max", "16777216", "16777217"),
            ("--gateway-introspections-parallel", "1", "0"),
            ("--gateway-question-pause", "0s", "61s"),
            ("--gateway-verified-tokens-max", "0", "10000001"),
            ("--gateway-verified-tokens-bytes-max", "0", "4000000000"),
            ("--gateway-verified-passwords-max", "1", "0"),
            ("--gateway-verified-certificates-max", "1", "0"),
            ("--gateway-forwarded-certificates-max", "1", "0"),
            ("--gateway-secrets-max", "16", "15"),
            ("--gateway-backend-token-answer-bytes-max", "1024", "1"),
            ("--gateway-backend-token-bytes-max", "1", "0"),
            ("--gateway-backend-token-pause", "1ms", "0s"),
            ("--gateway-backend-token-pause-max", "1d", "2d"),
            ("--gateway-backend-token-refused-age", "0s", "2h"),
        ] {
            read(&[flag, good]).unwrap();
            let fault = read(&[flag, bad]).unwrap_err().to_string();
            let begin = format!("{flag} is {bad}");
            assert!(
                fault.contains(flag) && fault.contains("it goes from"),
                "{begin}: {fault}"
            );
        }
    }

    #[test]
    fn what_is_configured_is_what_counts() {
        let line = [
            "up",
            "--gateway-issuer-keys-wait=2s",
            "--gateway-backend-token-pause=2m",
            "--gateway-verified-tokens-max=7",
        ];
        let options = Line::try_parse_from(line).unwrap().options;
        assert_eq!(issuers(&options).unwrap().keys_wait_ms, 2_000);
        assert_eq!(remembered(&options).unwrap().tokens_max, 7);
        let tokens = backend_tokens(&options).unwrap();
        assert_eq!((tokens.pause_ms, tokens.pause_ms_max), (120_000, 120_000));
    }
}
