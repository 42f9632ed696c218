//! Clients, API keys, their secrets, and registration tokens.

use std::collections::HashMap;

use async_trait::async_trait;
use base::{ApplicationId, CredentialId, Digest, Org, RegistrationTokenId, SecretId};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, Select, TransactionTrait,
};
use serde_json::json;
use store::{
    ChangeKey, Client, ClientStore, Credential, CredentialKind, CredentialSecret, CredentialUse,
    HistoryKind, RegistrationToken, Result, StoreError,
};
use uuid::Uuid;

use crate::SqlStore;
use crate::audit::{self, Sides};
use crate::commit::{Writer, taken};
use crate::entity::{credential, credential_secret, registration_token};
use crate::rows::{bytes, corrupt, database, digest, signed, unsigned};

fn to_credential(credential: &Credential) -> Result<credential::Model> {
    let what = || format!("credential {}", credential.id);
    let (client_id, issuer, registration, settings) = match &credential.kind {
        CredentialKind::Client(client) => (
            Some(client.client_id.clone()),
            client.issuer.clone(),
            client.registration.map(bytes),
            serde_json::to_string(&client.metadata),
        ),
        CredentialKind::ApiKey(limits) => {
            (None, String::new(), None, serde_json::to_string(limits))
        }
    };
    Ok(credential::Model {
        id: credential.id.0,
        org: credential.org.as_str().to_owned(),
        application_id: credential.application.0,
        client_id,
        created_unix_ms: signed(credential.created_unix_ms),
        expires_unix_s: credential.expires_unix_s.map(signed),
        environment: credential.environment.as_str().to_owned(),
        name: credential.name.clone(),
        settings: settings.map_err(|_| corrupt(&what()))?,
        issuer,
        registration,
        updated_unix_ms: signed(credential.updated_unix_ms),
        used_unix_s: credential.used_unix_s.map(signed),
    })
}

fn from_credential(
    model: credential::Model,
    mut secrets: Vec<credential_secret::Model>,
) -> Result<Credential> {
    let what = format!("credential {}", model.id);
    let seconds = |seconds: Option<i64>| seconds.map(|at| unsigned(at, &what)).transpose();
    let kind = match model.client_id {
        Some(client_id) => CredentialKind::Client(Box::new(Client {
            client_id,
            issuer: model.issuer,
            registration: match &model.registration {
                Some(bytes) => Some(digest(bytes, &what)?),
                None => None,
            },
            metadata: serde_json::from_str(&model.settings).map_err(|_| corrupt(&what))?,
        })),
        None => CredentialKind::ApiKey(
            serde_json::from_str(&model.settings).map_err(|_| corrupt(&what))?,
        ),
    };
    secrets.sort_by_key(|secret| (secret.created_unix_ms, secret.id));
    Ok(Credential {
        id: CredentialId(model.id),
        org: Org::new(&model.org),
        application: ApplicationId(model.application_id),
        name: model.name,
        kind,
        environment: model.environment.parse().map_err(|_| corrupt(&what))?,
        created_unix_ms: unsigned(model.created_unix_ms, &what)?,
        updated_unix_ms: unsigned(model.updated_unix_ms, &what)?,
        expires_unix_s: seconds(model.expires_unix_s)?,
        used_unix_s: seconds(model.used_unix_s)?,
        secrets: secrets
            .into_iter()
            .map(from_secret)
            .collect::<Result<_>>()?,
    })
}

fn to_secret(credential: CredentialId, secret: &CredentialSecret) -> credential_secret::Model {
    credential_secret::Model {
        id: secret.id.0,
        credential_id: credential.0,
        hash: bytes(secret.hash),
        prefix: secret.prefix.clone(),
        created_unix_ms: signed(secret.created_unix_ms),
        expires_unix_s: secret.expires_unix_s.map(signed),
        used_unix_s: secret.used_unix_s.map(signed),
    }
}

fn from_secret(model: credential_secret::Model) -> Result<CredentialSecret> {
    let what = format!("secret {}", model.id);
    let seconds = |seconds: Option<i64>| seconds.map(|at| unsigned(at, &what)).transpose();
    Ok(CredentialSecret {
        id: SecretId(model.id),
        hash: digest(&model.hash, &what)?,
        created_unix_ms: unsigned(model.created_unix_ms, &what)?,
        expires_unix_s: seconds(model.expires_unix_s)?,
        used_unix_s: seconds(model.used_unix_s)?,
        prefix: model.prefix,
    })
}

fn from_registration_token(model: registration_token::Model) -> Result<RegistrationToken> {
    let what = format!("registration token {}", model.id);
    Ok(RegistrationToken {
        id: RegistrationTokenId(model.id),
        org: Org::new(&model.org),
        hash: digest(&model.hash, &what)?,
        uses_left: unsigned(model.uses_left, &what)?,
        created_unix_ms: unsigned(model.created_unix_ms, &what)?,
        expires_unix_s: unsigned(model.expires_unix_s, &what)?,
        name: model.name,
        owner: model.owner,
    })
}

/// A credential with its secrets.
async fn one(
    db: &impl ConnectionTrait,
    query: Select<credential::Entity>,
) -> Result<Option<Credential>> {
    let Some(model) = query.one(db).await.map_err(database)? else {
        return Ok(None);
    };
    let secrets = credential_secret::Entity::find()
        .filter(credential_secret::Column::CredentialId.eq(model.id))
        .all(db)
        .await
        .map_err(database)?;
    from_credential(model, secrets).map(Some)
}

/// Credentials that meet a condition, oldest first, with their secrets: two queries, however many there are.
async fn several(db: &impl ConnectionTrait, condition: Condition) -> Result<Vec<Credential>> {
    let secrets = credential_secret::Entity::find();
    let secrets = if condition.is_empty() {
        secrets
    } else {
        secrets.filter(credential_secret::Column::CredentialId.in_subquery(ids(condition.clone())))
    };
    let mut of: HashMap<Uuid, Vec<credential_secret::Model>> = HashMap::new();
    for secret in secrets.all(db).await.map_err(database)? {
        of.entry(secret.credential_id).or_default().push(secret);
    }
    credential::Entity::find()
        .filter(condition)
        .order_by_asc(credential::Column::CreatedUnixMs)
        .order_by_asc(credential::Column::Id)
        .all(db)
        .await
        .map_err(database)?
        .into_iter()
        .map(|model| {
            let secrets = of.remove(&model.id).unwrap_or_default();
            from_credential(model, secrets)
        })
        .collect()
}

/// The ids of the credentials that meet a condition.
fn ids(condition: Condition) -> SelectStatement {
    Query::select()
        .column(credential::Column::Id)
        .from(credential::Entity)
        .cond_where(condition)
        .take()
}

#[async_trait]
impl ClientStore for SqlStore {
    async fn client_get(&self, client_id: &str) -> Result<Option<Credential>> {
        let query = credential::Entity::find()
            .filter(credential::Column::ClientId.eq(client_id))
            .filter(credential::Column::Issuer.eq(store::RESIDENT));
        one(&self.readers, query).await
    }

    async fn credential_get(&self, org: &Org, id: CredentialId) -> Result<Option<Credential>> {
        let query =
            credential::Entity::find_by_id(id.0).filter(credential::Column::Org.eq(org.as_str()));
        one(&self.readers, query).await
    }

    async fn credential_list(&self, application: Option<ApplicationId>) -> Result<Vec<Credential>> {
        let of = application.map(|id| credential::Column::ApplicationId.eq(id.0));
        let condition = Condition::all();
        let condition = match of {
            Some(of) => condition.add(of),
            None => condition,
        };
        several(&self.readers, condition).await
    }

    async fn credential_list_ending(
        &self,
        org: &Org,
        from_unix_s: u64,
        until_unix_s: u64,
    ) -> Result<Vec<Credential>> {
        let (from, until) = (signed(from_unix_s), signed(until_unix_s));
        let secrets = Query::select()
            .column(credential_secret::Column::CredentialId)
            .from(credential_secret::Entity)
            .and_where(credential_secret::Column::ExpiresUnixS.gte(from))
            .and_where(credential_secret::Column::ExpiresUnixS.lt(until))
            .take();
        let own = Condition::all()
            .add(credential::Column::ExpiresUnixS.gte(from))
            .add(credential::Column::ExpiresUnixS.lt(until));
        let ending = Condition::any()
            .add(own)
            .add(credential::Column::Id.in_subquery(secrets));
        let condition = Condition::all()
            .add(credential::Column::Org.eq(org.as_str()))
            .add(ending);
        several(&self.readers, condition).await
    }

    async fn credentials_used(&self, uses: &[CredentialUse]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let db = self.writer.begin().await.map_err(database)?;
        for used in uses {
            let at = signed(used.at_unix_s);
            macro_rules! note {
                ($table:ident, $id:expr) => {
                    $table::Entity::update_many()
                        .col_expr($table::Column::UsedUnixS, Expr::value(at))
                        .filter($table::Column::Id.eq($id))
                        .filter(
                            Condition::any()
                                .add($table::Column::UsedUnixS.is_null())
                                .add($table::Column::UsedUnixS.lt(at)),
                        )
                        .exec(&db)
                        .await
                        .map_err(database)?;
                };
            }
            note!(credential, used.credential.0);
            if let Some(secret) = used.secret {
                note!(credential_secret, secret.0);
            }
        }
        db.commit().await.map_err(database)
    }

    async fn registration_token_get(&self, hash: &Digest) -> Result<Option<RegistrationToken>> {
        registration_token::Entity::find()
            .filter(registration_token::Column::Hash.eq(bytes(*hash)))
            .one(&self.readers)
            .await
            .map_err(database)?
            .map(from_registration_token)
            .transpose()
    }

    async fn registration_token_list(&self, org: &Org) -> Result<Vec<RegistrationToken>> {
        registration_token::Entity::find()
            .filter(registration_token::Column::Org.eq(org.as_str()))
            .order_by_asc(registration_token::Column::CreatedUnixMs)
            .order_by_asc(registration_token::Column::Id)
            .all(&self.readers)
            .await
            .map_err(database)?
            .into_iter()
            .map(from_registration_token)
            .collect()
    }
}

impl Writer<'_> {
    pub(crate) async fn credential_put(&mut self, credential: Credential) -> Result<()> {
        let id = credential.id;
        let what = named(&credential);
        self.org_must_match(&credential.org, &what)?;
        let application = self.application_must_exist(credential.application).await?;
        let row = to_credential(&credential)?;
        credential::Entity::insert(row.into_active_model())
            .exec_without_returning(self.db)
            .await
            .map_err(|error| taken(error, &what))?;
        self.secrets_insert(id, &credential.secrets, &what).await?;
        self.change(ChangeKey::Credential(id));
        let after = audit::credential(&credential, &application);
        self.log(
            HistoryKind::Credential,
            &id.to_string(),
            Sides::after(after),
        )
        .await
    }

    async fn secrets_insert(
        &self,
        id: CredentialId,
        secrets: &[CredentialSecret],
        what: &str,
    ) -> Result<()> {
        for secret in secrets {
            credential_secret::Entity::insert(to_secret(id, secret).into_active_model())
                .exec_without_returning(self.db)
                .await
                .map_err(|error| taken(error, what))?;
        }
        Ok(())
    }

    /// The credential as it is stored, of this organisation.
    async fn credential_present(
        &self,
        application: ApplicationId,
        id: CredentialId,
    ) -> Result<Credential> {
        let query = credential::Entity::find_by_id(id.0)
            .filter(credential::Column::ApplicationId.eq(application.0))
            .filter(credential::Column::Org.eq(self.org.as_str()));
        one(self.db, query)
            .await?
            .ok_or_else(|| StoreError::Missing(format!("credential {id}")))
    }

    pub(crate) async fn credential_replace(&mut self, mut new: Credential) -> Result<()> {
        let old = self.credential_present(new.application, new.id).await?;
        let what = named(&old);
        let same = match (&old.kind, &new.kind) {
            (CredentialKind::Client(old), CredentialKind::Client(new)) => {
                old.client_id == new.client_id && old.issuer == new.issuer
            }
            (CredentialKind::ApiKey(_), CredentialKind::ApiKey(_)) => true,
            _ => false,
        };
        if !same {
            return Err(StoreError::Missing(format!("{} of that kind", named(&new))));
        }
        let application = self.application_must_exist(old.application).await?;
        new.org = old.org.clone();
        new.created_unix_ms = old.created_unix_ms;
        new.used_unix_s = old.used_unix_s;
        for secret in &mut new.secrets {
            let kept = old.secrets.iter().find(|kept| kept.id == secret.id);
            secret.used_unix_s = kept.and_then(|kept| kept.used_unix_s);
        }
        let row = to_credential(&new)?.into_active_model();
        credential::Entity::update(row.reset_all())
            .exec(self.db)
            .await
            .map_err(database)?;
        self.secrets_delete(Condition::all().add(credential::Column::Id.eq(old.id.0)))
            .await?;
        self.secrets_insert(new.id, &new.secrets, &what).await?;
        self.change(ChangeKey::Credential(new.id));
        let sides = Sides {
            before: Some(audit::credential(&old, &application)),
            after: Some(audit::credential(&new, &application)),
            ..Sides::default()
        };
        self.log(HistoryKind::Credential, &new.id.to_string(), sides)
            .await
    }

    pub(crate) async fn credential_delete(
        &mut self,
        application: ApplicationId,
        id: CredentialId,
    ) -> Result<()> {
        let present = self.credential_present(application, id).await?;
        let name = self.application_must_exist(application).await?;
        self.secrets_delete(Condition::all().add(credential::Column::Id.eq(id.0)))
            .await?;
        credential::Entity::delete_by_id(id.0)
            .exec(self.db)
            .await
            .map_err(database)?;
        self.credential_gone(&present, &name).await
    }

    /// Deletes all credentials of an application, each with its own change.
    pub(crate) async fn credentials_delete(
        &mut self,
        application: ApplicationId,
        name: &str,
    ) -> Result<()> {
        let of = Condition::all().add(credential::Column::ApplicationId.eq(application.0));
        let mut credentials = several(self.db, of.clone()).await?;
        credentials.sort_by_key(|credential| credential.id);
        for credential in credentials {
            self.credential_gone(&credential, name).await?;
        }
        self.secrets_delete(of.clone()).await?;
        credential::Entity::delete_many()
            .filter(of)
            .exec(self.db)
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Deletes the secrets of the credentials that meet a condition.
    async fn secrets_delete(&self, of: Condition) -> Result<()> {
        credential_secret::Entity::delete_many()
            .filter(credential_secret::Column::CredentialId.in_subquery(ids(of)))
            .exec(self.db)
            .await
            .map_err(database)?;
        Ok(())
    }

    async fn credential_gone(&mut self, credential: &Credential, application: &str) -> Result<()> {
        self.change(ChangeKey::Credential(credential.id));
        let before = audit::credential(credential, application);
        let name = credential.id.to_string();
        self.log(HistoryKind::Credential, &name, Sides::before(before))
            .await
    }

    pub(crate) async fn registration_token_put(&mut self, token: RegistrationToken) -> Result<()> {
        let what = format!("registration token {}", token.id);
        self.org_must_match(&token.org, &what)?;
        let after = audit::registration_token(&token);
        let row = registration_token::Model {
            id: token.id.0,
            org: token.org.as_str().to_owned(),
            name: token.name,
            hash: bytes(token.hash),
            uses_left: signed(token.uses_left),
            owner: token.owner,
            created_unix_ms: signed(token.created_unix_ms),
            expires_unix_s: signed(token.expires_unix_s),
        };
        registration_token::Entity::insert(row.into_active_model())
            .exec_without_returning(self.db)
            .await
            .map_err(|error| taken(error, &what))?;
        self.changed = true;
        let name = token.id.to_string();
        self.log(HistoryKind::RegistrationToken, &name, Sides::after(after))
            .await
    }

    async fn registration_token_present(
        &self,
        id: RegistrationTokenId,
    ) -> Result<RegistrationToken> {
        registration_token::Entity::find_by_id(id.0)
            .filter(registration_token::Column::Org.eq(self.org.as_str()))
            .one(self.db)
            .await
            .map_err(database)?
            .map(from_registration_token)
            .transpose()?
            .ok_or_else(|| StoreError::Missing(format!("registration token {id}")))
    }

    pub(crate) async fn registration_token_use(&mut self, id: RegistrationTokenId) -> Result<()> {
        let taken = registration_token::Entity::update_many()
            .col_expr(
                registration_token::Column::UsesLeft,
                Expr::col(registration_token::Column::UsesLeft).sub(1),
            )
            .filter(registration_token::Column::Id.eq(id.0))
            .filter(registration_token::Column::Org.eq(self.org.as_str()))
            .filter(registration_token::Column::UsesLeft.gt(0))
            .exec(self.db)
            .await
            .map_err(database)?;
        if taken.rows_affected == 0 {
            return Err(StoreError::Missing(format!(
                "a use of registration token {id}"
            )));
        }
        self.changed = true;
        let token = self.registration_token_present(id).await?;
        let (mut before, after) = (
            audit::registration_token(&token),
            audit::registration_token(&token),
        );
        before["usesLeft"] = json!(token.uses_left + 1);
        let sides = Sides {
            before: Some(before),
            after: Some(after),
            ..Sides::default()
        };
        self.log(HistoryKind::RegistrationToken, &id.to_string(), sides)
            .await
    }

    pub(crate) async fn registration_token_delete(
        &mut self,
        id: RegistrationTokenId,
    ) -> Result<()> {
        let token = self.registration_token_present(id).await?;
        registration_token::Entity::delete_by_id(id.0)
            .exec(self.db)
            .await
            .map_err(database)?;
        self.changed = true;
        let before = audit::registration_token(&token);
        self.log(
            HistoryKind::RegistrationToken,
            &id.to_string(),
            Sides::before(before),
        )
        .await
    }
}

/// How errors name a credential.
fn named(credential: &Credential) -> String {
    match &credential.kind {
        CredentialKind::Client(client) => format!("client {}", client.client_id),
        CredentialKind::ApiKey(_) => format!("API key {}", credential.id),
    }
}
