//! What the history keeps of each change. Documents are kept whole; of everything else what is no secret.

use base::Digest;
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::{Value, json};
use store::{
    Credential, CredentialKind, CredentialSecret, HistoryKind, RegistrationToken, Result,
    SigningKeyRecord, User,
};

use crate::commit::Writer;
use crate::entity::history;
use crate::rows::{bytes, database, signed};

/// What something was before a change, and what it is after.
#[derive(Default)]
pub(crate) struct Sides {
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
    pub(crate) before_blob: Option<Digest>,
    pub(crate) after_blob: Option<Digest>,
}

impl Sides {
    /// It is gone.
    pub(crate) fn before(value: Value) -> Self {
        Self {
            before: Some(value),
            ..Self::default()
        }
    }

    /// It is new.
    pub(crate) fn after(value: Value) -> Self {
        Self {
            after: Some(value),
            ..Self::default()
        }
    }
}

impl Writer<'_> {
    /// Adds an entry to the history.
    pub(crate) async fn log(&mut self, kind: HistoryKind, name: &str, sides: Sides) -> Result<()> {
        let row = history::Model {
            revision: signed(self.revision),
            ordinal: self.history_rows,
            org: self.org.as_str().to_owned(),
            kind: kind.as_str().to_owned(),
            name: name.to_owned(),
            at_unix_ms: signed(self.at_unix_ms),
            actor: self.actor.clone(),
            before: sides.before.map(|value| value.to_string()),
            after: sides.after.map(|value| value.to_string()),
            request: self.request.clone(),
            before_blob: sides.before_blob.map(bytes),
            after_blob: sides.after_blob.map(bytes),
        };
        self.history_rows += 1;
        history::Entity::insert(row.into_active_model())
            .exec_without_returning(self.db)
            .await
            .map_err(database)?;
        Ok(())
    }
}

/// A credential without its hashes; `application` is the application's name.
pub(crate) fn credential(credential: &Credential, application: &str) -> Value {
    let mut value =
        json!({"application": application, "environment": credential.environment.as_str()});
    let expires = |secret: &CredentialSecret| secret.expires_unix_s;
    match &credential.kind {
        CredentialKind::Client(client) => {
            value["clientId"] = json!(client.client_id);
            value["metadata"] = json!(client.metadata);
            let secrets = credential.secrets.iter();
            value["secrets"] = secrets.map(|secret| secret_told(secret, None)).collect();
        }
        CredentialKind::ApiKey(limits) => {
            let newest = credential.secrets.last();
            value["prefix"] = json!(newest.and_then(|secret| secret.prefix.as_deref()));
            if !limits.is_empty() {
                value["limits"] = json!(limits);
            }
            if credential.secrets.len() > 1 || newest.and_then(expires).is_some() {
                let secrets = credential.secrets.iter();
                value["keys"] = secrets
                    .map(|secret| secret_told(secret, secret.prefix.as_deref()))
                    .collect();
            }
        }
    }
    if !credential.name.is_empty() {
        value["name"] = json!(credential.name);
    }
    if let Some(expires) = credential.expires_unix_s {
        value["expiresUnixS"] = json!(expires);
    }
    value
}

/// A secret without its hash.
fn secret_told(secret: &CredentialSecret, prefix: Option<&str>) -> Value {
    let mut value = json!({"id": secret.id});
    if let Some(prefix) = prefix {
        value["prefix"] = json!(prefix);
    }
    if let Some(expires) = secret.expires_unix_s {
        value["expiresUnixS"] = json!(expires);
    }
    value
}

/// A registration token without its hash.
pub(crate) fn registration_token(token: &RegistrationToken) -> Value {
    json!({"name": token.name, "owner": token.owner, "usesLeft": token.uses_left,
        "expiresUnixS": token.expires_unix_s})
}

/// A user without the password's hash.
pub(crate) fn user(user: &User) -> Value {
    json!({"roles": user.roles})
}

/// Both sides of a change of a user; of a new password it is told that it is new.
pub(crate) fn user_put(before: Option<&User>, after: &User) -> Sides {
    let mut sides = Sides::after(user(after));
    if let Some(before) = before {
        sides.before = Some(user(before));
        if before.password_hash != after.password_hash
            && let Some(after) = sides.after.as_mut()
        {
            after["password"] = json!("changed");
        }
    }
    sides
}

/// A signing key without its private half.
pub(crate) fn signing_key(key: &SigningKeyRecord) -> Value {
    json!({"publicJwk": key.public_jwk, "state": key.state.as_str()})
}
