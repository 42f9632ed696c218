//! What nodes report, and what callers see of it.

use base::{Clock as _, Org};
use serde_json::Value;
use store::{Retention, Step, UsageQuery};
use usage::{Batch, Counts, Epoch, Key, Lost, Row, StatusClass, Unclean};

use crate::world::World;

fn row(api: &str, application: &str, status: u16, requests: u64) -> Row {
    let mut counts = Counts {
        requests,
        bytes_in: 2 * requests,
        bytes_out: 3 * requests,
        ..Counts::default()
    };
    for call in 1..=requests {
        counts.gateway.record(call * 1_000);
    }
    let key = Key {
        org: Org::default_org(),
        environment: "production".to_owned(),
        api: api.to_owned(),
        operation: "list".to_owned(),
        application: application.to_owned(),
        plan: "Gold".to_owned(),
        status: StatusClass::of(status),
    };
    Row { key, counts }
}

fn batch(world: &World, epoch: Epoch, sequence: u64, rows: Vec<Row>) -> Batch {
    Batch {
        node: "n1".to_owned(),
        epoch,
        sequence,
        from_unix_ms: world.clock.unix_ms(),
        sent_requests: rows.iter().map(|row| row.counts.requests).sum(),
        rows,
        keys: Vec::new(),
        lost: Lost::default(),
        last: false,
        unclean: None,
    }
}

async fn app(world: &World, user: &str, name: &str) -> String {
    let body = serde_json::json!({"kind": "Application", "metadata": {"name": name}, "spec": {}});
    let made = world.post(user, "/applications", body).await.expect(201);
    made["status"]["id"].as_str().unwrap().to_owned()
}

/// Calls of two applications, and of nobody.
async fn called(world: &World) -> (String, String) {
    let (shop, other) = (
        app(world, "sue", "shop").await,
        app(world, "sam", "other").await,
    );
    let rows = vec![
        row("pets-1.0.0", &shop, 200, 90),
        row("pets-1.0.0", &shop, 429, 10),
        row("pets-1.0.0", &other, 200, 5),
        row("-", "", 404, 1),
    ];
    let batch = batch(world, Epoch::after(None), 1, rows);
    world.control.plane().report(batch).await.unwrap();
    (shop, other)
}

async fn total(world: &World, user: &str, query: &str) -> u64 {
    let answer = world
        .get(user, &format!("/usage?{query}"))
        .await
        .expect(200);
    answer["total"]["requests"].as_u64().unwrap()
}

#[tokio::test]
async fn usage_is_filtered_grouped_and_summed() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let (shop, _) = called(&world).await;
    for (query, requests) in [
        ("", 106),
        ("api=pets-1.0.0", 105),
        ("api=pets:1.0.0", 105),
        ("api=-", 1),
        ("application=shop", 100),
        (&format!("application={shop}"), 100),
        ("status=4xx", 11),
        ("plan=Silver", 0),
        ("environment=production&operation=list", 106),
        ("since=5m", 106),
        ("from=2025-12-30T00:00:00Z&to=2026-01-01T00:00:00Z", 0),
        ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:01Z", 106),
    ] {
        assert_eq!(total(&world, "paul", query).await, requests, "{query}");
    }
    let answer = world
        .get(
            "paul",
            "/usage?groupBy=application,status&since=7d&step=day",
        )
        .await
        .expect(200);
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    let of_shop = items
        .iter()
        .find(|item| item["application"] == "shop" && item["status"] == "2xx");
    let of_shop = of_shop.unwrap();
    assert_eq!(
        (&of_shop["requests"], &of_shop["applicationId"]),
        (&90.into(), &shop.into())
    );
    assert_eq!(
        (&of_shop["bytesIn"], &of_shop["bytesOut"]),
        (&180.into(), &270.into())
    );
    let p50 = of_shop["gateway"]["p50Us"].as_u64().unwrap();
    assert!((44_500..=45_500).contains(&p50), "{p50}");
    assert_eq!(of_shop["backend"], serde_json::json!({"count": 0}));
    assert_eq!(of_shop["atUnixMs"], 1_767_225_600_000_u64);
    assert_eq!(answer["total"]["clientErrors"], 11);
    assert_eq!(answer["total"]["errorShare"], 11.0 / 106.0);
}

#[tokio::test]
async fn subscribers_see_their_own_applications_only() {
    let world = World::new().await;
    let (_, other) = called(&world).await;
    assert_eq!(total(&world, "sue", "").await, 100);
    assert_eq!(total(&world, "sam", "").await, 5);
    assert_eq!(total(&world, "sam", "application=other").await, 5);
    for foreign in ["other", "nobody", other.as_str()] {
        let path = format!("/usage?application={foreign}");
        world.get("sue", &path).await.problem("NOT_FOUND");
    }
    let grouped = world
        .get("sue", "/usage?groupBy=application")
        .await
        .expect(200);
    assert_eq!(grouped["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn faulty_questions_are_refused_with_what_is_wrong() {
    let world = World::new().await;
    for (query, word) in [
        ("groupBy=colour", "colour"),
        ("status=200", "200"),
        ("since=1", "1s"),
        ("since=1h&from=2026-01-01T00:00:00Z", "exclude"),
        ("from=yesterday", "`from`"),
        (
            "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
            "before",
        ),
        ("colour=red", "colour"),
        ("step=week", "week"),
    ] {
        let problem = world
            .get("paul", &format!("/usage?{query}"))
            .await
            .problem("BAD_REQUEST");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{query}: {detail}");
    }
    world
        .get("paul", "/usage?api=no:1")
        .await
        .problem("NOT_FOUND");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let config = control::ControlConfig {
        usage_groups_max: 2,
        ..control::ControlConfig::default()
    };
    let world = World::with(config).await;
    called(&world).await;
    assert_eq!(total(&world, "paul", "groupBy=api").await, 106);
    let path = "/usage?groupBy=application";
    world.get("paul", path).await.problem("BAD_REQUEST");
}

/// Retention by a clock that the test turns: what is counted stays the same while it becomes coarser (req: O2).
#[tokio::test]
async fn usage_becomes_coarser_and_goes_with_time() {
    let world = World::new().await;
    called(&world).await;
    let keep = Retention::default();
    let day = Step::Day.ms();
    let everything = UsageQuery {
        to_unix_ms: u64::MAX,
        rows_max: 1_000,
        groups_max: 1_000,
        step: Some(Step::Minute),
        ..UsageQuery::default()
    };
    let start = world.clock.unix_ms();
    for (days, merged, requests) in [(6, 0, 106), (8, 4, 106), (92, 4, 106), (1_097, 0, 0)] {
        world
            .clock
            .advance_ms(start + days * day - world.clock.unix_ms());
        let done = control::usage_compact(world.usage.as_ref(), world.clock.as_ref(), &keep);
        assert_eq!(done.await.unwrap().merged, merged, "after {days} days");
        let found = world
            .usage
            .usage_query(&Org::default_org(), &everything)
            .await
            .unwrap();
        let total: u64 = found.groups.iter().map(|group| group.counts.requests).sum();
        assert_eq!(total, requests, "after {days} days");
    }
}

/// req: O1
#[tokio::test]
async fn the_reconciliation_tells_what_is_missing() {
    let world = World::new().await;
    let plane = world.control.plane();
    let first = Epoch::after(None);
    let mut one = batch(&world, first, 1, vec![row("pets", "", 200, 4)]);
    plane.report(one.clone()).await.unwrap();
    plane.report(one.clone()).await.unwrap();
    // Sequence 2 never arrives: its 6 requests were sent all the same. 3 was lost.
    one.sequence = 4;
    one.sent_requests = 14;
    one.lost = Lost {
        batches: 1,
        requests: 9,
    };
    plane.report(one).await.unwrap();
    let mut second = batch(&world, Epoch::after(Some(first)), 1, Vec::new());
    second.unclean = Some(Unclean {
        epoch: first,
        sequence: 5,
    });
    plane.report(second).await.unwrap();
    let told: Value = world
        .get("admin", "/usage/reconciliation")
        .await
        .expect(200);
    assert_eq!(
        (&told["sentRequests"], &told["storedRequests"]),
        (&14.into(), &8.into())
    );
    assert_eq!(
        (&told["difference"], &told["lostRequests"]),
        (&6.into(), &9.into())
    );
    assert_eq!(told["uncleanBoots"], 1);
    let boot = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|boot| boot["end"] == "unclean");
    let boot = boot.unwrap();
    assert_eq!(
        (&boot["sequence"], &boot["foundSequence"]),
        (&4.into(), &5.into())
    );
    assert_eq!(
        (&boot["storedBatches"], &boot["missingBatches"]),
        (&2.into(), &2.into())
    );
}
