//! What callers and operators are told of a token that is refused.

use base::Code;
use base::code::{
    CREDENTIALS_MISSING, PROOF_INVALID, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_NOT_YET_VALID,
    TOKEN_REVOKED, TOKEN_UNVERIFIED,
};
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use jose::{JoseError, JoseErrorKind};
use policy::{Fact, NotAnswered, Reject};

use super::bound::{self, Unproved};
use super::{Refusal, Running};
use crate::challenge::challenge;

/// The code of a token that does not verify.
fn code_of(error: &JoseError) -> Code {
    match error.kind() {
        JoseErrorKind::Expired => TOKEN_EXPIRED,
        JoseErrorKind::NotYetValid => TOKEN_NOT_YET_VALID,
        JoseErrorKind::Invalid | JoseErrorKind::UnknownKid => TOKEN_INVALID,
    }
}

/// The rule that a token broke, and the claim: what an operator is told, and the caller is not.
fn explained(reject: Reject, error: &JoseError) -> Reject {
    match error {
        JoseError::Expired { by_s, leeway_s } => reject.because("token-expired").fact(
            "claim exp",
            format!("{by_s}s ago"),
            format!("ahead, or at most {leeway_s}s ago"),
        ),
        JoseError::NotYetValid {
            claim,
            ahead_s,
            leeway_s,
        } => {
            let name = if *claim == "nbf" {
                "claim nbf"
            } else {
                "claim iat"
            };
            reject.because("token-not-yet-valid").fact(
                name,
                format!("{ahead_s}s ahead"),
                format!("passed, or at most {leeway_s}s ahead"),
            )
        }
        JoseError::Audience { found, expected } => {
            let any_of = format!("one of {}", expected.join(" "));
            reject
                .because("audience")
                .fact("claim aud", found.join(" "), any_of)
        }
        JoseError::Issuer { found, expected } => {
            reject.because("issuer").fact("claim iss", found, expected)
        }
        JoseError::ClaimMissing { claim } => {
            reject
                .because("claim-missing")
                .fact("claim", String::new(), *claim)
        }
        JoseError::ClaimType { claim, expected } => reject
            .because("claim-type")
            .fact("claim", *claim, *expected),
        JoseError::Typ { found, expected } => {
            reject.because("typ").fact("header typ", found, expected)
        }
        JoseError::UnknownKid { kid } => {
            reject
                .because("unknown-key")
                .fact("header kid", kid, "a key of an accepted issuer")
        }
        JoseError::Signature => reject.because("signature"),
        _ => reject.because("token-malformed"),
    }
}

impl Running {
    pub(super) fn render(&self, refusal: Refusal) -> Reject {
        let invalid = |code: Code, detail: String| {
            let challenge = self.error("invalid_token", &detail);
            Reject::new(code, detail).header(WWW_AUTHENTICATE, challenge)
        };
        match refusal {
            Refusal::Missing => {
                Reject::new(CREDENTIALS_MISSING, "the request carries no bearer token")
                    .header(WWW_AUTHENTICATE, self.challenge.clone())
                    .because("token-missing")
                    .fact("header", "", format!("{}: Bearer", self.header))
            }
            Refusal::Several => {
                let detail = "the request carries more than one credential";
                let challenge = self.error("invalid_request", detail);
                Reject::new(TOKEN_INVALID, detail)
                    .header(WWW_AUTHENTICATE, challenge)
                    .because("one-credential")
            }
            Refusal::Revoked(detail, fact) => invalid(TOKEN_REVOKED, detail.to_owned())
                .because("revoked")
                .fact(fact.name, fact.found, fact.expected),
            Refusal::Condition(source) => {
                let detail = "the token does not meet a condition of its issuer";
                invalid(TOKEN_INVALID, detail.to_owned())
                    .because("issuer-condition")
                    .fact("condition", "does not hold", source)
            }
            Refusal::UnknownClient { client_id, issuer } => {
                let detail = "the token's client is registered for no application here";
                invalid(TOKEN_INVALID, detail.to_owned())
                    .because("client-unknown")
                    .fact(
                        "client",
                        client_id,
                        format!("one that is registered for {issuer}"),
                    )
            }
            Refusal::IssuerSilent(NotAnswered::TooMany) => {
                unverified("too many tokens of the issuer are being asked for")
            }
            Refusal::IssuerSilent(NotAnswered::Unavailable) => {
                unverified("the issuer of the token does not answer, and nothing is known of it")
            }
            Refusal::Unusable(rule, detail) => invalid(TOKEN_INVALID, detail).because(rule),
            Refusal::Token(error) => explained(invalid(code_of(&error), error.to_string()), &error),
            Refusal::Unproved(unproved) => self.unproved(&unproved),
            Refusal::NotAnswered(NotAnswered::TooMany) => {
                unverified("too many tokens that are not known on this node are being asked for")
            }
            Refusal::NotAnswered(NotAnswered::Unavailable) | Refusal::Unknown(_) => unverified(
                "the token is not known on this node, and the control plane does not answer",
            ),
        }
    }

    /// RFC 9449 §7.1: what is wrong with a proof is told under the scheme that it belongs to.
    fn unproved(&self, unproved: &Unproved) -> Reject {
        let (error, rule, detail) = unproved.told();
        let parameters = [
            ("realm", self.realm.as_str()),
            ("error", error),
            ("error_description", &detail),
            ("algs", bound::ALGORITHMS),
        ];
        let scheme = if matches!(unproved, Unproved::Certificate) {
            "Bearer"
        } else {
            "DPoP"
        };
        let parameters = &parameters[..if scheme == "DPoP" { 4 } else { 3 }];
        let challenge = challenge(scheme, parameters);
        let code = match unproved {
            Unproved::Full => TOKEN_UNVERIFIED,
            _ => PROOF_INVALID,
        };
        let reject = Reject::new(code, detail)
            .header(WWW_AUTHENTICATE, challenge)
            .because(rule);
        match unproved {
            Unproved::Full => reject.retry_after(1),
            _ => reject,
        }
    }

    fn error(&self, error: &str, detail: &str) -> HeaderValue {
        let parameters = [
            ("realm", self.realm.as_str()),
            ("error", error),
            ("error_description", detail),
        ];
        challenge("Bearer", &parameters)
    }
}

fn unverified(detail: &'static str) -> Reject {
    Reject::new(TOKEN_UNVERIFIED, detail)
        .because("token-unverified")
        .retry_after(1)
}

pub(super) fn fact(name: &'static str, found: &str, expected: &str) -> Fact {
    Fact {
        name,
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}
