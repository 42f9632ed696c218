//! The tables as sea-orm entities. Column meanings are those of the contract's records.
//!
//! Numbers that the contract counts in `u64` are `i64` here, since SQL has no unsigned integers; see [`crate::rows`].

macro_rules! entity {
    ($(#[$doc:meta])* $module:ident, $table:literal, { $($(#[$attr:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            #![allow(unreachable_pub, reason = "the derive macros write `pub` items")]

            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                $($(#[$attr])* pub $field: $type,)+
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

entity!(
    /// One row: the newest revision, and the newest revision whose changes the feed has forgotten.
    counter, "counter", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: i32,
        revision: i64,
        feed_floor: i64,
    }
);

entity!(
    /// Documents of the kinds that people write by hand: Api, Backend, Plan, Gateway.
    resource, "resources", {
        #[sea_orm(primary_key, auto_increment = false)]
        org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        id: Uuid,
        document: String,
        digest: Vec<u8>,
        blob: Option<Vec<u8>>,
        revision: i64,
        created_unix_ms: i64,
        updated_unix_ms: i64,
    }
);

entity!(
    /// Applications.
    application, "applications", {
        #[sea_orm(primary_key, auto_increment = false)]
        org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        id: Uuid,
        owner: Option<String>,
        document: String,
        digest: Vec<u8>,
        blob: Option<Vec<u8>>,
        revision: i64,
        created_unix_ms: i64,
        updated_unix_ms: i64,
    }
);

entity!(
    /// Subscriptions.
    subscription, "subscriptions", {
        #[sea_orm(primary_key, auto_increment = false)]
        org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        id: Uuid,
        application_id: Uuid,
        api: Option<String>,
        plan: Option<String>,
        document: String,
        digest: Vec<u8>,
        blob: Option<Vec<u8>>,
        revision: i64,
        created_unix_ms: i64,
        updated_unix_ms: i64,
    }
);

entity!(
    /// Every change of everything that people change.
    history, "history", {
        #[sea_orm(primary_key, auto_increment = false)]
        revision: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        ordinal: i64,
        org: String,
        kind: String,
        name: String,
        at_unix_ms: i64,
        actor: String,
        before: Option<String>,
        after: Option<String>,
        request: Option<String>,
        before_blob: Option<Vec<u8>>,
        after_blob: Option<Vec<u8>>,
    }
);

entity!(
    /// Revisions of APIs; `api` is the document's name.
    api_revision, "api_revisions", {
        #[sea_orm(primary_key, auto_increment = false)]
        org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        api: String,
        #[sea_orm(primary_key, auto_increment = false)]
        number: i64,
        digest: Vec<u8>,
        document: String,
        blob: Option<Vec<u8>>,
        at_unix_ms: i64,
        actor: String,
        revision: i64,
    }
);

entity!(
    /// Nodes of all control processes; `report` is JSON.
    node, "nodes", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        gateway: String,
        control: String,
        lease_until_unix_ms: i64,
        revision: Option<i64>,
        digest: Option<Vec<u8>>,
        report: String,
    }
);

entity!(
    /// The change feed, bounded. `subject` says which of the other columns are filled.
    change, "changes", {
        #[sea_orm(primary_key, auto_increment = false)]
        revision: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        ordinal: i64,
        subject: String,
        org: Option<String>,
        kind: Option<String>,
        name: Option<String>,
        id: Option<Uuid>,
    }
);

entity!(
    /// Definitions, by SHA-256.
    blob, "blobs", {
        #[sea_orm(primary_key, auto_increment = false)]
        digest: Vec<u8>,
        content: Vec<u8>,
    }
);

entity!(
    /// Credentials. A client has a `client_id`; `settings` is JSON: the metadata of a client, the limits of an API key.
    credential, "credentials", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        org: String,
        application_id: Uuid,
        client_id: Option<String>,
        created_unix_ms: i64,
        expires_unix_s: Option<i64>,
        environment: String,
        name: String,
        settings: String,
        issuer: String,
        registration: Option<Vec<u8>>,
        updated_unix_ms: i64,
        used_unix_s: Option<i64>,
    }
);

entity!(
    /// Secrets of clients and keys of API keys; a key has a `prefix`.
    credential_secret, "credential_secrets", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        credential_id: Uuid,
        hash: Vec<u8>,
        prefix: Option<String>,
        created_unix_ms: i64,
        expires_unix_s: Option<i64>,
        used_unix_s: Option<i64>,
    }
);

entity!(
    /// What clients may be registered with.
    registration_token, "registration_tokens", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        org: String,
        name: String,
        hash: Vec<u8>,
        uses_left: i64,
        owner: String,
        created_unix_ms: i64,
        expires_unix_s: i64,
    }
);

entity!(
    /// What somebody should be told before it happens; `body` is JSON.
    notice, "notices", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        org: String,
        kind: String,
        subject: String,
        due_unix_s: i64,
        at_unix_ms: i64,
        body: String,
    }
);

entity!(
    /// Revoked tokens.
    revocation, "revocations", {
        #[sea_orm(primary_key, auto_increment = false)]
        jti: String,
        expires_unix_s: i64,
    }
);

entity!(
    /// Ends of all tokens of something; `id` is the text of [`base::TokensOf`].
    watermark, "watermarks", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        revision: i64,
        expires_unix_s: i64,
    }
);

entity!(
    /// Opaque access tokens, by SHA-256; `claims` is JSON.
    opaque_token, "opaque_tokens", {
        #[sea_orm(primary_key, auto_increment = false)]
        digest: Vec<u8>,
        claims: String,
        expires_unix_s: i64,
    }
);

entity!(
    /// What may be used once and was.
    used_once, "used_once", {
        #[sea_orm(primary_key, auto_increment = false)]
        digest: Vec<u8>,
        expires_unix_s: i64,
    }
);

entity!(
    /// Users; `roles` is a JSON list.
    user, "users", {
        #[sea_orm(primary_key, auto_increment = false)]
        org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        id: Uuid,
        password_hash: String,
        roles: String,
        revision: i64,
        created_unix_ms: i64,
    }
);

entity!(
    /// Keys that tokens are signed with, sealed.
    signing_key, "signing_keys", {
        #[sea_orm(primary_key, auto_increment = false)]
        kid: String,
        sealed: Vec<u8>,
        public_jwk: String,
        created_unix_ms: i64,
        algorithm: String,
        state: String,
        since_unix_ms: i64,
        until_unix_s: Option<i64>,
    }
);

entity!(
    /// Usage: what was counted under one key within one step (`0` minute, `1` hour, `2` day) that begins at `at`. The id
    /// is a digest of all that a row differs in from others.
    usage_row, "usage_rows", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Vec<u8>,
        step: i64,
        at_unix_ms: i64,
        org: String,
        environment: String,
        api: String,
        operation: String,
        application: String,
        plan: String,
        status: i64,
        requests: i64,
        bytes_in: i64,
        bytes_out: i64,
        gateway: Vec<u8>,
        backend: Vec<u8>,
    }
);

entity!(
    /// One start of one node, and what came of it. `end_kind`: 0 open, 1 clean, 2 unclean after `end_sequence`.
    usage_boot, "usage_boots", {
        #[sea_orm(primary_key, auto_increment = false)]
        node: String,
        #[sea_orm(primary_key, auto_increment = false)]
        epoch: String,
        sequence: i64,
        batches: i64,
        requests: i64,
        sent_requests: i64,
        lost_batches: i64,
        lost_requests: i64,
        first_unix_ms: i64,
        latest_unix_ms: i64,
        end_kind: i64,
        end_sequence: i64,
    }
);

entity!(
    /// One row, which every writer of usage moves first: so they queue.
    usage_turn, "usage_turn", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: i32,
        turn: i64,
    }
);

entity!(
    /// Browsers in which somebody logged in; `login` is JSON.
    session, "sessions", {
        #[sea_orm(primary_key, auto_increment = false)]
        hash: Vec<u8>,
        sid: Uuid,
        org: String,
        user_id: Uuid,
        user_name: String,
        seen_unix_s: i64,
        expires_unix_s: i64,
        login: String,
        address: Option<String>,
        agent: Option<String>,
    }
);

entity!(
    /// Clients that have to be told that a session ended.
    waiting_logout, "waiting_logouts", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        org: String,
        client_id: String,
        user_id: Uuid,
        sid: Uuid,
        attempts: i64,
        due_unix_ms: i64,
        created_unix_ms: i64,
    }
);

entity!(
    /// What users allowed clients; `scopes` and `resources` are JSON lists.
    consent, "consents", {
        #[sea_orm(primary_key, auto_increment = false)]
        user_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        client_id: String,
        scopes: String,
        resources: String,
        at_unix_ms: i64,
    }
);

entity!(
    /// What authorizations gave; `offline` is 0 or 1, `terms` is JSON.
    grant, "grants", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: Uuid,
        org: String,
        client_id: String,
        user_id: Uuid,
        sid: Option<Uuid>,
        offline: i64,
        revoked_unix_ms: Option<i64>,
        created_unix_ms: i64,
        expires_unix_s: i64,
        terms: String,
    }
);

entity!(
    /// Authorization codes. `used` is 0 or 1; a used one stays until `forget_unix_s`, so that it is known again.
    code, "codes", {
        #[sea_orm(primary_key, auto_increment = false)]
        hash: Vec<u8>,
        grant_id: Uuid,
        used: i64,
        expires_unix_s: i64,
        forget_unix_s: i64,
        binding: String,
    }
);

entity!(
    /// Refresh tokens. `state`: 0 live, 1 rotated (then `rotated_unix_ms` says when), 2 ended by a sibling.
    refresh_token, "refresh_tokens", {
        #[sea_orm(primary_key, auto_increment = false)]
        hash: Vec<u8>,
        grant_id: Uuid,
        parent: Option<Vec<u8>>,
        state: i64,
        rotated_unix_ms: i64,
        expires_unix_s: i64,
        binding: Option<String>,
    }
);

entity!(
    /// Devices that wait. `state`: 0 undecided, 1 granted, 2 denied, 3 used.
    device_code, "device_codes", {
        #[sea_orm(primary_key, auto_increment = false)]
        hash: Vec<u8>,
        user_code: String,
        org: String,
        client_id: String,
        state: i64,
        interval_s: i64,
        polled_unix_ms: i64,
        expires_unix_s: i64,
        grant_id: Option<Uuid>,
        wish: String,
    }
);

entity!(
    /// Pushed authorization requests; `parameters` is JSON.
    pushed_request, "pushed_requests", {
        #[sea_orm(primary_key, auto_increment = false)]
        hash: Vec<u8>,
        client_id: String,
        parameters: String,
        expires_unix_s: i64,
    }
);
