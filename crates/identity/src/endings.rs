//! Grants and sessions end here: their tokens with them, on every node.

use std::time::Instant;

use base::{GrantId, Org, TokensOf};
use store::Batch;

use crate::IdentityState;

impl IdentityState {
    /// Ends all tokens of a grant that is revoked. Also when the grant was revoked before: whoever did that may not have
    /// come as far as this.
    pub(crate) async fn end_tokens_of_grant(&self, org: &Org, grant: GrantId) -> store::Result<()> {
        self.end_tokens(org, "system", TokensOf::Grant(grant)).await
    }

    /// Ends all tokens of something, and waits until the nodes know, as long as they are waited for.
    ///
    /// # Errors
    /// The store's. A node that is late is none: the end is stored, and the node learns of it.
    pub(crate) async fn end_tokens(
        &self,
        org: &Org,
        actor: &str,
        of: TokensOf,
    ) -> store::Result<()> {
        let batch = Batch {
            org: org.clone(),
            actor: actor.to_owned(),
            at_unix_ms: self.clock.unix_ms(),
            request: None,
            writes: vec![self.end_of(of)],
        };
        let begun = Instant::now();
        let revision = self.store.commit(batch).await?;
        if let Err(error) = self.acknowledged.acknowledged(revision).await {
            tracing::warn!(
                revision = error.revision,
                "the end of tokens is stored but not yet served"
            );
        } else {
            self.metrics.revocations.add(begun.elapsed());
        }
        self.metrics.tokens_revoked.count();
        Ok(())
    }
}
