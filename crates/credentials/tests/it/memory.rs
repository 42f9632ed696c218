//! A store that keeps what this crate writes, in memory, and can be told to fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use base::{ApplicationId, CredentialId, Digest, Org, TokenMarks, TokensOf};
use serde_json::Value;
use store::{
    ApiRevision, Batch, Changes, ClientStore, Credential, CredentialStore, CredentialUse, Expect,
    Filter, HistoryEntry, HistoryFilter, NodeRecord, NodeStore, Notice, NoticeStore, OpaqueToken,
    Page, Record, RecordKind, RegistrationToken, ResourceStore, Result, RevisionStore, Revocation,
    SigningKeyRecord, Store, StoreError, TokenStore, Turn, User, Watermark, Write,
};
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct Memory {
    rows: Mutex<Rows>,
    turn: Arc<tokio::sync::Mutex<()>>,
    pub(crate) failing: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) users: Vec<User>,
    pub(crate) credentials: Vec<Credential>,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) ends: Vec<Watermark>,
    pub(crate) opaque: Vec<OpaqueToken>,
    pub(crate) used: Vec<Digest>,
    /// Oldest first.
    pub(crate) signing_keys: Vec<SigningKeyRecord>,
    pub(crate) revision: u64,
}

impl Memory {
    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    fn answering(&self) -> Result<MutexGuard<'_, Rows>> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Database("told to fail".into()));
        }
        Ok(self.rows())
    }
}

#[async_trait]
impl Store for Memory {
    async fn commit(&self, batch: Batch) -> Result<u64> {
        let mut rows = self.answering()?;
        for write in batch.writes {
            match write {
                Write::UserPut(user, expect) => {
                    let there = rows.users.iter().position(|old| old.name == user.name);
                    match (there, expect) {
                        (Some(_), Expect::Absent) => return Err(StoreError::Exists(user.name)),
                        (Some(index), _) => rows.users[index] = user,
                        (None, _) => rows.users.push(user),
                    }
                }
                Write::UserDelete(name) => rows.users.retain(|user| user.name != name),
                Write::CredentialPut(credential) => rows.credentials.push(credential),
                Write::RevocationPut(revocation) => rows.revocations.push(revocation),
                Write::TokensEnd { of, expires_unix_s } => {
                    let revision = rows.revision + 1;
                    rows.ends.push(Watermark {
                        of,
                        revision,
                        expires_unix_s,
                    });
                }
                Write::SigningKeyPut(key) => {
                    match rows.signing_keys.iter_mut().find(|old| old.kid == key.kid) {
                        Some(old) => *old = key,
                        None => rows.signing_keys.push(key),
                    }
                }
                Write::SigningKeyDelete(kid) => rows.signing_keys.retain(|key| key.kid != kid),
                other => panic!("this crate does not write {other:?}"),
            }
        }
        rows.revision += 1;
        Ok(rows.revision)
    }

    async fn revision(&self) -> Result<u64> {
        Ok(self.answering()?.revision)
    }

    async fn changes_since(&self, _since: u64, _limit: u64) -> Result<Changes> {
        unreachable!("this crate does not read the feed")
    }

    async fn changed(&self, _since: u64) {
        unreachable!("this crate does not follow the feed")
    }

    async fn turn(&self) -> Result<Turn> {
        Ok(Turn::new(Arc::clone(&self.turn).lock_owned().await))
    }

    async fn revocations_expire(&self, _before_unix_s: u64, _limit: u64) -> Result<u64> {
        unreachable!("this crate forgets nothing")
    }
}

#[async_trait]
impl ResourceStore for Memory {
    async fn record_get(&self, _: &Org, _: RecordKind, _: &str) -> Result<Option<Record>> {
        unreachable!("this crate knows nothing of documents")
    }

    async fn record_list(
        &self,
        _: &Org,
        _: RecordKind,
        _: &Filter,
        _: &Page,
    ) -> Result<Vec<Record>> {
        unreachable!("this crate knows nothing of documents")
    }

    async fn history_list(&self, _: &Org, _: &HistoryFilter) -> Result<Vec<HistoryEntry>> {
        unreachable!("this crate knows nothing of documents")
    }

    async fn org_list(&self) -> Result<Vec<Org>> {
        unreachable!("this crate knows nothing of documents")
    }

    async fn blob_get(&self, _: &Digest) -> Result<Option<Arc<[u8]>>> {
        unreachable!("this crate knows nothing of documents")
    }
}

#[async_trait]
impl RevisionStore for Memory {
    async fn api_revision_get(
        &self,
        _: &Org,
        _: &str,
        _: u64,
    ) -> Result<Option<(ApiRevision, Value)>> {
        unreachable!("this crate knows nothing of APIs")
    }

    async fn api_revision_list(
        &self,
        _: &Org,
        _: &str,
        _: Option<u64>,
        _: u64,
    ) -> Result<Vec<ApiRevision>> {
        unreachable!("this crate knows nothing of APIs")
    }
}

#[async_trait]
impl NodeStore for Memory {
    async fn node_put(&self, _: &[NodeRecord]) -> Result<()> {
        unreachable!("this crate knows nothing of nodes")
    }

    async fn node_list(&self) -> Result<Vec<NodeRecord>> {
        unreachable!("this crate knows nothing of nodes")
    }

    async fn node_expire(&self, _: u64) -> Result<()> {
        unreachable!("this crate knows nothing of nodes")
    }
}

#[async_trait]
impl CredentialStore for Memory {
    async fn user_get(&self, org: &Org, name: &str) -> Result<Option<User>> {
        let rows = self.answering()?;
        let found = rows
            .users
            .iter()
            .find(|user| user.org == *org && user.name == name);
        Ok(found.cloned())
    }

    async fn user_list(&self, org: &Org) -> Result<Vec<User>> {
        let rows = self.answering()?;
        Ok(rows
            .users
            .iter()
            .filter(|user| user.org == *org)
            .cloned()
            .collect())
    }

    async fn revocation_get(&self, jti: &str) -> Result<Option<Revocation>> {
        let rows = self.answering()?;
        Ok(rows.revocations.iter().find(|row| row.jti == jti).cloned())
    }

    async fn revocation_list(&self, _: u64) -> Result<Vec<Revocation>> {
        Ok(self.answering()?.revocations.clone())
    }

    async fn signing_key_list(&self) -> Result<Vec<SigningKeyRecord>> {
        Ok(self
            .answering()?
            .signing_keys
            .iter()
            .rev()
            .cloned()
            .collect())
    }
}

#[async_trait]
impl TokenStore for Memory {
    async fn watermark_get(&self, of: &TokensOf) -> Result<Option<Watermark>> {
        let rows = self.answering()?;
        Ok(rows.ends.iter().rev().find(|end| end.of == *of).cloned())
    }

    async fn watermark_list(&self, _: u64) -> Result<Vec<Watermark>> {
        Ok(self.answering()?.ends.clone())
    }

    async fn token_ended(&self, marks: &TokenMarks) -> Result<bool> {
        let rows = self.answering()?;
        let mut revoked = rows.revocations.iter();
        let by_id = revoked.any(|row| marks.ids().any(|id| id == row.jti));
        let ends =
            |end: &Watermark| marks.of.contains(&end.of) && marks.ended_by(&end.of, end.revision);
        Ok(by_id || rows.ends.iter().any(ends))
    }

    async fn opaque_put(&self, token: &OpaqueToken) -> Result<()> {
        self.answering()?.opaque.push(token.clone());
        Ok(())
    }

    async fn opaque_get(&self, digest: &Digest) -> Result<Option<OpaqueToken>> {
        let rows = self.answering()?;
        Ok(rows
            .opaque
            .iter()
            .find(|row| row.digest == *digest)
            .cloned())
    }

    async fn use_once(&self, digest: &Digest, _: u64) -> Result<bool> {
        let mut rows = self.answering()?;
        let fresh = !rows.used.contains(digest);
        if fresh {
            rows.used.push(*digest);
        }
        Ok(fresh)
    }

    async fn tokens_expire(&self, _: u64, _: u64) -> Result<u64> {
        unreachable!("this crate forgets nothing")
    }
}

#[async_trait]
impl ClientStore for Memory {
    async fn client_get(&self, wanted: &str) -> Result<Option<Credential>> {
        let rows = self.answering()?;
        let found = rows.credentials.iter().find(|credential| {
            credential
                .client()
                .is_some_and(|client| client.client_id == wanted)
        });
        Ok(found.cloned())
    }

    async fn credential_get(&self, _: &Org, id: CredentialId) -> Result<Option<Credential>> {
        let rows = self.answering()?;
        Ok(rows
            .credentials
            .iter()
            .find(|credential| credential.id == id)
            .cloned())
    }

    async fn credential_list(&self, _: Option<ApplicationId>) -> Result<Vec<Credential>> {
        Ok(self.answering()?.credentials.clone())
    }

    async fn credential_list_ending(&self, _: &Org, _: u64, _: u64) -> Result<Vec<Credential>> {
        unreachable!("this crate does not ask for it")
    }

    async fn credentials_used(&self, uses: &[CredentialUse]) -> Result<()> {
        let mut rows = self.answering()?;
        for used in uses {
            for row in &mut rows.credentials {
                if row.id == used.credential {
                    row.used_unix_s = Some(used.at_unix_s);
                }
                for secret in &mut row.secrets {
                    if Some(secret.id) == used.secret {
                        secret.used_unix_s = Some(used.at_unix_s);
                    }
                }
            }
        }
        Ok(())
    }

    async fn registration_token_get(&self, _: &Digest) -> Result<Option<RegistrationToken>> {
        unreachable!("this crate does not ask for it")
    }

    async fn registration_token_list(&self, _: &Org) -> Result<Vec<RegistrationToken>> {
        unreachable!("this crate does not ask for it")
    }
}

#[async_trait]
impl NoticeStore for Memory {
    async fn notice_put(&self, _: Vec<Notice>) -> Result<Vec<Notice>> {
        unreachable!("this crate does not ask for it")
    }

    async fn notice_list(&self, _: &Org, _: Option<Uuid>, _: u64) -> Result<Vec<Notice>> {
        unreachable!("this crate does not ask for it")
    }

    async fn notices_expire(&self, _: u64, _: u64) -> Result<u64> {
        unreachable!("this crate does not ask for it")
    }
}
