//! A gateway with one open API that passes everything to one backend: for measuring what a plain call costs.
//!
//! `plain_proxy LISTEN BACKEND [WORKERS]`, for example `plain_proxy 127.0.0.1:8280 127.0.0.1:9000 1`. Serves `/bench/*`
//! by a template with one parameter. Ends with SIGTERM or Ctrl-C after a drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Digest, Org, SystemClock};
use gateway::Config;
use http::Method;
use policy::{Access, Chain, NobodyKnown, Runtime};
use snapshot::{
    Api, Backend, BackendKey, Endpoint, Gate, Mark, Operation, RouterBuilder, Scheme, Snapshot,
    Targets,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn snapshot(backend: SocketAddr) -> Result<Snapshot, Box<dyn std::error::Error>> {
    let org = Org::default_org();
    let key = BackendKey {
        org: org.clone(),
        name: "bench".into(),
    };
    let mut router = RouterBuilder::default();
    for template in ["/", "/{file}"] {
        let operation = Operation {
            mark: Mark::default(),
            label: format!("GET {template}").into(),
            template: template.into(),
            chain: Chain::new(Vec::new(), Access::Open).into(),
            targets: Arc::new(Targets {
                production: Some(key.clone()),
                sandbox: None,
            }),
        };
        router.insert(template, Method::GET, operation)?;
    }
    let api = Api {
        org,
        name: "bench-1.0.0".to_owned(),
        api: "bench".to_owned(),
        version: "1.0.0".to_owned(),
        vhosts: Vec::new(),
        mounts: vec!["/bench".to_owned()],
        gate: Gate::Serve,
        router: router.build(),
        preflight: Chain::new(Vec::new(), Access::Open),
        protected: None,
        backend_keys: Box::default(),
        digest: Digest::of(b"bench"),
    };
    let endpoint = Endpoint::new(Scheme::Http, &backend.ip().to_string(), backend.port());
    let backend = Backend {
        timeout_ms: 10_000,
        ..Backend::at(
            key.clone(),
            vec![endpoint.ok_or("the backend has no address")?],
        )
    };
    Ok(Snapshot::new(1, [Arc::new(api)], [(key, Arc::new(backend))]).0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, backend, rest @ ..] = arguments.as_slice() else {
        return Err("plain_proxy LISTEN BACKEND [WORKERS]".into());
    };
    let config = Config {
        http: Some(listen.parse()?),
        https: None,
        workers: rest.first().map_or(Ok(1), |text| text.parse())?,
        ..Config::default()
    };
    let runtime = Runtime::new(
        Arc::new(NobodyKnown),
        Arc::new(limits::Authority::local(limits::Quotas::new(
            limits::Room::for_keys(1000),
        ))),
        Arc::new(SystemClock::new()),
    );
    let snapshots = Arc::new(ArcSwap::from_pointee(Some(snapshot(backend.parse()?)?)));
    let gateway = gateway::start(config, Arc::new(runtime), snapshots)?;
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    waiting.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            done = tokio::signal::ctrl_c() => done?,
        }
        gateway.drain(Duration::from_secs(5)).await;
        Ok(())
    })
}
