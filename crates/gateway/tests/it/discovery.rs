//! Endpoints by name, at a real DNS server; checks by gRPC, at a real gRPC server.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use parts::dnsmasq::Service;
use parts::{Dnsmasq, GrpcHealth};
use snapshot::{Check, CheckAsk, Endpoint, Health, Lookup, Scheme};

use crate::balance::{Answering, asked, until};
use crate::sandbox::{Nobody, Sandbox, Setup, soon};

fn by_name(name: &str, port: u16, lookup: Lookup) -> Endpoint {
    Endpoint {
        lookup,
        ..Endpoint::new(Scheme::Http, name, port).unwrap()
    }
}

/// Two backends at one port of two addresses of loopback.
async fn twins() -> (Answering, Answering, u16) {
    twins_at("127.0.0.2").await
}

async fn twins_at(second: &str) -> (Answering, Answering, u16) {
    for _ in 0..20 {
        let a = Answering::named("a").await;
        let port = a.addr.port();
        if let Ok(b) = Answering::at(&format!("{second}:{port}"), "b").await {
            return (a, b, port);
        }
    }
    panic!("no port is free at two addresses");
}

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn at_server(dns: &Dnsmasq, endpoint: Endpoint) -> Setup {
    let mut setup = Setup::new(vec![endpoint]);
    setup.config.upstream.dns_servers = vec![dns.addr()];
    setup
}

fn only(name: &str) -> impl Fn(&BTreeMap<String, usize>) -> bool {
    move |seen| seen.len() == 1 && seen.contains_key(name)
}

/// req: GW3
#[tokio::test]
async fn each_address_of_a_name_is_an_endpoint_and_changes_are_followed() {
    let (_a, _b, port) = twins().await;
    let dns = Dnsmasq::start(&[("orders", ONE), ("orders", TWO)], &[], 1);
    let setup = at_server(&dns, by_name("orders.test", port, Lookup::Addresses));
    let sandbox = setup.start();
    // The first call waits for the name; both get their share.
    let seen = asked(&sandbox, 8).await;
    assert_eq!(
        seen.values().copied().collect::<Vec<_>>(),
        [4, 4],
        "{seen:?}"
    );
    dns.set_hosts(&[("orders", TWO)]);
    until("one address is left", &sandbox, only("b")).await;
    dns.set_hosts(&[("orders", ONE), ("orders", TWO)]);
    until("the other one is back", &sandbox, |seen| seen.len() == 2).await;
}

/// req: GW3
#[tokio::test]
async fn addresses_of_both_families_are_endpoints() {
    let (_a, _b, port) = twins_at("[::1]").await;
    let dns = Dnsmasq::start(&[("orders", ONE), ("orders", SIX)], &[], 1);
    let setup = at_server(&dns, by_name("orders.test", port, Lookup::Addresses));
    let sandbox = setup.start();
    let seen = asked(&sandbox, 8).await;
    assert_eq!(
        seen.values().copied().collect::<Vec<_>>(),
        [4, 4],
        "{seen:?}"
    );
    let told = sandbox.gateway.endpoints().reports();
    let names = told[0].endpoints.iter();
    assert!(
        names
            .clone()
            .any(|endpoint| endpoint.endpoint.contains("[::1]")),
        "{told:?}"
    );
    // AAAA alone.
    dns.set_hosts(&[("orders", SIX)]);
    until("the second alone", &sandbox, only("b")).await;
    dns.set_hosts(&[("orders", ONE)]);
    until("the first alone", &sandbox, only("a")).await;
    // One endpoint whose host has both: one that does not answer is no obstacle, whichever comes first.
    drop(_a);
    dns.set_hosts(&[("orders", ONE), ("orders", SIX)]);
    let setup = at_server(&dns, by_name("orders.test", port, Lookup::Host));
    until("the one that answers", &setup.start(), only("b")).await;
}

/// req: GW3
#[tokio::test]
async fn records_are_believed_as_long_as_they_say() {
    let (_a, _b, port) = twins().await;
    let life = Duration::from_secs(4);
    let dns = Dnsmasq::start(&[("orders", ONE)], &[], 4);
    let setup = at_server(&dns, by_name("orders.test", port, Lookup::Addresses));
    let before_first = Instant::now();
    let sandbox = setup.start();
    assert!(only("a")(&asked(&sandbox, 4).await));
    dns.set_hosts(&[("orders", TWO)]);
    while before_first.elapsed() < life {
        let seen = asked(&sandbox, 4).await;
        assert!(
            only("a")(&seen) || before_first.elapsed() >= life,
            "before their time: {seen:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("they are looked up again", &sandbox, only("b")).await;
}

/// A connection that stands does not keep calls at an address that the host has no more.
#[tokio::test]
async fn an_endpoint_moves_with_its_host() {
    let (_a, _b, port) = twins().await;
    let dns = Dnsmasq::start(&[("orders", ONE)], &[], 1);
    let sandbox = at_server(&dns, by_name("orders.test", port, Lookup::Host)).start();
    until("it is at the first", &sandbox, only("a")).await;
    dns.set_hosts(&[("orders", TWO)]);
    until("it is at the second", &sandbox, only("b")).await;
}

#[tokio::test]
async fn a_name_that_vanishes_is_believed_for_a_while_and_not_for_ever() {
    let (_a, _b, port) = twins().await;
    let dns = Dnsmasq::start(&[("orders", ONE)], &[], 1);
    let started = |stale_ms_max| {
        let mut setup = at_server(&dns, by_name("orders.test", port, Lookup::Addresses));
        setup.config.upstream.dns_stale_ms_max = stale_ms_max;
        setup.start()
    };
    let (believing, doubting) = (started(300_000), started(1_000));
    for sandbox in [&believing, &doubting] {
        assert!(only("a")(&asked(sandbox, 2).await));
    }
    dns.set_hosts(&[]);
    let told = || believing.gateway.endpoints().reports()[0].fault.clone();
    soon("the fault is told", async {
        while told().is_none() {
            assert!(only("a")(&asked(&believing, 1).await));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    until("it is given up", &doubting, only("502")).await;
    assert!(
        only("a")(&asked(&believing, 2).await),
        "the last good one stands"
    );
    dns.set_hosts(&[("orders", ONE)]);
    until("it is back", &doubting, only("a")).await;
}

/// req: GW3
#[tokio::test]
async fn services_have_ports_weights_and_priorities() {
    let (a, b, c) = (
        Answering::named("a").await,
        Answering::named("b").await,
        Answering::named("c").await,
    );
    let service = |backend: &Answering, priority, weight| Service {
        name: "orders",
        target: "host",
        port: backend.addr.port(),
        priority,
        weight,
    };
    let services = [
        service(&a, 10, 30),
        service(&b, 10, 10),
        service(&c, 20, 10),
    ];
    let dns = Dnsmasq::start(&[("host", ONE)], &services, 1);
    let entry = by_name("_http._tcp.orders.test", 80, Lookup::Services);
    let mut setup = at_server(&dns, entry);
    setup.backend.health.eject_after = 2;
    setup.backend.health.max_ejected_percent = 100;
    let sandbox = setup.start();
    let seen = asked(&sandbox, 8).await;
    let shares: Vec<_> = seen.iter().map(|(name, count)| (&**name, *count)).collect();
    assert_eq!(shares, [("a", 6), ("b", 2)]);
    // The next priority has no calls but when the first one cannot take them.
    for backend in [&a, &b] {
        backend
            .status
            .store(503, std::sync::atomic::Ordering::SeqCst);
    }
    until("the next priority takes over", &sandbox, only("c")).await;
}

pub(crate) fn grpc_check(service: &str) -> Health {
    let ask = CheckAsk::Grpc {
        service: service.to_owned(),
    };
    Health {
        check: Some(Check {
            ask,
            every_ms: 50,
            timeout_ms: 60_000,
        }),
        healthy_after: 1,
        unhealthy_after: 1,
        ..Health::default()
    }
}

pub(crate) async fn says(sandbox: &Sandbox, health: &str, cause: &str) {
    let what = format!("{health}: {cause}");
    soon(&what, async {
        loop {
            let reports = sandbox.gateway.endpoints().reports();
            let first = reports.first().and_then(|report| report.endpoints.first());
            if first
                .is_some_and(|first| first.health.as_str() == health && first.cause.contains(cause))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// req: GW2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_checks_agree_with_a_real_health_service() {
    let mut server = GrpcHealth::start();
    server.set("shop.Orders", "SERVING");
    let addr = server.addr();
    let IpAddr::V4(_) = addr.ip() else {
        panic!("it is at 127.0.0.1")
    };
    let endpoint = Endpoint::new(Scheme::Http, "127.0.0.1", addr.port()).unwrap();
    let mut setup = Setup::new(vec![endpoint.clone()]);
    setup.backend.health = grpc_check("shop.Orders");
    let sandbox = setup.start();
    says(&sandbox, "healthy", "the check succeeds").await;
    server.set("shop.Orders", "NOT_SERVING");
    says(&sandbox, "unhealthy", "says NotServing").await;
    server.set("shop.Orders", "SERVING");
    says(&sandbox, "healthy", "").await;
    // Of a service that it does not know it says so by a status of the call.
    let mut setup = Setup::new(vec![endpoint.clone()]);
    setup.backend.health = grpc_check("shop.Nothing");
    says(&setup.start(), "unhealthy", "gRPC status 5").await;
    // An empty name is the server as a whole.
    let mut setup = Setup::new(vec![endpoint]);
    setup.backend.health = grpc_check("");
    let sandbox = setup.start();
    says(&sandbox, "healthy", "").await;
    // The check under way breaks off, or the next one finds nobody.
    drop(server);
    says(&sandbox, "unhealthy", "").await;
    let nobody = Nobody::bind();
    let mut setup = Setup::new(vec![nobody.endpoint()]);
    setup.backend.health = grpc_check("");
    says(&setup.start(), "unhealthy", "connecting failed").await;
}
