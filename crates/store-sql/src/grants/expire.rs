//! What is over goes, a few rows at a time (req: T5).

use sea_orm::ConnectionTrait;
use store::Result;

use crate::entity::{code, device_code, grant, pushed_request, refresh_token, session};
use crate::rows::{delete_expired, signed};

/// Each kind is a statement and so a transaction of its own: what is over needs nothing of the others.
pub(super) async fn all(db: &impl ConnectionTrait, now_unix_s: u64, limit: u64) -> Result<u64> {
    let now = signed(now_unix_s);
    let mut gone = 0;
    gone +=
        delete_expired::<session::Entity>(db, session::Column::ExpiresUnixS, now, limit).await?;
    gone += delete_expired::<code::Entity>(db, code::Column::ForgetUnixS, now, limit).await?;
    gone += delete_expired::<refresh_token::Entity>(
        db,
        refresh_token::Column::ExpiresUnixS,
        now,
        limit,
    )
    .await?;
    gone +=
        delete_expired::<device_code::Entity>(db, device_code::Column::ExpiresUnixS, now, limit)
            .await?;
    gone += delete_expired::<pushed_request::Entity>(
        db,
        pushed_request::Column::ExpiresUnixS,
        now,
        limit,
    )
    .await?;
    gone += delete_expired::<grant::Entity>(db, grant::Column::ExpiresUnixS, now, limit).await?;
    Ok(gone)
}
