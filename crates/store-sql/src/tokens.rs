//! Ends of tokens, opaque tokens, and what may be used once.
//!
//! All but [`Writer::tokens_end`] stands apart from revisions: a token endpoint writes it with every answer, so it is one
//! statement, and nobody follows it.

use async_trait::async_trait;
use base::{Digest, TokenMarks, TokensOf};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use serde_json::json;
use store::{ChangeKey, HistoryKind, OpaqueToken, Result, StoreError, TokenStore, Watermark};

use crate::SqlStore;
use crate::audit::Sides;
use crate::commit::Writer;
use crate::entity::{opaque_token, revocation, used_once, watermark};
use crate::rows::{database, delete_expired, digest, json as from_json, signed, unsigned};

fn from_watermark(model: &watermark::Model) -> Result<Watermark> {
    let what = format!("the end of the tokens of {}", model.id);
    Ok(Watermark {
        of: model
            .id
            .parse()
            .map_err(|_| StoreError::Corrupt(what.clone()))?,
        revision: unsigned(model.revision, &what)?,
        expires_unix_s: unsigned(model.expires_unix_s, &what)?,
    })
}

impl Writer<'_> {
    /// Ends tokens; those about a user under all names that clients know it by.
    pub(crate) async fn tokens_end(&mut self, of: TokensOf, expires_unix_s: u64) -> Result<()> {
        if let TokensOf::User(user) = of {
            for subject in self.subjects_of(user).await? {
                let of = TokensOf::Subject(subject);
                self.tokens_of_end(of, expires_unix_s).await?;
            }
        }
        self.tokens_of_end(of, expires_unix_s).await
    }

    /// What has ended for ever stays as it is, unless it is to be remembered longer; the others end anew.
    async fn tokens_of_end(&mut self, of: TokensOf, expires_unix_s: u64) -> Result<()> {
        let present = watermark::Entity::find_by_id(of.to_string())
            .one(self.db)
            .await
            .map_err(database)?
            .map(|model| from_watermark(&model))
            .transpose()?;
        let kept = present.as_ref().map_or(0, |old| old.expires_unix_s);
        if present.is_some() && !of.goes_on() && kept >= expires_unix_s {
            return Ok(());
        }
        let row = watermark::Model {
            id: of.to_string(),
            revision: signed(self.revision),
            expires_unix_s: signed(kept.max(expires_unix_s)),
        };
        let replace = OnConflict::column(watermark::Column::Id)
            .update_columns([watermark::Column::Revision, watermark::Column::ExpiresUnixS])
            .to_owned();
        watermark::Entity::insert(row.into_active_model())
            .on_conflict(replace)
            .exec_without_returning(self.db)
            .await
            .map_err(database)?;
        let after = json!({ "expiresUnixS": expires_unix_s });
        self.log(HistoryKind::Token, &of.to_string(), Sides::after(after))
            .await?;
        self.change(ChangeKey::TokensEnd(of));
        Ok(())
    }
}

#[async_trait]
impl TokenStore for SqlStore {
    async fn watermark_get(&self, of: &TokensOf) -> Result<Option<Watermark>> {
        watermark::Entity::find_by_id(of.to_string())
            .one(&self.readers)
            .await
            .map_err(database)?
            .map(|model| from_watermark(&model))
            .transpose()
    }

    async fn watermark_list(&self, now_unix_s: u64) -> Result<Vec<Watermark>> {
        watermark::Entity::find()
            .filter(watermark::Column::ExpiresUnixS.gt(signed(now_unix_s)))
            .order_by_asc(watermark::Column::Id)
            .all(&self.readers)
            .await
            .map_err(database)?
            .iter()
            .map(from_watermark)
            .collect()
    }

    async fn token_ended(&self, marks: &TokenMarks) -> Result<bool> {
        let revoked = revocation::Entity::find()
            .filter(revocation::Column::Jti.is_in(marks.ids()))
            .one(&self.readers)
            .await
            .map_err(database)?;
        if revoked.is_some() {
            return Ok(true);
        }
        let ids = marks.of.iter().map(TokensOf::to_string);
        let found = watermark::Entity::find()
            .filter(watermark::Column::Id.is_in(ids))
            .all(&self.readers)
            .await
            .map_err(database)?;
        for model in &found {
            let end = from_watermark(model)?;
            if marks.ended_by(&end.of, end.revision) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn opaque_put(&self, token: &OpaqueToken) -> Result<()> {
        let row = opaque_token::Model {
            digest: token.digest.as_bytes().to_vec(),
            claims: token.claims.to_string(),
            expires_unix_s: signed(token.expires_unix_s),
        };
        opaque_token::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.writer)
            .await
            .map_err(database)?;
        Ok(())
    }

    async fn opaque_get(&self, wanted: &Digest) -> Result<Option<OpaqueToken>> {
        let what = "an opaque token";
        opaque_token::Entity::find_by_id(wanted.as_bytes().to_vec())
            .one(&self.readers)
            .await
            .map_err(database)?
            .map(|model| {
                Ok(OpaqueToken {
                    digest: digest(&model.digest, what)?,
                    claims: from_json(&model.claims, what)?,
                    expires_unix_s: unsigned(model.expires_unix_s, what)?,
                })
            })
            .transpose()
    }

    async fn use_once(&self, digest: &Digest, expires_unix_s: u64) -> Result<bool> {
        let row = used_once::ActiveModel {
            digest: ActiveValue::Set(digest.as_bytes().to_vec()),
            expires_unix_s: ActiveValue::Set(signed(expires_unix_s)),
        };
        let inserted = used_once::Entity::insert(row)
            .on_conflict(
                OnConflict::column(used_once::Column::Digest)
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await;
        match inserted {
            Ok(rows) => Ok(rows > 0),
            Err(sea_orm::DbErr::RecordNotInserted) => Ok(false),
            Err(error) => Err(database(error)),
        }
    }

    async fn tokens_expire(&self, before_unix_s: u64, limit: u64) -> Result<u64> {
        let db = &self.writer;
        let before = signed(before_unix_s);
        let mut most = 0;
        most = most.max(
            delete_expired::<watermark::Entity>(db, watermark::Column::ExpiresUnixS, before, limit)
                .await?,
        );
        most = most.max(
            delete_expired::<opaque_token::Entity>(
                db,
                opaque_token::Column::ExpiresUnixS,
                before,
                limit,
            )
            .await?,
        );
        most = most.max(
            delete_expired::<used_once::Entity>(db, used_once::Column::ExpiresUnixS, before, limit)
                .await?,
        );
        Ok(most)
    }
}
