use base::{Clock, ManualClock, Org};
use proptest::prelude::*;
use snapshot::{BackendKey, Check, CheckAsk, Health, Scheme};

use super::*;
use crate::upstream::names::Tell;
use crate::upstream::state::{States, WHOLE};

fn key(name: &str) -> BackendKey {
    BackendKey {
        org: Org::default_org(),
        name: name.into(),
    }
}

struct World {
    states: States,
    clock: Arc<ManualClock>,
    wanted: tokio::sync::mpsc::UnboundedReceiver<Tell>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let (names, wanted) = Names::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self {
            states: States::new(1, names),
            clock,
            wanted,
        }
    }

    fn group(&self, backend: Backend) -> Arc<Group> {
        self.states.group(&Arc::new(backend))
    }

    fn now(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    fn fares(&self, group: &Group, index: usize, did: Did) {
        let state = Arc::clone(&group.members.load().list[index].state);
        group.fared(&state, did, self.now(), self.clock.unix_ms());
    }

    fn ejected(&self, group: &Group) -> Vec<bool> {
        let members = group.members.load();
        let list = members.list.iter();
        list.map(|member| member.state.is_ejected(self.now()))
            .collect()
    }
}

fn backend(endpoints: usize) -> Backend {
    let at = |port| Endpoint::new(Scheme::Http, "127.0.0.1", port).unwrap();
    let ports = (0..endpoints).map(|port| u16::try_from(8_000 + port).unwrap());
    Backend::at(key("b"), ports.map(at).collect())
}

#[test]
fn failures_in_a_row_eject_for_longer_each_time() {
    let world = World::new();
    let group = world.group(backend(4));
    for _ in 0..4 {
        world.fares(&group, 0, Did::ConnectFailed);
    }
    // An answer in between: not in a row.
    world.fares(&group, 0, Did::Answered(200));
    for _ in 0..4 {
        world.fares(&group, 0, Did::Answered(503));
    }
    // Says nothing of the endpoint.
    world.fares(&group, 0, Did::GaveUp);
    assert_eq!(world.ejected(&group), [false; 4]);
    world.fares(&group, 0, Did::TimedOut);
    assert_eq!(world.ejected(&group), [true, false, false, false]);
    world.clock.advance_ms(29_999);
    assert!(world.ejected(&group)[0]);
    world.clock.advance_ms(1);
    assert!(!world.ejected(&group)[0]);
    for _ in 0..5 {
        world.fares(&group, 0, Did::Broke);
    }
    world.clock.advance_ms(59_999);
    assert!(world.ejected(&group)[0], "twice as long");
    world.clock.advance_ms(1);
    assert!(!world.ejected(&group)[0]);
    // Good for ten times the first length: forgiven.
    world.clock.advance_ms(300_001);
    for _ in 0..5 {
        world.fares(&group, 0, Did::Broke);
    }
    world.clock.advance_ms(30_000);
    assert!(!world.ejected(&group)[0]);
}

#[test]
fn what_counts_as_failed_is_configured() {
    for (on, failing, passing) in [
        (EjectOn::NoAnswer, Did::Broke, Did::Answered(503)),
        (
            EjectOn::GatewayErrors,
            Did::Answered(504),
            Did::Answered(500),
        ),
        (
            EjectOn::ServerErrors,
            Did::Answered(500),
            Did::Answered(499),
        ),
    ] {
        let world = World::new();
        let mut backend = backend(2);
        backend.health.eject_on = on;
        let group = world.group(backend);
        for _ in 0..10 {
            world.fares(&group, 0, failing);
            world.fares(&group, 1, passing);
        }
        assert_eq!(world.ejected(&group), [true, false], "{on:?}");
    }
}

proptest! {
    /// req: GW2. However calls fare, no more than the floor lets are ejected at a time.
    #[test]
    fn the_floor_holds(
        count in 1_usize..12,
        percent in 0_u32..=100,
        fates in prop::collection::vec((0_usize..12, 0_u8..3, 0_u64..20_000), 0..300),
    ) {
        let world = World::new();
        let mut backend = backend(count);
        backend.failover = vec![key("other")];
        backend.health.eject_after = 2;
        backend.health.max_ejected_percent = percent;
        let group = world.group(backend);
        for (index, fate, wait_ms) in fates {
            let did = [Did::ConnectFailed, Did::Answered(502), Did::Answered(200)][usize::from(fate)];
            world.fares(&group, index % count, did);
            world.clock.advance_ms(wait_ms);
            let ejected = world.ejected(&group).iter().filter(|is| **is).count();
            prop_assert!(ejected <= count * percent as usize / 100);
        }
    }
}

#[test]
fn an_endpoint_that_comes_back_starts_slowly() {
    let world = World::new();
    let mut backend = backend(2);
    backend.health.eject_after = 1;
    let group = world.group(backend);
    let state = Arc::clone(&group.members.load().list[0].state);
    let share = || state.share(world.now(), 10_000);
    assert_eq!(share(), WHOLE, "it was there from the beginning");
    world.fares(&group, 0, Did::Broke);
    world.clock.advance_ms(30_000);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(share());
        world.clock.advance_ms(2_000);
    }
    assert_eq!(seen, [100, 200, 400, 600, 800, 1000]);
}

#[test]
fn so_many_checks_in_a_row_decide_and_the_first_by_itself() {
    let world = World::new();
    let mut backend = backend(1);
    backend.health = Health {
        check: Some(Check {
            ask: CheckAsk::Tcp,
            every_ms: 1,
            timeout_ms: 1,
        }),
        healthy_after: 2,
        unhealthy_after: 3,
        ..Health::default()
    };
    let group = world.group(backend);
    let state = Arc::clone(&group.members.load().list[0].state);
    let rules = &group.backend.health;
    let check = |good: bool| {
        let found = if good {
            Ok(())
        } else {
            Err("refused".to_owned())
        };
        state.note_check(found, rules, (world.now(), world.clock.unix_ms()));
        state.checked() == Checked::Unhealthy
    };
    let ill: Vec<_> = [
        true, false, false, true, false, false, false, true, true, false,
    ]
    .map(check)
    .into();
    let expected = [
        false, false, false, false, false, false, true, true, false, false,
    ];
    assert_eq!(ill, expected);
    assert_eq!(state.note().unwrap().cause, "the check succeeds");
    state.forget_checks();
    assert!(check(false), "the first one decides");
    assert_eq!(state.note().unwrap().cause, "refused");
}

/// req: C4
#[test]
fn an_edited_backend_keeps_what_is_known_of_its_endpoints() {
    let world = World::new();
    let before = world.group(backend(3));
    for _ in 0..5 {
        world.fares(&before, 1, Did::Broke);
    }
    let after = world.group(Backend {
        timeout_ms: 1,
        ..backend(4)
    });
    drop(before);
    assert_eq!(world.ejected(&after), [false, true, false, false]);
    world.states.forget(|_| true);
    assert_eq!(world.states.all().len(), 1, "it is in use");
    drop(after);
    world.states.forget(|_| true);
    assert!(world.states.all().is_empty());
}

#[test]
fn what_a_name_leads_to_are_members_and_those_that_stay_are_the_same() {
    let mut world = World::new();
    let entry = Endpoint {
        lookup: Lookup::Addresses,
        ..Endpoint::new(Scheme::Https, "orders.internal", 8443).unwrap()
    };
    let group = world.group(Backend {
        slow_start_ms: 10_000,
        ..Backend::at(key("b"), vec![entry])
    });
    let names = || -> Vec<String> {
        let members = group.members.load();
        members
            .list
            .iter()
            .map(|member| member.name.to_string())
            .collect()
    };
    assert!(names().is_empty());
    let tell = world.wanted.try_recv().unwrap();
    let leads_to = |addresses: &[&str]| {
        tell.found(vec![Target {
            priority: 0,
            host: "orders.internal".to_owned(),
            port: None,
            weight: 1,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }]);
    };
    leads_to(&["10.0.0.2", "10.0.0.1"]);
    assert_eq!(names(), ["https://10.0.0.1:8443", "https://10.0.0.2:8443"]);
    let first = Arc::clone(&group.members.load().list[0]);
    assert_eq!(
        first.endpoint.host, "orders.internal",
        "the name stands in `Host` and in TLS"
    );
    leads_to(&["10.0.0.1", "2001:db8::1"]);
    assert_eq!(
        names(),
        ["https://10.0.0.1:8443", "https://[2001:db8::1]:8443"]
    );
    let members = group.members.load_full();
    assert!(Arc::ptr_eq(&first, &members.list[0]));
    assert_eq!(members.list[0].state.share(world.now(), 10_000), WHOLE);
    assert_eq!(
        members.list[1].state.share(world.now(), 10_000),
        100,
        "it is new"
    );
    // Nobody needs the name any more.
    assert!(tell.is_wanted());
    drop((group, members, first));
    assert!(!tell.is_wanted());
}
