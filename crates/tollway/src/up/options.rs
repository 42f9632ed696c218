//! How `tollway up` is configured: one struct is the flags, the environment and the keys of the config file.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::database::SecretText;
use super::{UpError, otlp};

/// Declares the options once; flag `--data-dir`, key `data-dir` and field `data_dir` are the same thing.
macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $value_name:literal $(, env $env:literal)?;)+) => {
        /// Flags of `tollway up`, and, under the same names, keys of its config file (TOML). A flag wins over the file.
        #[derive(Clone, Debug, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Options {
            /// Config file (TOML); its keys are the flags without the dashes in front
            #[arg(long, value_name = "FILE")]
            #[serde(skip)]
            pub config: Option<PathBuf>,
            $($(#[doc = $doc])+
            #[arg(long, value_name = $value_name $(, env = $env, hide_env_values = true)?)]
            pub $name: Option<$type>,)+
        }

        impl Options {
    /// What one definition may cost.
    pub(super) fn definition_limits(&self) -> tree::Limits {
        let usual = tree::Limits::default();
        tree::Limits {
            bytes_max: self.definition_bytes_max.unwrap_or(usual.bytes_max),
            nodes_max: self.definition_values_max.unwrap_or(usual.nodes_max),
            depth_max: self.definition_depth_max.unwrap_or(usual.depth_max),
            problems_max: self.definition_problems_max.unwrap_or(usual.problems_max),
            ..usual
        }
    }

            /// The flags that differ from those of `other`.
            pub(super) fn changed(&self, other: &Self) -> Vec<String> {
                let mut changed = Vec::new();
                $(if format!("{:?}", self.$name) != format!("{:?}", other.$name) {
                    changed.push(concat!("--", stringify!($name)).replace('_', "-"));
                })+
                changed
            }

            /// These options where they are set, those of `below` elsewhere.
            fn over(self, below: Self) -> Self {
                Self { config: self.config, $($name: self.$name.or(below.$name),)+ }
            }
        }
    };
}

options! {
    /// Folder of the database, keys and certificates [default: ./tollway-data]
    data_dir: PathBuf = "DIR";
    /// URL of the PostgreSQL database; others can read it in the process list, so better use the file or the environment [default: an embedded database in the data folder]
    database_url: SecretText = "URL", env "TOLLWAY_DATABASE_URL";
    /// File with the URL of the PostgreSQL database
    database_url_file: PathBuf = "FILE";
    /// Connections to the database for reading [default: embedded 2, PostgreSQL 8]
    database_read_connections: u32 = "N";
    /// Connections to a PostgreSQL database for writing [default: 4]
    database_write_connections: u32 = "N";
    /// Time for a PostgreSQL database to answer at the start [default: 10s]
    database_connect_timeout: Span = "DURATION";
    /// Time that a call waits for a connection of this process to the database [default: 30s]
    database_queue_timeout: Span = "DURATION";
    /// Time that a write waits for another process that writes [default: 10s]
    database_lock_timeout: Span = "DURATION";
    /// Time after which a change of another process is looked for when nothing told of it [default: 1s]
    database_poll_interval: Span = "DURATION";
    /// Key file, the same for all processes on one database [default: tollway.key in the data folder]
    key_file: PathBuf = "FILE";
    /// File with the password of the user `admin`, read at the first start only; without it one is made and printed once
    admin_password_file: PathBuf = "FILE";
    /// Address of the control API [default: 127.0.0.1:9400]
    control_listen: SocketAddr = "ADDR";
    /// Address of the authorization server, where it is to have one of its own
    identity_listen: SocketAddr = "ADDR";
    /// Address of the authorization server over TLS, which asks clients for a certificate
    identity_tls_listen: SocketAddr = "ADDR";
    /// Certificate of that listener (PEM, with its chain)
    identity_tls_cert: PathBuf = "FILE";
    /// Private key of that certificate (PEM)
    identity_tls_key: PathBuf = "FILE";
    /// Authorities (PEM) that vouch for certificates of clients registered for `tls_client_auth`
    identity_tls_client_ca: PathBuf = "FILE";
    /// TLS handshakes with that listener that are under way at a time; more connections are closed [default: 256]
    identity_tls_handshakes_max: usize = "N";
    /// URL under which clients reach that listener, for `mtls_endpoint_aliases` [default: https:// and its address, unless
    /// --public-url is https]
    identity_tls_url: String = "URL";
    /// Whether DPoP proofs must repeat a nonce of the authorization server [default: true]
    dpop_nonce: bool = "BOOL";
    /// DPoP proofs that a gateway remembers at a time, so that none is used twice [default: 200000]
    dpop_proofs_max: usize = "COUNT";
    /// Questions to the control plane about unknown tokens that wait at a time; more are refused [default: 256]
    gateway_questions_max: usize = "N";
    /// Time for the control plane to answer one [default: 2s]
    gateway_question_timeout: Span = "DURATION";
    /// Least time between two looks for newer keys of the platform, where tokens of unknown keys cause them [default: 1s]
    gateway_question_pause: Span = "DURATION";
    /// Tokens and key ids that nobody knew, remembered on each core for ten seconds [default: 4096]
    gateway_unknown_tokens_max: usize = "N";
    /// Backend JWTs that each core remembers; what is beyond is signed again [default: 10000]
    gateway_backend_jwts_max: usize = "N";
    /// OAuth clients whose tokens for backends a gateway keeps; calls that need more are refused [default: 1000]
    gateway_backend_tokens_max: usize = "N";
    /// Bytes of an answer with a token for a backend [default: 65536]
    gateway_backend_token_answer_bytes_max: usize = "N";
    /// Bytes of a token for a backend [default: 16384]
    gateway_backend_token_bytes_max: usize = "N";
    /// Time that an endpoint is left alone that gave no token; twice as long after each further failure [default: 1s]
    gateway_backend_token_pause: Span = "DURATION";
    /// The longest of these times [default: 1m]
    gateway_backend_token_pause_max: Span = "DURATION";
    /// Age from which a token is replaced that a backend refuses [default: 10s]
    gateway_backend_token_refused_age: Span = "DURATION";
    /// Verified tokens that each core remembers; what is beyond is verified again [default: 10000]
    gateway_verified_tokens_max: usize = "N";
    /// Bytes of their texts, for each core [default: 16777216]
    gateway_verified_tokens_bytes_max: usize = "N";
    /// Right passwords of `basic` that each core remembers; what is beyond is checked again [default: 10000]
    gateway_verified_passwords_max: usize = "N";
    /// Verified client certificates that each core remembers; what is beyond is verified again [default: 10000]
    gateway_verified_certificates_max: usize = "N";
    /// Forwarded certificates that each core remembers; what is beyond is read again [default: 1000]
    gateway_forwarded_certificates_max: usize = "N";
    /// Files of the folder of secrets that each core remembers, of each kind; what is beyond is read again [default: 1024]
    gateway_secrets_max: usize = "N";
    /// Fetches of an issuer's keys that tokens of unknown keys may cause at once [default: 6]
    gateway_issuer_refetches_max: u64 = "N";
    /// Time after which they may cause one more [default: 10s]
    gateway_issuer_refetch_every: Span = "DURATION";
    /// Least time between two of them [default: 1s]
    gateway_issuer_refetch_pause: Span = "DURATION";
    /// Time after which an issuer is asked for its keys again that did not give them [default: 10s]
    gateway_issuer_retry: Span = "DURATION";
    /// Time that a call waits for an issuer's newer keys [default: 5s]
    gateway_issuer_keys_wait: Span = "DURATION";
    /// Time for an issuer to give its metadata, or its keys [default: 5s]
    gateway_issuer_fetch_timeout: Span = "DURATION";
    /// Bytes of an issuer's metadata, and of its keys [default: 131072]
    gateway_issuer_keys_bytes_max: usize = "N";
    /// Keys of an issuer [default: 64]
    gateway_issuer_keys_max: usize = "N";
    /// Bytes of an issuer's answer about a token [default: 65536]
    gateway_introspection_bytes_max: usize = "N";
    /// Questions about tokens that are on the way to an issuer at a time; what is beyond waits [default: 32]
    gateway_introspections_parallel: usize = "N";
    /// Clients that one registration token may register [default: 10000]
    registration_uses_max: u64 = "N";
    /// Longest time that a registration token may work [default: 365d]
    registration_lifetime_max: Span = "DURATION";
    /// Time before the end of a credential at which its notice comes [default: 14d]
    credential_notice: Span = "DURATION";
    /// Time between two looks for credentials that end soon [default: 10m]
    credential_notice_every: Span = "DURATION";
    /// Time that verifiers may keep the public keys; half of --signing-key-ahead at most [default: 5m, or half of --signing-key-ahead]
    jwks_max_age: Span = "DURATION";
    /// Attempts to tell a client of a logout [default: 10]
    identity_logout_attempts: u64 = "N";
    /// Pause after the first of them; each further one is four times as long, an hour at most [default: 2s]
    identity_logout_pause: Span = "DURATION";
    /// Clients that are told of logouts at the same time [default: 8]
    identity_logouts_parallel: usize = "N";
    /// URL under which clients reach the authorization server; the issuer of all tokens [default: http:// and its address]
    public_url: String = "URL";
    /// How long a key signs tokens before the next one does [default: 90d]
    signing_key_period: Span = "DURATION";
    /// How long the next signing key is published before it signs, half the period at most [default: 24h]
    signing_key_ahead: Span = "DURATION";
    /// The longest lifetime of any token; a signing key stays published for so long after the next one took over [default: 7d]
    token_lifetime_max: Span = "DURATION";
    /// Addresses of proxies before the authorization server whose X-Forwarded-For is believed, with commas between them [default: none]
    identity_proxies: String = "ADDR,…";
    /// Time that a browser stays logged in [default: 12h]
    identity_session_lifetime: Span = "DURATION";
    /// Time that a browser stays logged in unused [default: 2h]
    identity_session_idle: Span = "DURATION";
    /// Time that a page of the authorization server waits for its form [default: 15m]
    identity_page_lifetime: Span = "DURATION";
    /// Time that an authorization code lasts, at most 60s [default: 30s]
    identity_code_lifetime: Span = "DURATION";
    /// Time that a device waits for somebody to decide [default: 10m]
    identity_device_lifetime: Span = "DURATION";
    /// Time after its rotation in which a refresh token may come once more [default: 10s]
    identity_refresh_grace: Span = "DURATION";
    /// Time that an unused refresh token lasts, where the client does not say [default: 14d]
    identity_refresh_lifetime: Span = "DURATION";
    /// Time that all refresh tokens of what a user allowed last together [default: 90d]
    identity_grant_lifetime: Span = "DURATION";
    /// Wrong passwords for one account before further attempts are delayed [default: 5]
    identity_account_failures: u32 = "N";
    /// Longest delay of an account [default: 5m]
    identity_account_delay_max: Span = "DURATION";
    /// Wrong passwords and codes from one address before further attempts are delayed [default: 30]
    identity_address_failures: u32 = "N";
    /// Longest delay of an address [default: 15m]
    identity_address_delay_max: Span = "DURATION";
    /// Accounts and addresses with failures that are remembered [default: 20000]
    identity_failures_max: usize = "N";
    /// Address of the gateway, clear text [default: 0.0.0.0:8280]
    gateway_http_listen: SocketAddr = "ADDR";
    /// Address of the gateway, TLS [default: 0.0.0.0:8243]
    gateway_https_listen: SocketAddr = "ADDR";
    /// Certificate chain (PEM) of the gateway [default: a self-signed one in the data folder]
    gateway_certificate: PathBuf = "FILE";
    /// Private key (PEM) of the gateway's certificate
    gateway_key: PathBuf = "FILE";
    /// Folder of the certificates that `Gateway` documents refer to: NAME/tls.crt and NAME/tls.key [default: secrets in the data folder]
    secrets_dir: PathBuf = "DIR";
    /// The `Gateway` document whose APIs this node serves [default: default]
    gateway_name: String = "NAME";
    /// Threads that serve calls [default: one a core]
    gateway_workers: usize = "N";
    /// Connections that the gateway holds at once [default: 50000]
    gateway_connections_max: usize = "N";
    /// Connections of one client that the gateway holds at once: of an IPv4 address or a /64 of IPv6 [default: a quarter of all]
    gateway_connections_per_client_max: usize = "N";
    /// Connections in a TLS handshake or before the end of their PROXY header [default: 4096]
    gateway_openings_max: usize = "N";
    /// Those of one client [default: 256]
    gateway_openings_per_client_max: usize = "N";
    /// Time for a TLS handshake, with the PROXY header where there is one [default: 10s]
    gateway_opening_timeout: Span = "DURATION";
    /// Bytes of a PROXY header of version 2 [default: 4096]
    gateway_proxy_header_bytes_max: usize = "N";
    /// Network of load balancers whose connections begin with a PROXY header; nobody else can connect to the gateway's addresses then; may be given several times
    gateway_proxy_protocol_from: Vec<String> = "NETWORK";
    /// Whether clients are asked for a certificate at the gateway's TLS address: `request` or `require` [default: not asked]
    gateway_client_certificates: AskMode = "MODE";
    /// File (PEM) of the authorities that vouch for them; others end the handshake [default: every certificate is taken]
    gateway_client_ca: PathBuf = "FILE";
    /// Network of proxies that end TLS before the gateway and forward their client's certificate; may be given several times
    gateway_forwarded_certificate_from: Vec<String> = "NETWORK";
    /// The field in which they do: Client-Cert, X-Forwarded-Client-Cert, SSL-Client-Cert or X-SSL-Client-Cert [default: Client-Cert]
    gateway_forwarded_certificate_header: String = "NAME";
    /// Passwords of `basic` that the gateway checks at a time [default: 2]
    gateway_passwords_parallel: usize = "N";
    /// Passwords that may wait for that; what is beyond is refused with 503 [default: 32]
    gateway_passwords_waiting: usize = "N";
    /// Bytes of a request's head at the gateway [default: 32768]
    gateway_head_bytes_max: usize = "N";
    /// Headers of a request at the gateway [default: 100]
    gateway_headers_max: usize = "N";
    /// Bytes of a request's path and query [default: 8192]
    gateway_target_bytes_max: usize = "N";
    /// Trailers of a request [default: 32]
    gateway_trailers_max: usize = "N";
    /// Bytes of a request's trailers [default: 8192]
    gateway_trailer_bytes_max: usize = "N";
    /// Bytes of the chunk extensions of one body [default: 4096]
    gateway_chunk_extension_bytes_max: usize = "N";
    /// Requests that may wait for their answers on one HTTP/1.1 connection [default: 100]
    gateway_pipelined_max: usize = "N";
    /// Bytes of a request's body at the gateway [default: 1073741824]
    gateway_body_bytes_max: u64 = "N";
    /// Bytes of a body nobody reads that are read and dropped when its connection ends with the answer [default: 67108864]
    gateway_unread_bytes_max: u64 = "N";
    /// Streams at a time on one HTTP/2 connection to the gateway [default: 200]
    gateway_h2_streams_max: u32 = "N";
    /// Streams that a client may have reset in a window, besides one for each answer [default: 100]
    gateway_h2_resets_max: u32 = "N";
    /// PING frames on one HTTP/2 connection in a window, besides those that work allows for [default: 100]
    gateway_h2_pings_max: u32 = "N";
    /// SETTINGS frames on one HTTP/2 connection in a window [default: 20]
    gateway_h2_settings_max: u32 = "N";
    /// CONTINUATION frames of one head over HTTP/2 [default: 5]
    gateway_h2_continuations_max: u32 = "N";
    /// Empty DATA frames on one HTTP/2 connection in a window [default: 100]
    gateway_h2_empty_data_max: u32 = "N";
    /// WINDOW_UPDATE frames on one HTTP/2 connection in a window, besides those that work allows for [default: 1000]
    gateway_h2_window_updates_max: u32 = "N";
    /// PRIORITY and unknown frames on one HTTP/2 connection in a window, besides two for each answer [default: 500]
    gateway_h2_other_frames_max: u32 = "N";
    /// The window in which frames on one HTTP/2 connection are counted [default: 10s]
    gateway_h2_window: Span = "DURATION";
    /// Time for a request's head to arrive [default: 10s]
    gateway_head_timeout: Span = "DURATION";
    /// Time that a client may send nothing of a body that is waited for [default: 30s]
    gateway_body_timeout: Span = "DURATION";
    /// Time that a client may take nothing of an answer that is ready for it [default: 60s]
    gateway_answer_timeout: Span = "DURATION";
    /// Bytes a second that a client must send of a body or take of an answer; 0 is any [default: 100]
    gateway_rate_min: u64 = "N";
    /// Time that a client's connection may be idle [default: 75s]
    gateway_idle_timeout: Span = "DURATION";
    /// Time without a request after which an HTTP/1.1 connection gives its buffers back [default: 1s]
    gateway_rest_after: Span = "DURATION";
    /// WebSockets that are open at once [default: 10000]
    gateway_tunnels_max: usize = "N";
    /// WebSockets of one client's address that are open at once [default: 1000]
    gateway_tunnels_per_client_max: usize = "N";
    /// Time that nothing may come through a WebSocket [default: 5m]
    gateway_tunnel_idle_timeout: Span = "DURATION";
    /// Time that WebSockets may go on after SIGTERM [default: 20s]
    gateway_tunnel_drain: Span = "DURATION";
    /// Time for a connection to a backend to stand [default: 5s]
    upstream_connect_timeout: Span = "DURATION";
    /// Time that an unused connection to a backend is kept [default: 4s]
    upstream_idle_timeout: Span = "DURATION";
    /// Unused connections kept for each endpoint and worker [default: 256]
    upstream_idle_max: usize = "N";
    /// Streams at a time on one HTTP/2 connection to a backend [default: 100]
    upstream_h2_streams_max: usize = "N";
    /// HTTP/2 connections to an endpoint for each worker; what is beyond waits for a stream [default: 64]
    upstream_h2_connections_max: usize = "N";
    /// Time after which an HTTP/2 connection to a backend is tried with a PING; 0s is never [default: 30s]
    upstream_h2_ping_every: Span = "DURATION";
    /// Time for the answer to a PING [default: 10s]
    upstream_h2_ping_timeout: Span = "DURATION";
    /// Time that a connection to a backend takes new calls; 0s is any [default: 0s]
    upstream_max_age: Span = "DURATION";
    /// Calls that a connection to a backend takes; 0 is any [default: 0]
    upstream_max_requests: u32 = "N";
    /// Time that one address of a backend may be silent before the next one is tried beside it [default: 250ms]
    upstream_next_address: Span = "DURATION";
    /// Longest pause within the body of a backend's answer, but for events and gRPC; 0s is any [default: 5m]
    upstream_body_idle_timeout: Span = "DURATION";
    /// DNS server that is asked instead of the system's
    upstream_dns_server: std::net::SocketAddr = "ADDRESS";
    /// Time that a backend's DNS records are believed at least [default: 1s]
    upstream_dns_ttl_min: Span = "DURATION";
    /// Time that a backend's DNS records are believed at most [default: 5m]
    upstream_dns_ttl_max: Span = "DURATION";
    /// Time that they are believed beyond their own while the name cannot be looked up [default: 5m]
    upstream_dns_stale_max: Span = "DURATION";
    /// Headers of a backend's answer [default: 100]
    upstream_headers_max: usize = "N";
    /// Bytes of the head of a backend's answer [default: 65536]
    upstream_head_bytes_max: usize = "N";
    /// Series of metrics by API and operation; what is beyond counts as `overflow` [default: 10000]
    gateway_metric_series_max: usize = "N";
    /// Counters of quotas that are kept at once [default: 1000000]
    quota_counters_max: usize = "N";
    /// Of them, counters of each limit whose key callers choose, such as their address; what is beyond is counted together [default: a quarter]
    quota_counters_per_limit_max: usize = "N";
    /// Bytes of the file in which limits keep what they have counted; more is neither written nor read [default: 268435456]
    quota_state_bytes_max: u64 = "N";
    /// File for the JSON access log, or `-` for standard output [default: no access log]
    access_log: PathBuf = "FILE";
    /// Share of calls that are logged, 0 to 1 [default: 1]
    access_log_sample: f64 = "RATIO";
    /// Lines of the access log that may wait for the disk; what is beyond is dropped and counted [default: 8192]
    access_log_queue_max: usize = "N";
    /// Name of this node in usage and acknowledgements [default: one that is made at the first start]
    node_name: String = "NAME";
    /// Time between two roll-ups of usage; a crash loses as much at most [default: 1s]
    usage_flush_interval: Span = "DURATION";
    /// Rows of usage that a core counts in one interval; what is beyond counts as `overflow` of its API [default: 2000]
    usage_rows_max: usize = "N";
    /// Bytes of usage that wait on the disk for the control plane; what is beyond is lost and counted [default: 268435456]
    usage_spool_bytes_max: u64 = "N";
    /// Time that usage is kept by minutes; then it is kept by hours [default: 7d]
    usage_keep_minutes: Span = "DURATION";
    /// Time that usage is kept by hours; then it is kept by days [default: 90d]
    usage_keep_hours: Span = "DURATION";
    /// Time that usage is kept at all [default: 1095d]
    usage_keep_days: Span = "DURATION";
    /// Collector that gets traces: base URL of OTLP over HTTP, such as http://127.0.0.1:4318 [default: none]
    otlp_endpoint: String = "URL";
    /// File with headers for the collector, one `name: value` a line
    otlp_headers_file: PathBuf = "FILE";
    /// Time that the collector may take for a batch [default: 10s]
    otlp_timeout: Span = "DURATION";
    /// Traced calls that may wait for the collector; what is beyond is dropped and counted [default: 4096]
    otlp_queue_max: usize = "N";
    /// Share of calls that is traced where the caller has not decided, 0 to 1 [default: 1 with a collector]
    trace_ratio: f64 = "RATIO";
    /// Fields of a trace beside W3C's: `auto` answers B3 with B3, `w3c` leaves B3 alone, `b3` and `b3-single` always send it [default: auto]
    trace_propagation: Propagation = "FORM";
    /// Decisions on refused and failed calls that each worker keeps for a second; what is beyond is counted [default: 256]
    gateway_decisions_max: usize = "N";
    /// Decisions on refused and failed calls that `tollway explain` can find [default: 10000]
    control_decisions_max: usize = "N";
    /// Address of probes and metrics [default: 127.0.0.1:9401]
    node_listen: SocketAddr = "ADDR";
    /// File with the bearer token that probes and metrics need; demanded unless the address is a loopback one
    node_token_file: PathBuf = "FILE";
    /// Bytes of a body at the control API [default: 8388608]
    control_body_bytes_max: usize = "N";
    /// Bytes of an OpenAPI definition, all its files together [default: 10485760]
    definition_bytes_max: usize = "N";
    /// Values and keys written in a definition [default: 500000]
    definition_values_max: usize = "N";
    /// Levels of nesting in a definition, at most 512 [default: 128]
    definition_depth_max: usize = "N";
    /// Problems of a definition that are told at once [default: 100]
    definition_problems_max: usize = "N";
    /// Files of one definition [default: 500]
    definition_files_max: usize = "N";
    /// Entries of an archive with a definition [default: 1000]
    archive_entries_max: usize = "N";
    /// Bytes of one text in an archive [default: 10485760]
    archive_file_bytes_max: u64 = "N";
    /// Bytes of all texts in an archive [default: 33554432]
    archive_bytes_max: u64 = "N";
    /// Bytes that may come out of an archive for each byte of it [default: 100]
    archive_ratio_max: u64 = "N";
    /// Host, `*.domain`, address or network that URLs of users may lead to although it is not public; may be given several times
    outbound_allow: Vec<String> = "ENTRY";
    /// File of certificates (PEM) to trust at URLs of users besides those of the system
    outbound_ca: PathBuf = "FILE";
    /// Bytes of what is fetched from one URL [default: 10485760]
    outbound_bytes_max: usize = "N";
    /// Redirects in a row [default: 5]
    outbound_redirects_max: usize = "N";
    /// Time for one fetch with all redirects [default: 20s]
    outbound_timeout: Span = "DURATION";
    /// Time that an import may fetch, all files together [default: 30s]
    import_timeout: Span = "DURATION";
    /// Time that writes wait for the nodes' acknowledgement [default: 5s]
    acknowledge_timeout: Span = "DURATION";
    /// Time for calls in flight to finish after SIGTERM [default: 30s]
    drain_timeout: Span = "DURATION";
    /// Time between SIGTERM and the end of accepting, in which `/readyz` says no, for load balancers to notice [default: 0s]
    drain_delay: Span = "DURATION";
    /// Time that idle connections to the gateway are left open when it stops, for requests that are on their way [default: 1s]
    drain_idle: Span = "DURATION";
    /// What this process runs: `all`, or `gateway` alone, which also starts while the database is away [default: all]
    role: Role = "ROLE";
    /// Bytes that a node may keep on its disk of what it serves; more is not kept [default: 1073741824]
    last_good_bytes_max: u64 = "N";
    /// Time that a node serves without its control plane; then it refuses calls until that is back [default: 72h]
    last_good_max_age: Span = "DURATION";
}

/// What one process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Control plane, authorization server and gateway
    #[default]
    All,
    /// The gateway alone
    Gateway,
}

/// What becomes of a client that shows no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskMode {
    /// It may go on
    Request,
    /// The handshake fails
    Require,
}

/// The forms of `--trace-propagation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// B3 is read, and sent in the form in which it came
    Auto,
    /// B3 is neither read nor changed
    W3c,
    /// B3 is read, and always sent as `X-B3-*`
    B3,
    /// B3 is read, and always sent as `b3`
    B3Single,
}

/// A duration as people write it: `30s`, `500ms`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// Its length in milliseconds.
    #[must_use]
    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::str::FromStr for Span {
    type Err = spec::UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration: spec::Duration = text.parse()?;
        Ok(Self(Duration::from_millis(duration.as_ms())))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Sets what is configured: `place => flag;`, `place => ms flag;` for times in milliseconds.
macro_rules! take {
    ($options:ident, $($to:expr => $($from:ident)+;)+) => { $(set(&mut $to, take!(@ $options $($from)+));)+ };
    (@ $options:ident $option:ident) => { $options.$option };
    (@ $options:ident ms $option:ident) => { $options.$option.map(Span::as_ms) };
}

impl Options {
    /// Adds the config file's keys below the flags.
    ///
    /// # Errors
    /// [`UpError::Config`] with file, line and cause; an unknown key is one.
    pub fn with_file(self) -> Result<Self, UpError> {
        let Some(path) = self.config.clone() else {
            return Ok(self);
        };
        let file = read(&path)?;
        Ok(self.over(file))
    }

    /// The folder of the database, keys and certificates.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("tollway-data"))
    }

    /// How long calls in flight may take after SIGTERM.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
            .map_or(Duration::from_secs(30), |span| span.0)
    }
}

impl Options {
    /// How long `/readyz` says no before accepting ends.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        self.drain_delay.map_or(Duration::ZERO, |span| span.0)
    }

    /// The gateway's configuration; its own certificate lies in the data folder.
    ///
    /// # Errors
    /// [`UpError::Options`] when certificate and key do not come together, or the sample is no share.
    pub fn gateway(&self, data_dir: &Path) -> Result<gateway::Config, UpError> {
        let mut config = gateway::Config::default();
        let every = |port| (std::net::Ipv4Addr::UNSPECIFIED, port).into();
        let secrets = || data_dir.join("secrets");
        config.secrets_dir = self.secrets_dir.clone().unwrap_or_else(secrets);
        config.http = Some(self.gateway_http_listen.unwrap_or_else(|| every(8280)));
        config.https = Some(self.gateway_https_listen.unwrap_or_else(|| every(8243)));
        config.tls = match (&self.gateway_certificate, &self.gateway_key) {
            (Some(cert), Some(key)) => gateway::TlsFiles::Files {
                cert: cert.clone(),
                key: key.clone(),
            },
            (None, None) => gateway::TlsFiles::SelfSigned {
                dir: data_dir.to_owned(),
            },
            _ => {
                return Err(UpError::Options(
                    "--gateway-certificate and --gateway-key come together".into(),
                ));
            }
        };
        config.access_log = self.access_log()?;
        config.usage = super::usage::config(self)?;
        config.tracing.propagation = match self.trace_propagation {
            None | Some(Propagation::Auto) => gateway::Propagation::Auto,
            Some(Propagation::W3c) => gateway::Propagation::W3c,
            Some(Propagation::B3) => gateway::Propagation::B3,
            Some(Propagation::B3Single) => gateway::Propagation::B3Single,
        };
        config.tracing.ratio = within(
            "--trace-ratio",
            self.trace_ratio.unwrap_or(1.0),
            "",
            0.0..=1.0,
        )?;
        set(&mut config.decisions_max, self.gateway_decisions_max);
        set(&mut config.workers, self.gateway_workers);
        set(&mut config.series_max, self.gateway_metric_series_max);
        self.limits(&mut config);
        if let Some(networks) = &self.gateway_proxy_protocol_from {
            let read = gateway::networks(networks);
            config.proxy_protocol_from = read.map_err(|fault| {
                UpError::Options(format!("--gateway-proxy-protocol-from: {fault}"))
            })?;
        }
        super::client_certificates::set(self, &mut config)?;
        self.upstream(&mut config.upstream);
        Ok(config)
    }

    /// The way to the backends.
    fn upstream(&self, upstream: &mut gateway::UpstreamConfig) {
        take! { self,
            upstream.connect_timeout_ms => ms upstream_connect_timeout;
            upstream.idle_timeout_ms => ms upstream_idle_timeout;
            upstream.idle_max => upstream_idle_max;
            upstream.h2_streams_max => upstream_h2_streams_max;
            upstream.h2_connections_max => upstream_h2_connections_max;
            upstream.h2_ping_every_ms => ms upstream_h2_ping_every;
            upstream.h2_ping_timeout_ms => ms upstream_h2_ping_timeout;
            upstream.age_max_ms => ms upstream_max_age;
            upstream.requests_max => upstream_max_requests;
            upstream.next_address_ms => ms upstream_next_address;
            upstream.body_idle_ms => ms upstream_body_idle_timeout;
            upstream.dns_ttl_ms_min => ms upstream_dns_ttl_min;
            upstream.dns_ttl_ms_max => ms upstream_dns_ttl_max;
            upstream.dns_stale_ms_max => ms upstream_dns_stale_max;
            upstream.headers_max => upstream_headers_max;
            upstream.head_bytes_max => upstream_head_bytes_max;
        }
        // The longest is not shorter than the shortest.
        upstream.dns_ttl_ms_max = upstream.dns_ttl_ms_max.max(upstream.dns_ttl_ms_min);
        upstream.dns_servers.extend(self.upstream_dns_server);
    }

    /// The limits of the client's side.
    fn limits(&self, config: &mut gateway::Config) {
        let limits = &mut config.limits;
        if let Some(all) = self.gateway_connections_max {
            limits.connections_max = all;
            limits.connections_per_client_max = (all / 4).max(1);
        }
        take! { self,
            limits.connections_per_client_max => gateway_connections_per_client_max;
            limits.openings_max => gateway_openings_max;
            limits.openings_per_client_max => gateway_openings_per_client_max;
            limits.opening_timeout_ms => ms gateway_opening_timeout;
            limits.proxy_header_bytes_max => gateway_proxy_header_bytes_max;
            limits.headers_max => gateway_headers_max;
            limits.head_bytes_max => gateway_head_bytes_max;
            limits.target_bytes_max => gateway_target_bytes_max;
            limits.trailers_max => gateway_trailers_max;
            limits.trailer_bytes_max => gateway_trailer_bytes_max;
            limits.chunk_extension_bytes_max => gateway_chunk_extension_bytes_max;
            limits.pipelined_max => gateway_pipelined_max;
            limits.body_bytes_max => gateway_body_bytes_max;
            limits.unread_bytes_max => gateway_unread_bytes_max;
            limits.head_timeout_ms => ms gateway_head_timeout;
            limits.body_timeout_ms => ms gateway_body_timeout;
            limits.answer_timeout_ms => ms gateway_answer_timeout;
            limits.rate_min => gateway_rate_min;
            limits.idle_timeout_ms => ms gateway_idle_timeout;
            limits.rest_after_ms => ms gateway_rest_after;
            limits.tunnels_max => gateway_tunnels_max;
            limits.tunnels_per_client_max => gateway_tunnels_per_client_max;
            limits.tunnel_idle_timeout_ms => ms gateway_tunnel_idle_timeout;
            limits.tunnel_drain_ms => ms gateway_tunnel_drain;
            limits.drain_idle_ms => ms drain_idle;
            limits.h2.streams_max => gateway_h2_streams_max;
            limits.h2.resets_max => gateway_h2_resets_max;
            limits.h2.pings_max => gateway_h2_pings_max;
            limits.h2.settings_max => gateway_h2_settings_max;
            limits.h2.continuations_max => gateway_h2_continuations_max;
            limits.h2.empty_data_max => gateway_h2_empty_data_max;
            limits.h2.window_updates_max => gateway_h2_window_updates_max;
            limits.h2.other_frames_max => gateway_h2_other_frames_max;
            limits.h2.window_ms => ms gateway_h2_window;
        }
    }

    fn access_log(&self) -> Result<Option<gateway::AccessLogConfig>, UpError> {
        let Some(file) = &self.access_log else {
            return Ok(None);
        };
        let mut log = gateway::AccessLogConfig {
            file: Some(file.clone()),
            ..Default::default()
        };
        if file.as_os_str() == "-" {
            log.file = None;
        }
        set(&mut log.sample, self.access_log_sample);
        set(&mut log.queue_max, self.access_log_queue_max);
        log.sample = within("--access-log-sample", log.sample, "", 0.0..=1.0)?;
        Ok(Some(log))
    }

    /// Where traces go; `None` where no collector is named.
    ///
    /// # Errors
    /// [`UpError`] when the headers cannot be read.
    pub(super) fn otlp(&self, node: &str) -> Result<Option<otlp::Settings>, UpError> {
        let Some(endpoint) = &self.otlp_endpoint else {
            return Ok(None);
        };
        let headers = self.otlp_headers_file.as_deref().map(otlp::headers);
        Ok(Some(otlp::Settings {
            endpoint: endpoint.clone(),
            headers: headers.transpose()?.unwrap_or_default(),
            timeout: self
                .otlp_timeout
                .map_or(Duration::from_secs(10), |span| span.0),
            queue_max: self.otlp_queue_max.unwrap_or(4096),
            node: node.to_owned(),
        }))
    }
}

/// A value within its bounds, as people give it in `unit`.
pub(super) fn within<T: PartialOrd + fmt::Display>(
    flag: &str,
    value: T,
    unit: &str,
    bounds: RangeInclusive<T>,
) -> Result<T, UpError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (start, end) = bounds.into_inner();
    let fault = format!("{flag} is {value}{unit}, it goes from {start}{unit} to {end}{unit}");
    Err(UpError::Options(fault))
}

pub(super) fn set<T>(default: &mut T, configured: Option<T>) {
    if let Some(value) = configured {
        *default = value;
    }
}

fn read(path: &Path) -> Result<Options, UpError> {
    let fault = |line: Option<usize>, cause: String| UpError::Config {
        path: path.to_owned(),
        line,
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(|error| fault(None, error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start].matches('\n').count() + 1);
        fault(line, error.message().trim().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Options) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tollway.toml");
        std::fs::write(&path, text).unwrap();
        (
            folder,
            Options {
                config: Some(path),
                ..Options::default()
            },
        )
    }

    #[test]
    fn flags_win_over_the_file() {
        let (_folder, mut options) =
            file("data-dir = '/a'\ndrain-timeout = '5s'\ngateway-workers = 3\n");
        options.data_dir = Some("/b".into());
        let options = options.with_file().unwrap();
        assert_eq!(options.data_dir(), PathBuf::from("/b"));
        assert_eq!(options.drain_timeout(), Duration::from_secs(5));
        assert_eq!(options.gateway_workers, Some(3));
    }

    /// req: C8
    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let (_folder, options) = file("data-dir = '/a'\n\ndata-dri = '/b'\n");
        let message = options.with_file().unwrap_err().to_string();
        assert!(
            message.contains("tollway.toml:3: unknown field `data-dri`"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let (_folder, options) = file("drain-timeout = 30\n");
        let message = options.with_file().unwrap_err().to_string();
        assert!(message.contains("tollway.toml:1: "), "{message}");
        let (_folder, options) = file("drain-timeout = '30'\n");
        let message = options.with_file().unwrap_err().to_string();
        assert!(message.contains("write `30s`"), "{message}");
    }
}
