//! What a call costs in clear text: proxies under load by turns.

use super::Bench;
use super::envoy::Envoy;
use super::haproxy::Haproxy;
use super::load::{Load, Place};
use super::nginx::Nginx;
use super::report::Report;
use super::tollway::{Folder, Setup, Tollway};
use super::turns::{Case, Turns, by_turns, table};

/// Generator and backend have core 1, the proxy has core 0.
pub(crate) const APART: Place = Place {
    cores: Some("1"),
    threads: 1,
};
/// Generator and backend share all cores with the proxy.
pub(crate) const TOGETHER: Place = Place {
    cores: None,
    threads: 2,
};

/// At most so many times the CPU of nginx as a plain proxy.
const PLAIN_MAX: f64 = 1.10;
const MANAGED_MAX: f64 = 1.25;
/// The same, of a typical stack of policies.
const TYPICAL_MAX: f64 = 1.35;
/// At most so many times the CPU of a peer that does the same.
const ENVOY_MAX: f64 = 0.40;
const HAPROXY_MAX: f64 = 0.45;
/// At most so many times the CPU on one core.
const TWO_CORES_MAX: f64 = 1.10;

/// A platform with the APIs of `benches/tollway.yaml`, and who may call them.
pub(crate) struct Served {
    /// The platform.
    pub(crate) platform: Tollway,
    token: String,
    key: String,
}

impl Served {
    /// Starts a platform on so many cores.
    pub(crate) async fn start(
        bench: &Bench,
        folder: &Folder,
        backend: &Nginx,
        setup: &Setup<'_>,
    ) -> anyhow::Result<Self> {
        let platform = Tollway::start(&bench.tollway, folder, setup).await?;
        let control = platform.control().await?;
        control.apply_bench(&bench.configs, backend.address).await?;
        Ok(Self {
            token: control.token("bench").await?,
            key: control.api_key("bench").await?,
            platform,
        })
    }

    fn load(&self, api: &str, header: Option<String>) -> Load {
        Load::Http1 {
            url: format!("http://{}/{api}/1.0.0/items/42", self.platform.gateway),
            header,
        }
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    fn cases(&self) -> [Case<'_>; 3] {
        let case = |name, load| Case {
            name,
            process: &self.platform.process,
            load,
        };
        [
            case("Tollway, plain call (open API)", self.load("plain", None)),
            case(
                "Tollway, managed call (JWT, subscription, quota, metrics, usage)",
                self.load("managed", Some(self.bearer())),
            ),
            case(
                "Tollway, managed call (API key, subscription, quota, metrics, usage)",
                self.load("managed", Some(format!("X-API-Key: {}", self.key))),
            ),
        ]
    }
}

fn plain_nginx(nginx: &Nginx) -> Case<'_> {
    Case {
        name: "nginx, plain proxy",
        process: &nginx.process,
        load: Load::Http1 {
            url: format!("http://{}/plain/1.0.0/items/42", nginx.address),
            header: None,
        },
    }
}

/// The proxy has one core for itself.
pub(crate) async fn one_core(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let core = Some("0");
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let nginx = Nginx::proxy(&bench.configs, backend.address, 1, core).await?;
    let folder = Folder::new()?;
    let served = Served::start(bench, &folder, &backend, &Setup::cores(1, core)).await?;
    let issuer = served.platform.issuer().await?;
    let envoy = Envoy::start(&bench.configs, backend.address, &issuer, core).await?;
    let haproxy = Haproxy::start(&bench.configs, backend.address, &issuer, core).await?;
    let peer = |name, process, address| Case {
        name,
        process,
        load: Load::Http1 {
            url: format!("http://{address}/managed/1.0.0/items/42"),
            header: Some(served.bearer()),
        },
    };
    let mut cases = vec![plain_nginx(&nginx)];
    cases.extend(served.cases());
    let name = "HAProxy, jwt_verify + stick table";
    cases.push(peer(name, &haproxy.process, haproxy.address));
    if let Some(envoy) = &envoy {
        let name = "Envoy, jwt_authn (tokens cached) + local_ratelimit";
        cases.push(peer(name, &envoy.process, envoy.address));
    }
    let turns = by_turns(bench, APART, &cases).await?;
    let note = "The proxy has one worker and is pinned to core 0; wrk and the backend are pinned to core 1.";
    report
        .tables
        .push(table("Calls, one core", note, &cases, &turns));
    beside_nginx("one core", &turns, report);
    let (managed, figures) = (&turns[2], &mut report.figures);
    let what = "Managed call (JWT), × HAProxy that does the same";
    figures.ratio(what, managed.times(&turns[4]), Some(HAPROXY_MAX));
    match turns.get(5) {
        Some(envoy) => {
            let what = "Managed call (JWT), × Envoy that does the same";
            figures.ratio(what, managed.times(envoy), Some(ENVOY_MAX));
        }
        None => figures.missing("Managed call (JWT), × Envoy", "Envoy is not installed"),
    }
    memory_after(&served, &turns, 1, report)
}

/// A call through a stack of policies as people put it together.
pub(crate) async fn typical(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let core = Some("0");
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let nginx = Nginx::proxy(&bench.configs, backend.address, 1, core).await?;
    let folder = Folder::new()?;
    folder.backend_key()?;
    let platform = Tollway::start(&bench.tollway, &folder, &Setup::cores(1, core)).await?;
    let control = platform.control().await?;
    control.apply_bench(&bench.configs, backend.address).await?;
    control.apply_file(&bench.configs, "typical.yaml").await?;
    let token = control.token("bench").await?;
    let cases = [
        plain_nginx(&nginx),
        Case {
            name: "Tollway, typical stack (JWT, scope, three limits, CORS, metrics, usage, backend JWT)",
            process: &platform.process,
            load: Load::Http1 {
                url: format!("http://{}/typical/1.0.0/items/42", platform.gateway),
                header: Some(format!("Authorization: Bearer {token}")),
            },
        },
    ];
    let turns = by_turns(bench, APART, &cases).await?;
    let note =
        "What stands in `benches/typical.yaml`. The proxy has one worker and is pinned to core 0.";
    report
        .tables
        .push(table("Typical stack, one core", note, &cases, &turns));
    let what = "Typical stack, × nginx plain, one core";
    let times = turns[1].times(&turns[0]);
    report.figures.ratio(what, times, Some(TYPICAL_MAX));
    Ok(())
}

/// The proxy has two, and its workers contend for the same counters.
pub(crate) async fn two_cores(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let cores = Some("0,1");
    let backend = Nginx::backend(&bench.configs, None).await?;
    let nginx = Nginx::proxy(&bench.configs, backend.address, 2, cores).await?;
    let folder = Folder::new()?;
    let served = Served::start(bench, &folder, &backend, &Setup::cores(2, cores)).await?;
    let mut cases = vec![plain_nginx(&nginx)];
    cases.extend(served.cases());
    let turns = by_turns(bench, TOGETHER, &cases).await?;
    let note = "The proxy has two workers on cores 0 and 1. On a machine with two cores, wrk and the backend share them \
                with it: CPU per request can be compared, throughput and latency are those of the whole.";
    report
        .tables
        .push(table("Calls, two cores", note, &cases, &turns));
    beside_nginx("two cores", &turns, report);
    memory_after(&served, &turns, 2, report)
}

/// The same calls of one subscription through one worker and through two, which count in the same places.
pub(crate) async fn contention(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let backend = Nginx::backend(&bench.configs, None).await?;
    let folders = [Folder::new()?, Folder::new()?];
    let one = Setup::cores(1, Some("0"));
    let one = Served::start(bench, &folders[0], &backend, &one).await?;
    let two = Setup::cores(2, Some("0,1"));
    let two = Served::start(bench, &folders[1], &backend, &two).await?;
    let managed = |name, served: &'_ Served| (name, served.load("managed", Some(served.bearer())));
    let cases: Vec<_> = [
        (&one, managed("Tollway, managed call, one worker", &one)),
        (&two, managed("Tollway, managed call, two workers", &two)),
    ]
    .into_iter()
    .map(|(served, (name, load))| Case {
        name,
        process: &served.platform.process,
        load,
    })
    .collect();
    let turns = by_turns(bench, TOGETHER, &cases).await?;
    let note =
        "One subscription, one quota. The generator shares all cores with the proxy in both cases.";
    report
        .tables
        .push(table("One core and two", note, &cases, &turns));
    let what = "Managed call (JWT) on two cores, × on one";
    report
        .figures
        .ratio(what, turns[1].times(&turns[0]), Some(TWO_CORES_MAX));
    Ok(())
}

fn beside_nginx(cores: &str, turns: &[Turns], report: &mut Report) {
    for (what, this, target) in [
        ("Plain call", &turns[1], Some(PLAIN_MAX)),
        ("Managed call (JWT)", &turns[2], Some(MANAGED_MAX)),
        ("Managed call (API key)", &turns[3], None),
    ] {
        let what = format!("{what}, × nginx plain, {cores}");
        report.figures.ratio(what, this.times(&turns[0]), target);
    }
}

fn memory_after(
    served: &Served,
    turns: &[Turns],
    workers: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "calls are far below 2^53")]
    let millions = turns[1..=3].iter().map(Turns::calls).sum::<u64>() as f64 / 1e6;
    let what = format!("Memory after {millions:.1} million calls, {workers} worker(s)");
    let memory = served.platform.process.resident_mb()?;
    report.figures.megabytes(what, memory, None);
    Ok(())
}
