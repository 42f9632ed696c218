//! Usage: batches, questions, retention.

use ::usage::{Batch, Counts, Epoch, Key, KeyUse, Lost, Row, StatusClass, Unclean};
use base::{CredentialId, KeyMark, Org};

use crate::{
    Boot, Compacted, Dimension, End, GroupKey, Put, Retention, Step, Store, UsageGroup, UsageQuery,
    UsageStore,
};

/// A Saturday, 00:00 UTC.
const DAY_MS: u64 = 1_789_776_000_000;
const MINUTE_MS: u64 = 60_000;

fn key(api: &str, application: &str, status: u16) -> Key {
    Key {
        org: Org::default_org(),
        environment: "production".to_owned(),
        api: api.to_owned(),
        operation: "list".to_owned(),
        application: application.to_owned(),
        plan: "Gold".to_owned(),
        status: StatusClass::of(status),
    }
}

/// Calls that took 1 ms, 2 ms, … each.
fn row(key: Key, requests: u64) -> Row {
    let mut counts = Counts {
        requests,
        bytes_in: 10 * requests,
        bytes_out: 100 * requests,
        ..Counts::default()
    };
    for call in 1..=requests {
        counts.gateway.record(1_000 * call);
        counts.backend.record(500 * call);
    }
    Row { key, counts }
}

fn batch(epoch: Epoch, sequence: u64, from_unix_ms: u64, rows: Vec<Row>) -> Batch {
    Batch {
        node: "n1".to_owned(),
        epoch,
        sequence,
        from_unix_ms,
        sent_requests: rows.iter().map(|row| row.counts.requests).sum(),
        rows,
        keys: Vec::new(),
        lost: Lost::default(),
        last: false,
        unclean: None,
    }
}

async fn put(store: &dyn UsageStore, batch: &Batch) -> Put {
    store
        .usage_put(batch, batch.from_unix_ms + 5)
        .await
        .unwrap()
}

fn all() -> UsageQuery {
    UsageQuery {
        to_unix_ms: u64::MAX,
        rows_max: u64::MAX,
        groups_max: usize::MAX,
        ..UsageQuery::default()
    }
}

fn by(dimensions: &[Dimension]) -> UsageQuery {
    UsageQuery {
        by: dimensions.iter().copied().collect(),
        ..all()
    }
}

async fn query(store: &dyn UsageStore, query: UsageQuery) -> Vec<UsageGroup> {
    let answer = store
        .usage_query(&Org::default_org(), &query)
        .await
        .unwrap();
    assert!(!answer.cut);
    answer.groups
}

/// Requests of all groups.
async fn total(store: &dyn UsageStore, question: UsageQuery) -> u64 {
    let groups = query(store, question).await;
    groups.iter().map(|group| group.counts.requests).sum()
}

async fn boots(store: &dyn UsageStore) -> Vec<Boot> {
    store.usage_boots(100).await.unwrap()
}

/// A batch counts once however often it comes, also late and out of turn (req: O1).
pub async fn usage_counts_a_batch_once(store: &dyn UsageStore) {
    let epoch = Epoch::after(None);
    let first = batch(epoch, 1, DAY_MS, vec![row(key("pets", "a", 200), 3)]);
    let mut second = batch(
        epoch,
        2,
        DAY_MS + 1_000,
        vec![row(key("pets", "a", 200), 4)],
    );
    second.sent_requests = 7;
    assert_eq!(put(store, &first).await, Put::Stored);
    assert_eq!(put(store, &first).await, Put::Known);
    assert_eq!(put(store, &second).await, Put::Stored);
    assert_eq!(put(store, &first).await, Put::Known);
    assert_eq!(put(store, &second).await, Put::Known);
    let groups = query(store, all()).await;
    assert_eq!(groups.len(), 1);
    let counts = &groups[0].counts;
    assert_eq!(
        (counts.requests, counts.bytes_in, counts.bytes_out),
        (7, 70, 700)
    );
    assert_eq!(
        (counts.gateway.count(), counts.gateway.max()),
        (7, Some(4_000))
    );
    assert_eq!(
        (counts.backend.count(), counts.backend.max()),
        (7, Some(2_000))
    );
    let boot = &boots(store).await[0];
    assert_eq!(
        (
            boot.sequence,
            boot.batches,
            boot.requests,
            boot.sent_requests
        ),
        (2, 2, 7, 7)
    );
    // The same sequence of another start is another batch.
    let again = batch(Epoch::after(Some(epoch)), 1, DAY_MS, first.rows.clone());
    assert_eq!(put(store, &again).await, Put::Stored);
    assert_eq!(total(store, all()).await, 10);
}

/// Every dimension filters and groups.
pub async fn usage_is_filtered_and_grouped(store: &dyn UsageStore) {
    let mut other = key("pets", "b", 503);
    (other.operation, other.plan, other.environment) =
        ("add".to_owned(), "Silver".to_owned(), "test".to_owned());
    let rows = vec![
        row(key("pets", "a", 200), 8),
        row(key("pets", "a", 404), 4),
        row(key("shop", "a", 200), 2),
        row(other, 1),
    ];
    put(store, &batch(Epoch::after(None), 1, DAY_MS, rows)).await;
    let text = |text: &str| Some(text.to_owned());
    let filters: [(u64, UsageQuery); 7] = [
        (
            13,
            UsageQuery {
                api: text("pets"),
                ..all()
            },
        ),
        (
            1,
            UsageQuery {
                operation: text("add"),
                ..all()
            },
        ),
        (
            14,
            UsageQuery {
                applications: Some(vec!["a".to_owned(), "x".to_owned()]),
                ..all()
            },
        ),
        (
            0,
            UsageQuery {
                applications: Some(Vec::new()),
                ..all()
            },
        ),
        (
            1,
            UsageQuery {
                plan: text("Silver"),
                ..all()
            },
        ),
        (
            4,
            UsageQuery {
                status: Some(StatusClass::of(400)),
                ..all()
            },
        ),
        (
            14,
            UsageQuery {
                environment: text("production"),
                ..all()
            },
        ),
    ];
    for (requests, question) in filters {
        assert_eq!(
            total(store, question.clone()).await,
            requests,
            "{question:?}"
        );
    }
    let found = query(store, by(&[Dimension::Api, Dimension::Status])).await;
    let told: Vec<_> = found
        .iter()
        .map(|group| {
            let status = group.key.status.unwrap().to_string();
            (
                group.key.api.as_deref().unwrap(),
                status,
                group.counts.requests,
            )
        })
        .collect();
    let expected = [
        ("pets", "2xx", 8),
        ("pets", "4xx", 4),
        ("pets", "5xx", 1),
        ("shop", "2xx", 2),
    ];
    assert_eq!(
        told,
        expected.map(|(api, status, requests)| (api, status.to_owned(), requests))
    );
    let whole = query(store, all()).await;
    assert_eq!((whole[0].client_errors, whole[0].server_errors), (4, 1));
    assert_eq!(whole[0].key, GroupKey::default());
    for (dimension, groups) in [
        (Dimension::Operation, 2),
        (Dimension::Application, 2),
        (Dimension::Plan, 2),
        (Dimension::Environment, 2),
    ] {
        assert_eq!(
            query(store, by(&[dimension])).await.len(),
            groups,
            "{dimension:?}"
        );
    }
}

/// Calls belong to the minute in which their interval began; questions cut the past into steps.
pub async fn usage_is_told_by_time(store: &dyn UsageStore) {
    let epoch = Epoch::after(None);
    let times = [0, 59_999, MINUTE_MS, 90 * MINUTE_MS, 25 * 60 * MINUTE_MS];
    for (sequence, at) in (1..).zip(times) {
        let rows = vec![row(key("pets", "a", 200), 1)];
        put(store, &batch(epoch, sequence, DAY_MS + at, rows)).await;
    }
    for (step, expected) in [
        (Step::Minute, vec![(0, 2), (1, 1), (90, 1), (25 * 60, 1)]),
        (Step::Hour, vec![(0, 3), (60, 1), (25 * 60, 1)]),
        (Step::Day, vec![(0, 4), (24 * 60, 1)]),
    ] {
        let found = query(
            store,
            UsageQuery {
                step: Some(step),
                ..all()
            },
        )
        .await;
        let told: Vec<_> = found
            .iter()
            .map(|group| {
                let at = group.key.at_unix_ms.unwrap();
                ((at - DAY_MS) / MINUTE_MS, group.counts.requests)
            })
            .collect();
        assert_eq!(told, expected, "{step:?}");
    }
    let between = UsageQuery {
        from_unix_ms: DAY_MS + MINUTE_MS + 30_000,
        to_unix_ms: DAY_MS + 90 * MINUTE_MS,
        ..all()
    };
    assert_eq!(
        total(store, between).await,
        1,
        "the minute counts whole, the end is not in it"
    );
}

/// One organisation sees nothing of another.
pub async fn usage_of_organisations_is_apart(store: &dyn UsageStore) {
    let mut foreign = key("pets", "a", 200);
    foreign.org = Org::new("other");
    let rows = vec![row(foreign, 5), row(key("pets", "a", 200), 2)];
    put(store, &batch(Epoch::after(None), 1, DAY_MS, rows)).await;
    assert_eq!(total(store, all()).await, 2);
    let other = store.usage_query(&Org::new("other"), &all()).await.unwrap();
    assert_eq!(other.groups[0].counts.requests, 5);
}

/// A question that is too large says so.
pub async fn usage_answers_are_bounded(store: &dyn UsageStore) {
    let rows = (0..20)
        .map(|n| row(key(&format!("api{n}"), "a", 200), 1))
        .collect();
    put(store, &batch(Epoch::after(None), 1, DAY_MS, rows)).await;
    let rows = UsageQuery {
        rows_max: 19,
        ..all()
    };
    let groups = UsageQuery {
        groups_max: 19,
        ..by(&[Dimension::Api])
    };
    for question in [rows, groups] {
        let answer = store
            .usage_query(&Org::default_org(), &question)
            .await
            .unwrap();
        assert!(answer.cut, "{question:?}");
    }
    let enough = UsageQuery {
        rows_max: 20,
        groups_max: 20,
        ..by(&[Dimension::Api])
    };
    assert_eq!(query(store, enough).await.len(), 20);
}

fn keep() -> Retention {
    Retention {
        minutes_ms: 2 * Step::Hour.ms(),
        hours_ms: 2 * Step::Day.ms(),
        days_ms: 10 * Step::Day.ms(),
        boots_max: 1_000,
        rows_max: 7,
    }
}

async fn compact(store: &dyn UsageStore, now_unix_ms: u64, keep: &Retention) -> Compacted {
    let mut all = Compacted::default();
    loop {
        let part = store.usage_compact(now_unix_ms, keep).await.unwrap();
        assert!(
            part.merged <= keep.rows_max && part.expired <= keep.rows_max,
            "{part:?}"
        );
        if part.done() {
            return all;
        }
        all.merged += part.merged;
        all.expired += part.expired;
    }
}

/// Minutes become hours, hours become days, days go; what is counted stays the same until it goes (req: O2).
pub async fn usage_becomes_coarser_and_goes(store: &dyn UsageStore) {
    let epoch = Epoch::after(None);
    let hour = Step::Hour.ms();
    let mut sequence = 0;
    // Six hours of a call each five minutes, by two callers.
    for at in (0..6 * 60).step_by(5) {
        sequence += 1;
        let rows = vec![row(key("pets", "a", 200), 2), row(key("pets", "b", 500), 1)];
        put(
            store,
            &batch(epoch, sequence, DAY_MS + at * MINUTE_MS, rows),
        )
        .await;
    }
    let before = query(store, by(&[Dimension::Application])).await;
    assert_eq!(before[0].counts.requests + before[1].counts.requests, 216);
    let minutes = |at| UsageQuery {
        step: Some(Step::Minute),
        to_unix_ms: at,
        ..all()
    };
    assert_eq!(query(store, minutes(u64::MAX)).await.len(), 72);

    let now = DAY_MS + 6 * hour;
    // Four hours are older than two hours: 48 moments, two rows each.
    let done = compact(store, now, &keep()).await;
    assert_eq!(
        done,
        Compacted {
            merged: 96,
            expired: 0
        }
    );
    assert_eq!(query(store, by(&[Dimension::Application])).await, before);
    assert_eq!(query(store, minutes(DAY_MS + 4 * hour)).await.len(), 4);
    assert_eq!(query(store, minutes(u64::MAX)).await.len(), 28);

    // What comes late joins its hour.
    let late = vec![row(key("pets", "a", 200), 2)];
    put(store, &batch(epoch, 1_000, DAY_MS + 1, late)).await;
    assert_eq!(compact(store, now, &keep()).await.merged, 1);
    assert_eq!(query(store, minutes(DAY_MS + 4 * hour)).await.len(), 4);
    assert_eq!(total(store, all()).await, 218);

    let done = compact(store, DAY_MS + 3 * Step::Day.ms(), &keep()).await;
    assert_eq!(done.merged, 48 + 12, "the other minutes, then all hours");
    let found = query(store, minutes(u64::MAX)).await;
    assert_eq!((found.len(), found[0].counts.requests), (1, 218));
    assert_eq!(found[0].counts.gateway.quantile(1.0), Some(2_000));
    assert_eq!(found[0].counts.gateway.count(), 218);

    let last_moment = DAY_MS + 11 * Step::Day.ms() - 1;
    assert_eq!(compact(store, last_moment, &keep()).await.expired, 0);
    let done = compact(store, last_moment + 1, &keep()).await;
    // Two rows, and the boot that nobody has heard of for so long went before.
    assert_eq!(done.expired, 2);
    assert_eq!(query(store, all()).await, []);
}

/// The latest use is kept, of the text that was used and of the key; a batch that comes again, or late, changes nothing.
/// req: T6
pub async fn usage_tells_the_last_use_of_keys<S: Store + UsageStore>(store: &S) {
    let shop = super::application(store, "shop", "ada").await;
    let mut key = super::api_key(shop, "old", 1);
    key.secrets.push(super::secret("new", 2));
    let put = crate::Write::CredentialPut(key.clone());
    let revision = store.commit(super::batch(vec![put])).await.unwrap();
    let used = |secret: usize| KeyUse {
        credential: key.id,
        mark: KeyMark::of(&key.secrets[secret].hash),
    };
    let gone = KeyUse {
        credential: CredentialId::generate(),
        ..used(0)
    };
    let epoch = Epoch::after(None);
    let times = async || {
        let found = store.credential_get(&Org::default_org(), key.id).await;
        let found = found.unwrap().unwrap();
        let texts: Vec<_> = found.secrets.iter().map(|text| text.used_unix_s).collect();
        (found.used_unix_s, texts)
    };
    assert_eq!(times().await, (None, vec![None, None]));
    for (sequence, from_s, keys, expected) in [
        (1, 60, vec![used(0), gone], (Some(60), vec![Some(60), None])),
        (1, 99, vec![used(0)], (Some(60), vec![Some(60), None])),
        (2, 70, vec![used(1)], (Some(70), vec![Some(60), Some(70)])),
        (3, 50, vec![used(0)], (Some(70), vec![Some(60), Some(70)])),
    ] {
        let rows = vec![row(self::key("pets", "shop", 200), 1)];
        let batch = Batch {
            keys,
            ..batch(epoch, sequence, 1000 * from_s + 7, rows)
        };
        store.usage_put(&batch, batch.from_unix_ms).await.unwrap();
        assert_eq!(times().await, expected, "batch {sequence} of {from_s}");
    }
    assert_eq!(store.revision().await.unwrap(), revision, "no revision");
}

/// The reconciliation: what was sent, stored, lost, and how each process ended (req: O1).
pub async fn usage_boots_tell_what_is_missing(store: &dyn UsageStore) {
    let first = Epoch::after(None);
    let rows = |requests| vec![row(key("pets", "a", 200), requests)];
    put(store, &batch(first, 1, DAY_MS, rows(2))).await;
    // Sequences 2 and 3 were lost with 7 requests.
    let mut fourth = batch(first, 4, DAY_MS + 3_000, rows(5));
    fourth.sent_requests = 7;
    fourth.lost = Lost {
        batches: 2,
        requests: 7,
    };
    put(store, &fourth).await;
    let boot = &boots(store).await[0];
    assert_eq!((boot.sequence, boot.batches), (4, 2));
    assert_eq!((boot.requests, boot.sent_requests), (7, 7));
    assert_eq!((boot.lost_batches, boot.lost_requests), (2, 7));
    assert_eq!(
        (boot.first_unix_ms, boot.latest_unix_ms),
        (DAY_MS + 5, DAY_MS + 3_005)
    );
    assert_eq!(boot.end, End::Open);

    let second = Epoch::after(Some(first));
    let mut start = batch(second, 1, DAY_MS + 9_000, Vec::new());
    start.unclean = Some(Unclean {
        epoch: first,
        sequence: 5,
    });
    put(store, &start).await;
    let mut stop = batch(second, 2, DAY_MS + 10_000, Vec::new());
    stop.last = true;
    put(store, &stop).await;
    let ends: Vec<End> = boots(store).await.iter().map(|boot| boot.end).collect();
    assert_eq!(
        ends,
        [End::Clean, End::Unclean { sequence: 5 }],
        "latest first"
    );

    // An epoch of which nothing ever came.
    let third = Epoch::after(Some(second));
    let mut start = batch(Epoch::after(Some(third)), 1, DAY_MS + 20_000, Vec::new());
    start.unclean = Some(Unclean {
        epoch: third,
        sequence: 1,
    });
    put(store, &start).await;
    let all = boots(store).await;
    assert_eq!(all.len(), 4);
    let unheard = all.iter().find(|boot| boot.epoch == third).unwrap();
    assert_eq!(
        (unheard.sequence, unheard.end),
        (0, End::Unclean { sequence: 1 })
    );
}

/// A node that starts over and over does not fill the database.
pub async fn usage_boots_are_bounded(store: &dyn UsageStore) {
    let mut epoch = Epoch::after(None);
    for start in 0..30 {
        epoch = Epoch::after(Some(epoch));
        put(store, &batch(epoch, 1, DAY_MS + start, Vec::new())).await;
    }
    let keep = Retention {
        boots_max: 10,
        ..keep()
    };
    compact(store, DAY_MS, &keep).await;
    let left = boots(store).await;
    assert_eq!(left.len(), 10);
    assert_eq!(left[0].epoch, epoch);
    compact(store, DAY_MS + 3 * Step::Day.ms(), &keep).await;
    assert_eq!(boots(store).await, []);
}
