//! The last use of API keys, as nodes tell it with their usage.

use base::KeyMark;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter};
use store::Result;
use usage::{Batch, KeyUse};

use super::ROWS_PER_STATEMENT;
use crate::entity::{credential, credential_secret};
use crate::rows::{database, digest, signed};

/// Notes the uses of a batch: at the beginning of its interval, unless a later use is known. What is not there any more is
/// passed over.
pub(super) async fn note(db: &impl ConnectionTrait, batch: &Batch) -> Result<()> {
    let at = signed(batch.from_unix_ms / 1000);
    for uses in batch.keys.chunks(ROWS_PER_STATEMENT) {
        let ids: Vec<_> = uses.iter().map(|used| used.credential.0).collect();
        macro_rules! note {
            ($table:ident, $ids:expr) => {
                $table::Entity::update_many()
                    .col_expr($table::Column::UsedUnixS, Expr::value(at))
                    .filter($table::Column::Id.is_in($ids))
                    .filter(
                        Condition::any()
                            .add($table::Column::UsedUnixS.is_null())
                            .add($table::Column::UsedUnixS.lt(at)),
                    )
                    .exec(db)
                    .await
                    .map_err(database)?;
            };
        }
        note!(credential, ids.iter().copied());
        let texts = credential_secret::Entity::find()
            .filter(credential_secret::Column::CredentialId.is_in(ids))
            .all(db)
            .await
            .map_err(database)?;
        let mut used = Vec::new();
        for text in texts {
            if is_used(uses, &text)? {
                used.push(text.id);
            }
        }
        note!(credential_secret, used);
    }
    Ok(())
}

fn is_used(uses: &[KeyUse], text: &credential_secret::Model) -> Result<bool> {
    let mark = KeyMark::of(&digest(&text.hash, "a secret")?);
    Ok(uses
        .iter()
        .any(|used| used.credential.0 == text.credential_id && used.mark == mark))
}
