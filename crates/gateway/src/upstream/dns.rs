//! Names by DNS: A and AAAA, and SRV (RFC 2782). What the hosts file says goes before DNS.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};

use super::names::{Discovery, Sought, TARGETS_MAX, Target, Tell};
use crate::config::UpstreamConfig;

/// Between two look-ups of a name that fails, and of one whose addresses do not answer.
const RETRY: Duration = Duration::from_secs(1);
/// What a weight of SRV records is multiplied by: records of weight 0 are to have a very small share, not none.
const WEIGHT_SCALE: u32 = 10;

/// DNS.
pub(crate) struct Dns {
    resolver: Result<TokioResolver, String>,
    times: Times,
}

/// How long records are believed.
#[derive(Clone, Copy)]
struct Times {
    ttl_min: Duration,
    ttl_max: Duration,
    stale: Duration,
}

impl Dns {
    /// By the system's servers, or by those that are configured.
    pub(crate) fn new(config: &UpstreamConfig) -> Self {
        let resolver = resolver(&config.dns_servers).map_err(|error| error.to_string());
        if let Err(error) = &resolver {
            tracing::error!(
                error,
                "names cannot be looked up: the resolver cannot be set up"
            );
        }
        Self {
            resolver,
            times: Times {
                ttl_min: Duration::from_millis(config.dns_ttl_ms_min),
                ttl_max: Duration::from_millis(config.dns_ttl_ms_max),
                stale: Duration::from_millis(config.dns_stale_ms_max),
            },
        }
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let at = |server: &SocketAddr| {
            let connection = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            config.connections = config.connections.into_iter().map(connection).collect();
            config
        };
        let config = ResolverConfig::from_parts(None, vec![], servers.iter().map(at).collect());
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = ResolverOpts::default();
        builder
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Each name is followed once, and asked for when its records end: nothing would be found in a cache.
    options.cache_size = 0;
    builder.build()
}

impl Discovery for Dns {
    fn follow(&self, tell: Tell) -> Pin<Box<dyn Future<Output = ()>>> {
        let (resolver, times) = (self.resolver.clone(), self.times);
        Box::pin(async move {
            match resolver {
                Ok(resolver) => follow(&resolver, times, &tell).await,
                Err(error) => tell.failed(error),
            }
        })
    }
}

async fn follow(resolver: &TokioResolver, times: Times, tell: &Tell) {
    let mut believed_until = None;
    loop {
        let asked = Instant::now();
        let wait = match look_up(resolver, tell.sought()).await {
            Ok((targets, until)) => {
                tell.found(targets);
                let ttl = until.saturating_duration_since(asked);
                let ttl = ttl.clamp(times.ttl_min, times.ttl_max);
                believed_until = Some(asked + ttl + times.stale);
                ttl
            }
            Err(error) => {
                tell.failed(error.to_string());
                if believed_until.is_some_and(|until| Instant::now() > until) {
                    tell.found(Vec::new());
                    tell.failed(error.to_string());
                    believed_until = None;
                }
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = tell.asked_again() => tokio::time::sleep(RETRY.saturating_sub(asked.elapsed())).await,
        }
        if !tell.is_wanted() {
            return;
        }
    }
}

/// What a name leads to, and until when that holds.
async fn look_up(
    resolver: &TokioResolver,
    sought: &Sought,
) -> Result<(Vec<Target>, Instant), NetError> {
    match sought {
        Sought::Host(host) => {
            let (addresses, until) = addresses(resolver, host).await?;
            let target = Target {
                priority: 0,
                host: host.clone(),
                port: None,
                weight: 1,
                addresses,
            };
            Ok((vec![target], until))
        }
        Sought::Services(name) => services(resolver, name).await,
    }
}

async fn addresses(
    resolver: &TokioResolver,
    host: &str,
) -> Result<(Vec<IpAddr>, Instant), NetError> {
    let found = resolver.lookup_ip(host).await?;
    Ok((found.iter().collect(), found.valid_until()))
}

/// The targets of SRV records with their addresses. Those that have none are left out; when all are, that is a failure.
async fn services(
    resolver: &TokioResolver,
    name: &str,
) -> Result<(Vec<Target>, Instant), NetError> {
    let found = resolver.srv_lookup(name).await?;
    let mut until = found.valid_until();
    let records = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            // A single dot: the service is decidedly not available there.
            RData::SRV(srv) if !srv.target.is_root() => Some(srv),
            _ => None,
        });
    let records: Vec<_> = records.take(TARGETS_MAX).collect();
    let hosts: Vec<String> = records.iter().map(|srv| srv.target.to_ascii()).collect();
    let looked_up = join_all(hosts.iter().map(|host| addresses(resolver, host))).await;
    let mut targets = Vec::new();
    let mut fault = None;
    for ((srv, host), answer) in records.iter().zip(&hosts).zip(looked_up) {
        match answer {
            Ok((addresses, host_until)) => {
                until = until.min(host_until);
                targets.push(Target {
                    priority: srv.priority,
                    host: host.trim_end_matches('.').to_owned(),
                    port: Some(srv.port),
                    weight: (u32::from(srv.weight) * WEIGHT_SCALE).max(1),
                    addresses,
                });
            }
            Err(error) => fault = Some(error),
        }
    }
    match fault {
        Some(fault) if targets.is_empty() => Err(fault),
        _ => Ok((targets, until)),
    }
}
