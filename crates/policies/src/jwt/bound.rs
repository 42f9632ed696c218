//! Tokens that are bound to a key of their bearer: what a call has to prove beside having the token.

use std::ops::Range;
use std::sync::Arc;

use base::Digest;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use jose::{Confirmation, JoseError, ProofExpectation, verify_proof};
use policy::{ClientCertificate, Directory, Once, RequestCx};

pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How old a proof may be, in seconds; for so long its id is remembered.
const WINDOW_S: u64 = 60;

/// How a token was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

/// Why a token that is good is refused all the same.
#[derive(Debug)]
pub(super) enum Unproved {
    /// It is bound to a DPoP key and came as a bearer token, or the reverse.
    Scheme(&'static str),
    /// There is not exactly one proof.
    Proofs(usize),
    /// The proof does not verify.
    Proof(Box<JoseError>),
    /// The proof is of another key.
    OtherKey,
    /// The proof was used before.
    Replayed,
    /// Too many proofs are remembered.
    Full,
    /// It is bound to a certificate and the connection has not shown that one.
    Certificate,
}

/// The algorithms of proofs that are understood.
pub(super) const ALGORITHMS: &str = "ES256 ES384 EdDSA Ed25519 PS256 PS384 PS512 RS256 RS384 RS512";

impl Unproved {
    /// The error of RFC 9449 §7.1 (or RFC 6750 §3.1), the rule, and what the caller is told.
    pub(super) fn told(&self) -> (&'static str, &'static str, String) {
        const PROOF: &str = "invalid_dpop_proof";
        match self {
            Self::Scheme(detail) => ("invalid_token", "token-scheme", (*detail).to_owned()),
            Self::Proofs(found) => (
                PROOF,
                "proof-one",
                format!("the request carries {found} DPoP proofs, exactly one is needed"),
            ),
            Self::Proof(error) => (PROOF, "proof", format!("the DPoP proof: {error}")),
            Self::OtherKey => (
                "invalid_token",
                "proof-key",
                "the DPoP proof is of another key than the token is bound to".to_owned(),
            ),
            Self::Replayed => (
                PROOF,
                "proof-once",
                "the DPoP proof was used before".to_owned(),
            ),
            Self::Full => (
                PROOF,
                "proofs-full",
                "too many DPoP proofs are remembered at the moment".to_owned(),
            ),
            Self::Certificate => (
                "invalid_token",
                "certificate",
                "the token is bound to a client certificate that this connection did not show"
                    .to_owned(),
            ),
        }
    }
}

/// A credential of a request: what it is, and where the token stands in the field's value.
pub(super) struct Shown {
    value: HeaderValue,
    scheme: Scheme,
    token: Range<usize>,
}

impl Shown {
    /// Takes the credential of a field apart; the scheme's case does not matter (RFC 9110 §11.1). `None` where it is none
    /// of ours.
    pub(super) fn of(value: &HeaderValue) -> Option<Self> {
        // Bytes and not text: a token has hundreds of them, and this is done at every call. One that was found good is known again
        // by them.
        let bytes = value.as_bytes();
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let scheme = if bytes[..space].eq_ignore_ascii_case(b"bearer") {
            Scheme::Bearer
        } else if bytes[..space].eq_ignore_ascii_case(b"dpop") {
            Scheme::Dpop
        } else {
            return None;
        };
        let from = space + bytes[space..].iter().position(|byte| *byte != b' ')?;
        let to = bytes.iter().rposition(|byte| *byte != b' ')? + 1;
        Some(Self {
            value: value.clone(),
            scheme,
            token: from..to,
        })
    }

    /// The token.
    pub(super) fn token(&self) -> &[u8] {
        &self.value.as_bytes()[self.token.clone()]
    }

    /// The token as text; `None` for what is no token, since it is not all ASCII.
    pub(super) fn text(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.token()).ok();
        text.filter(|text| text.is_ascii())
    }
}

/// Holds a call against what its token is bound to.
///
/// Source: RFC 9449 §7.1 (DPoP), RFC 8705 §3 (certificates).
pub(super) fn check(
    cx: &RequestCx,
    shown: &Shown,
    confirmation: Option<&Confirmation>,
) -> Result<(), Unproved> {
    match (shown.scheme, confirmation) {
        (Scheme::Bearer, None) => Ok(()),
        (Scheme::Dpop, None) => Err(Unproved::Scheme(
            "the token is not bound to a DPoP key: send it with the scheme Bearer",
        )),
        (Scheme::Bearer, Some(Confirmation::Key(_))) => Err(Unproved::Scheme(
            "the token is bound to a DPoP key: send it with the scheme DPoP and a proof",
        )),
        (Scheme::Dpop, Some(Confirmation::Key(thumbprint))) => {
            // Only what is ASCII was found good.
            proof(cx, shown.text().unwrap_or_default(), thumbprint)
        }
        (_, Some(Confirmation::Certificate(wanted))) => {
            let shown = cx.slots.get::<Arc<ClientCertificate>>();
            let shown = shown.map(|certificate| jose::base64url(&certificate.sha256));
            match shown {
                Some(shown) if shown == *wanted => Ok(()),
                _ => Err(Unproved::Certificate),
            }
        }
    }
}

fn proof(cx: &RequestCx, token: &str, thumbprint: &str) -> Result<(), Unproved> {
    let mut proofs = cx.headers.get_all(&DPOP).iter();
    let (Some(proof), None) = (proofs.next(), proofs.next()) else {
        return Err(Unproved::Proofs(cx.headers.get_all(&DPOP).iter().count()));
    };
    let proof = proof.to_str().unwrap_or_default();
    let url = url(&cx.headers, &cx.path);
    let now_unix_s = cx.unix_ms / 1000;
    let expect = ProofExpectation {
        method: cx.method.as_str(),
        url: &url,
        token: Some(token),
        now_unix_s,
        window_s: WINDOW_S,
    };
    let proof = verify_proof(proof, &expect).map_err(|error| Unproved::Proof(Box::new(error)))?;
    if proof.thumbprint != thumbprint {
        return Err(Unproved::OtherKey);
    }
    // Under its key: another bearer's proof of the same id is another one.
    let id = Digest::of_list(&[proof.thumbprint.as_bytes(), proof.jti.as_bytes()]);
    let directory: &dyn Directory = &*cx.core.runtime.directory;
    match directory.use_once(id, proof.iat.saturating_add(WINDOW_S + 1)) {
        Once::First => Ok(()),
        Once::Again => Err(Unproved::Replayed),
        Once::Full => Err(Unproved::Full),
    }
}

/// What the caller requested, as the gateway tells backends (it has replaced what the caller said of that).
fn url(headers: &HeaderMap, path: &str) -> String {
    let text = |name: &HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    format!(
        "{}://{}{path}",
        text(&FORWARDED_PROTO),
        text(&FORWARDED_HOST)
    )
}
