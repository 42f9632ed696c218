//! ID tokens (OpenID Connect Core §2): who the user is, for the client that asked.

use std::collections::BTreeSet;

use base::SessionId;
use serde_json::{Map, Value, json};
use store::grants::Grant;

use crate::IdentityState;
use crate::oauth::OAuthError;
use crate::scopes::PROFILE;
use crate::token::Asked;

/// The `typ` of an ID token.
pub(crate) const TYP_ID_TOKEN: &str = "JWT";

/// What only the answer to a code says.
#[derive(Default)]
pub(crate) struct IdTokenInput {
    /// As the authorization request said it.
    pub(crate) nonce: Option<String>,
}

/// What an ID token that came back says.
pub(crate) struct Hint {
    pub(crate) client_id: String,
    pub(crate) sub: String,
    pub(crate) sid: Option<SessionId>,
}

impl IdentityState {
    /// The ID token that goes with an access token.
    pub(crate) fn id_token(
        &self,
        asked: &Asked,
        grant: &Grant,
        scopes: &BTreeSet<String>,
        input: &IdTokenInput,
        access_token: &str,
    ) -> Result<String, OAuthError> {
        let client = asked.client.credential.client();
        let metadata = client.map(|client| &client.metadata);
        let algorithm = metadata
            .map(|metadata| metadata.id_token_signed_response_alg)
            .unwrap_or_default();
        let login = &grant.terms.login;
        let mut claims = json!({
            "sub": grant.subject(),
            "aud": grant.client_id,
            "azp": grant.client_id,
            "auth_time": login.at_unix_s,
            "acr": login.acr,
            "amr": login.amr,
            "at_hash": jose::half_hash(algorithm.as_str(), access_token),
        });
        if let Some(sid) = grant.sid {
            claims["sid"] = sid.to_string().into();
        }
        if let Some(nonce) = &input.nonce {
            claims["nonce"] = nonce.as_str().into();
        }
        let wanted = wanted(grant.terms.claims.as_ref(), "id_token");
        if wanted.contains("preferred_username") || wanted.contains("name") {
            about(&grant.terms.user, scopes, &wanted)
                .into_iter()
                .for_each(|(name, value)| claims[name] = value);
        }
        let lifetime_s = metadata
            .and_then(|metadata| metadata.id_token_lifetime_s)
            .unwrap_or(self.people.config.id_token_lifetime_s);
        self.tokens
            .mint_statement(algorithm, TYP_ID_TOKEN, claims, lifetime_s)
            .map_err(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "no ID token was minted");
                OAuthError::server_error()
            })
    }

    /// An ID token of ours for this client, over or not (OpenID Connect Core §3.1.2.1: `id_token_hint`).
    pub(crate) fn read_id_token_hint(&self, token: &str, client_id: &str) -> Option<Hint> {
        let hint = self.read_any_id_token(token)?;
        (hint.client_id == client_id).then_some(hint)
    }

    /// An ID token of ours, over or not, for whatever client.
    pub(crate) fn read_any_id_token(&self, token: &str) -> Option<Hint> {
        let claims = self.tokens.read_statement(TYP_ID_TOKEN, token).ok()?;
        let sid = claims.other.get("sid").and_then(Value::as_str);
        Some(Hint {
            client_id: claims.aud.into_iter().next()?,
            sub: claims.sub,
            sid: sid.and_then(|sid| sid.parse().ok()),
        })
    }
}

/// The claims that a request names for one place (OpenID Connect Core §5.5).
pub(crate) fn wanted<'a>(claims: Option<&'a Value>, place: &str) -> BTreeSet<&'a str> {
    let members = claims.and_then(|claims| claims.get(place)?.as_object());
    members
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect()
}

/// What there is to say about a user, of what was asked for: by the scope `profile`, or one by one.
pub(crate) fn about(
    user: &str,
    scopes: &BTreeSet<String>,
    wanted: &BTreeSet<&str>,
) -> Map<String, Value> {
    let profile = scopes.contains(PROFILE);
    ["preferred_username", "name"]
        .into_iter()
        .filter(|name| profile || wanted.contains(name))
        .map(|name| (name.to_owned(), user.into()))
        .collect()
}
