//! `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): a token for another audience, of a token that somebody
//! else was given.
//!
//! Who may do that is said for each pair of clients: by the metadata `token_exchange_subject_clients` of the client that
//! asks. What comes of it is never more than what was shown: no other subject, no scope and no second more; and it ends
//! with what it came of.

use std::collections::BTreeSet;

use credentials::{Subject, TokenError, UserSubject};
use jose::Claims;
use serde_json::{Value, json};

use crate::IdentityState;
use crate::mint::{Issue, TokenAnswer};
use crate::oauth::OAuthError;
use crate::resources;
use crate::token::Asked;

/// The one type of token that is taken and given (RFC 8693 §3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How many actors there can be in a row: each is a hop that somebody has to follow.
const ACTORS_MAX: usize = 4;

pub(crate) async fn answer(
    state: &IdentityState,
    asked: &Asked,
) -> Result<TokenAnswer, OAuthError> {
    let form = &asked.request.form;
    for kind in ["subject_token_type", "requested_token_type"] {
        let given = form.get(kind);
        let missing = given.is_none() && kind == "subject_token_type";
        if missing || given.is_some_and(|given| given != ACCESS_TOKEN) {
            return Err(OAuthError::invalid_request(&format!(
                "{kind} has to be {ACCESS_TOKEN}"
            )));
        }
    }
    let subject = shown(state, asked, form.require("subject_token")?).await?;
    let from = subject.client_id.clone().unwrap_or_default();
    let allowed = &asked.client.metadata().token_exchange_subject_clients;
    if !allowed.contains(&from) {
        return Err(OAuthError::unauthorized_client(
            "the client may not exchange the tokens of the client that the subject_token was issued to",
        ));
    }
    let actor = actor(state, asked, &subject).await?;
    let terms = state.terms_of(&asked.client).await?;
    let mut named = form.all("resource").to_vec();
    named.extend(form.all("audience").iter().cloned());
    let metadata = asked.client.metadata();
    let (audience, terms) = resources::narrowed(&named, metadata, terms)?;
    let had: BTreeSet<String> = subject.scope.iter().cloned().collect();
    let most: BTreeSet<String> = had.intersection(&terms.scopes).cloned().collect();
    let bytes_max = state.tokens.config().scope_bytes_max;
    let scopes = credentials::grant(form.get("scope"), most, bytes_max)
        .map_err(|error| OAuthError::invalid_scope(&error.to_string()))?;
    let issue = Issue {
        scopes,
        ends_max_unix_s: Some(subject.exp),
        grant: id(&subject, "grant_id"),
        actor: Some(actor),
        from: lineage(&subject),
        ..Issue::new(subject_of(state, &subject).await?)
    };
    let issue = issue.for_audience(audience, &terms, &asked.client.credential.org);
    let mut answer = state.issue(asked, issue).await?;
    answer.issued_token_type = Some(ACCESS_TOKEN);
    Ok(answer)
}

/// A token that is good here and now.
async fn shown(state: &IdentityState, asked: &Asked, token: &str) -> Result<Claims, OAuthError> {
    let org = &asked.client.credential.org;
    match state.tokens.verify_access(org, token).await {
        Ok(claims) => Ok(claims),
        Err(TokenError::Store(error)) => Err(state.store_failed(&error)),
        Err(error) => Err(OAuthError::invalid_request(&format!(
            "a token that was shown is not good: {error}"
        ))),
    }
}

/// Who acts: the client that asks, or the subject of its own `actor_token`; and who acted before.
async fn actor(
    state: &IdentityState,
    asked: &Asked,
    subject: &Claims,
) -> Result<Value, OAuthError> {
    let form = &asked.request.form;
    let application = asked.client.credential.application.to_string();
    let sub = match (form.get("actor_token"), form.get("actor_token_type")) {
        (None, None) => application,
        (Some(token), Some(ACCESS_TOKEN)) => {
            let claims = shown(state, asked, token).await?;
            if claims.client_id.as_ref() != Some(&asked.client.client_id) {
                return Err(OAuthError::unauthorized_client(
                    "the actor_token was issued to another client",
                ));
            }
            claims.sub
        }
        _ => {
            return Err(OAuthError::invalid_request(&format!(
                "actor_token comes with actor_token_type, and that is {ACCESS_TOKEN}"
            )));
        }
    };
    let mut actor = json!({ "sub": sub, "client_id": asked.client.client_id });
    let mut before = subject.other.get("act");
    if let Some(before) = before {
        actor["act"] = before.clone();
    }
    let mut actors = 1;
    while let Some(act) = before {
        actors += 1;
        before = act.get("act");
    }
    if actors > ACTORS_MAX {
        return Err(OAuthError::invalid_request(&format!(
            "the token was exchanged {ACTORS_MAX} times already"
        )));
    }
    Ok(actor)
}

fn id<T: std::str::FromStr>(claims: &Claims, name: &str) -> Option<T> {
    claims.other.get(name)?.as_str()?.parse().ok()
}

/// The subject stays who it is, under the name that it has, and so does how it logged in.
async fn subject_of(state: &IdentityState, claims: &Claims) -> Result<Subject, OAuthError> {
    let unreadable = || OAuthError::invalid_request("the subject_token has no subject of ours");
    let text = |name: &str| claims.other.get(name).and_then(Value::as_str);
    let (user, pairwise, name) = match (text("username"), id(claims, "grant_id")) {
        (Some(name), _) => (
            claims.sub.parse().map_err(|_| unreadable())?,
            None,
            name.to_owned(),
        ),
        (None, None) => {
            let application = claims.sub.parse().map_err(|_| unreadable())?;
            return Ok(Subject::Application(application));
        }
        // A pairwise name: what was granted knows whose it is.
        (None, Some(grant)) => {
            let found = state.people.store.grant_get(grant).await;
            let found = found.map_err(|error| state.store_failed(&error))?;
            let grant = found.ok_or_else(unreadable)?;
            (grant.user_id, Some(claims.sub.clone()), grant.terms.user)
        }
    };
    let amr = claims.other.get("amr").and_then(Value::as_array);
    let amr = amr.into_iter().flatten().filter_map(Value::as_str);
    Ok(Subject::User(UserSubject {
        id: user,
        pairwise,
        name,
        auth_time_unix_s: claims
            .other
            .get("auth_time")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        acr: text("acr").map(str::to_owned),
        amr: amr.map(str::to_owned).collect(),
        session: id(claims, "sid"),
    }))
}

/// What a token came of, nearest first: each entry with its id and client, so that the end of any of them is its end.
fn lineage(subject: &Claims) -> Vec<Value> {
    let mut from = vec![json!({ "jti": subject.jti, "client_id": subject.client_id })];
    if let Some(Value::Array(before)) = subject.other.get("from") {
        from.extend(before.iter().take(ACTORS_MAX).cloned());
    }
    from
}
