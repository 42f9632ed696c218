//! One suite of tests for every implementation of [`crate::Store`] and [`crate::UsageStore`].
//!
//! Each behaviour is one function that gets an empty store and panics where the store breaks its word. An
//! implementation runs all of them with [`store_suite!`](crate::store_suite), which needs tokio's test macro in the
//! crate that calls it; this crate itself knows no runtime.
//!
//! What only an implementation can do (reopen, lose power, forget the oldest changes) it tests itself.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a panic is the verdict"
)]

mod clients;
mod credentials;
mod feed;
mod grants;
mod history;
mod nodes;
mod organisations;
mod records;
mod revisions;
mod sessions;
mod tokens;
mod usage;

use base::{ApplicationId, CredentialId, Digest, KeyLimits, Org, SecretId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::record::Links;
use crate::{
    Batch, ChangeKey, Client, ClientMetadata, Credential, CredentialKind, CredentialSecret, Expect,
    Filter, HistoryEntry, HistoryFilter, Page, RESIDENT, Record, RecordKind, Store, StoreError,
    User, Write,
};

use credentials::signing_key;

pub use self::usage::*;
pub use clients::*;
pub use credentials::*;
pub use feed::*;
pub use grants::*;
pub use history::*;
pub use nodes::*;
pub use organisations::*;
pub use records::*;
pub use revisions::*;
pub use sessions::*;
pub use tokens::*;

/// Makes one `#[tokio::test]` of each behaviour.
///
/// The argument is an expression that awaits to `(store, guard)`: something that dereferences to a
/// [`Store`](crate::Store) on an empty database, and whatever has to live as long (a temporary folder, or `()`).
/// It is evaluated anew for each test; several databases are several calls, each in a module of its own.
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::store_suite!(@tests $make;
            empty_store_answers
            record_is_kept_as_written
            record_replaced_keeps_id_and_creation
            equal_put_changes_nothing
            expectations_hold_for_puts
            expectations_hold_for_deletes
            batch_is_all_or_nothing
            batch_is_done_in_order
            list_is_paged_by_name
            list_is_filtered
            history_tells_everything
            application_takes_its_dependants_along
            api_and_plan_take_nothing_along
            organisations_are_apart
            organisations_do_not_share_applications
            blobs_are_kept_once
            every_kind_of_change_is_told
            commits_without_a_change_leave_the_feed_alone
            feed_never_cuts_a_revision
            feed_resets_a_reader_from_the_future
            feed_is_whole_under_concurrent_writers
            one_of_concurrent_expectations_wins
            waiters_are_told_of_commits
            turns_are_taken_one_by_one
            users_are_kept
            credentials_are_kept
            client_ids_and_key_hashes_are_unique
            clients_are_kept_whole
            secrets_change_with_their_credential
            ends_are_listed
            uses_are_noted
            registration_tokens_are_used_up
            registration_tokens_are_used_up_in_a_race
            notices_are_noted_once
            revocations_last_until_they_expire
            revocations_expire_in_parts
            signing_keys_are_kept
            ends_of_tokens_are_kept
            tokens_end_with_what_they_come_of
            opaque_tokens_are_kept
            what_is_used_once_is_used_once
            signing_keys_change_and_go
            api_revisions_are_made_of_new_contents
            api_revisions_outlive_their_api
            api_revisions_fail_with_their_batch
            history_tells_of_what_is_no_document
            history_knows_definitions_and_calls
            history_is_filtered
            nodes_are_kept_until_they_expire
            sessions_are_kept
            sessions_are_listed
            a_session_takes_its_grants_and_tokens_along
            all_sessions_of_a_user_end
            one_of_racing_ends_of_a_session_wins
            consents_are_kept
            consents_go_with_what_they_gave
            grants_begin_by_what_stands
            no_grant_outlives_what_it_goes_by
            waiting_logouts_are_taken_until_they_are_settled
            waiting_logouts_are_taken_by_one
            tokens_of_a_user_end_under_all_names
            a_code_is_used_once
            one_of_racing_codes_wins
            refresh_tokens_rotate
            refresh_tokens_end_their_family
            racing_refreshes_give_siblings
            grants_are_revoked
            devices_wait_for_a_decision
            pushed_requests_are_taken_once
            grants_expire_in_parts
            usage_counts_a_batch_once
            usage_is_filtered_and_grouped
            usage_is_told_by_time
            usage_of_organisations_is_apart
            usage_answers_are_bounded
            usage_becomes_coarser_and_goes
            usage_boots_tell_what_is_missing
            usage_boots_are_bounded
            usage_tells_the_last_use_of_keys
        );
    };
    (@tests $make:expr; $($name:ident)+) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _guard) = $make.await;
            $crate::suite::$name(&*store).await;
        }
    )+};
}

/// The time of all batches here.
const AT_UNIX_MS: u64 = 1_790_000_000_000;

fn org() -> Org {
    Org::default_org()
}

fn batch_in(org: &Org, writes: Vec<Write>) -> Batch {
    Batch {
        org: org.clone(),
        actor: "ada".to_owned(),
        at_unix_ms: AT_UNIX_MS,
        request: None,
        writes,
    }
}

fn batch(writes: Vec<Write>) -> Batch {
    batch_in(&org(), writes)
}

fn document(name: &str, text: &str) -> Value {
    // Keys out of order: a document comes back as it was written.
    json!({"metadata": {"name": name}, "spec": {"z": text, "a": [1, 2.5, null, "ü"]}})
}

fn digest(document: &Value) -> Digest {
    Digest::of(document.to_string().as_bytes())
}

/// A document whose content is `text`.
fn put(kind: RecordKind, name: &str, text: &str, expect: Expect) -> Write {
    put_linked(kind, name, text, Links::default(), expect)
}

fn put_linked(kind: RecordKind, name: &str, text: &str, links: Links, expect: Expect) -> Write {
    let document = document(name, text);
    Write::RecordPut {
        kind,
        name: name.to_owned(),
        new_id: Uuid::now_v7(),
        digest: digest(&document),
        document,
        blob: None,
        links,
        expect,
    }
}

fn delete(kind: RecordKind, name: &str, expect: Expect) -> Write {
    Write::RecordDelete {
        kind,
        name: name.to_owned(),
        expect,
    }
}

/// Commits a new application and returns its id.
async fn application_in(store: &dyn Store, org: &Org, name: &str, owner: &str) -> ApplicationId {
    let links = Links {
        owner: Some(owner.to_owned()),
        ..Links::default()
    };
    let write = put_linked(RecordKind::Application, name, "", links, Expect::Absent);
    store.commit(batch_in(org, vec![write])).await.unwrap();
    let record = get(store, org, RecordKind::Application, name).await;
    ApplicationId(record.unwrap().id)
}

async fn application(store: &dyn Store, name: &str, owner: &str) -> ApplicationId {
    application_in(store, &org(), name, owner).await
}

fn subscription(name: &str, application: ApplicationId, api: &str) -> Write {
    let links = Links {
        owner: None,
        application: Some(application),
        api: Some(api.to_owned()),
        plan: Some("Gold".to_owned()),
    };
    put_linked(RecordKind::Subscription, name, "", links, Expect::Absent)
}

fn secret(text: &str, created_unix_ms: u64) -> CredentialSecret {
    CredentialSecret {
        id: SecretId::generate(),
        hash: Digest::of(text.as_bytes()),
        prefix: None,
        created_unix_ms,
        expires_unix_s: None,
        used_unix_s: None,
    }
}

fn client(application: ApplicationId, client_id: &str, created_unix_ms: u64) -> Credential {
    Credential {
        id: CredentialId::generate(),
        org: org(),
        application,
        name: "Web".to_owned(),
        kind: CredentialKind::Client(Box::new(Client {
            client_id: client_id.to_owned(),
            issuer: RESIDENT.to_owned(),
            registration: None,
            metadata: ClientMetadata::default(),
        })),
        secrets: vec![secret(client_id, created_unix_ms)],
        created_unix_ms,
        updated_unix_ms: created_unix_ms,
        expires_unix_s: None,
        used_unix_s: None,
        environment: base::Environment::Production,
    }
}

fn api_key(application: ApplicationId, key: &str, created_unix_ms: u64) -> Credential {
    Credential {
        kind: CredentialKind::ApiKey(KeyLimits::default()),
        secrets: vec![CredentialSecret {
            prefix: Some("tw_ab".to_owned()),
            ..secret(key, created_unix_ms)
        }],
        expires_unix_s: Some(2_000_000_000),
        environment: base::Environment::Sandbox,
        ..client(application, key, created_unix_ms)
    }
}

fn user(name: &str) -> User {
    User {
        id: base::UserId::generate(),
        org: org(),
        name: name.to_owned(),
        password_hash: format!("$argon2id${name}"),
        roles: vec![crate::Role::Subscriber, crate::Role::Admin],
        created_unix_ms: AT_UNIX_MS,
    }
}

async fn get(store: &dyn Store, org: &Org, kind: RecordKind, name: &str) -> Option<Record> {
    store.record_get(org, kind, name).await.unwrap()
}

async fn list(
    store: &dyn Store,
    org: &Org,
    kind: RecordKind,
    filter: &Filter,
    page: &Page,
) -> Vec<Record> {
    store.record_list(org, kind, filter, page).await.unwrap()
}

async fn names(store: &dyn Store, kind: RecordKind, filter: &Filter, page: &Page) -> Vec<String> {
    let records = list(store, &org(), kind, filter, page).await;
    records.into_iter().map(|record| record.name).collect()
}

/// Every change of one document, oldest first.
async fn history(store: &dyn Store, org: &Org, kind: RecordKind, name: &str) -> Vec<HistoryEntry> {
    let filter = HistoryFilter::of(kind, name);
    let mut found = store.history_list(org, &filter).await.unwrap();
    found.reverse();
    found
}

/// The keys of all changes after `since`.
async fn changes(store: &dyn Store, since: u64) -> Vec<ChangeKey> {
    let part = store.changes_since(since, u64::MAX).await.unwrap();
    assert!(!part.reset);
    assert_eq!(part.upto, store.revision().await.unwrap());
    part.changes.into_iter().map(|change| change.key).collect()
}

fn changed(record: &Record) -> ChangeKey {
    ChangeKey::Record {
        org: record.org.clone(),
        kind: record.kind,
        name: record.name.clone(),
        id: record.id,
    }
}

/// The error's kind, for errors that carry only a name.
fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Missing(_))
}

fn is_exists(error: &StoreError) -> bool {
    matches!(error, StoreError::Exists(_))
}
