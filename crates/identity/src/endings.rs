//! Grants, consents and sessions end here: their tokens with them, on every node.

use std::time::Instant;

use base::{GrantId, Org, SessionId, TokensOf};
use credentials::REVOCATION_MARGIN_S;
use store::{Batch, StoreError, Write};

use crate::IdentityState;

impl IdentityState {
    /// Ends all tokens of a grant that is revoked. Also when the grant was revoked before: whoever did that may not have
    /// come as far as this.
    pub(crate) async fn end_tokens_of_grant(&self, org: &Org, grant: GrantId) -> store::Result<()> {
        let write = self.end_of(TokensOf::Grant(grant));
        self.end(org, "system", None, write).await
    }

    /// Ends a session in somebody's name; that it is over already is as good.
    pub(crate) async fn end_session_of(
        &self,
        org: &Org,
        actor: &str,
        request: Option<String>,
        sid: SessionId,
    ) -> store::Result<()> {
        let write = Write::SessionEnd {
            sid,
            expires_unix_s: self.ends_unix_s(),
        };
        match self.end(org, actor, request, write).await {
            Err(StoreError::Missing(_)) => return Ok(()),
            other => other?,
        }
        self.metrics.logouts.count();
        Ok(())
    }

    /// Ends something in somebody's name, and waits until the nodes know, as long as they are waited for.
    ///
    /// # Errors
    /// The store's. A node that is late is none: the end is stored, and the node learns of it.
    pub(crate) async fn end(
        &self,
        org: &Org,
        actor: &str,
        request: Option<String>,
        write: Write,
    ) -> store::Result<()> {
        let batch = Batch {
            org: org.clone(),
            actor: actor.to_owned(),
            at_unix_ms: self.clock.unix_ms(),
            request,
            writes: vec![write],
        };
        let begun = Instant::now();
        let revision = self.store.commit(batch).await?;
        if let Some(sender) = &self.people.logouts {
            sender.wake.notify_one();
        }
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

    /// The end of all tokens of something, remembered for as long as one of them could last.
    pub(crate) fn end_of(&self, of: TokensOf) -> Write {
        Write::TokensEnd {
            of,
            expires_unix_s: self.ends_unix_s(),
        }
    }

    /// When the last token that there is now will have expired, in seconds since 1970.
    pub(crate) fn ends_unix_s(&self) -> u64 {
        let lasts_s = self.tokens.config().lifetime_max_s + REVOCATION_MARGIN_S;
        self.clock.unix_s().saturating_add(lasts_s)
    }
}
