use usage::{Counts, OVERFLOW};

use super::*;

fn subject<'a>(operation: &'a str, status: u16) -> Subject<'a> {
    Subject {
        org: "default",
        environment: "production",
        api: "pets",
        operation,
        mark: None,
        method: "GET",
        application: None,
        plan: "Gold",
        status: StatusClass::of(status),
    }
}

fn call(us: u64) -> Call {
    Call {
        bytes_in: 1,
        bytes_out: 2,
        gateway_us: us,
        backend_us: (us > 10).then_some(us / 2),
    }
}

#[test]
fn what_is_counted_is_handed_over_once() {
    let table = Table::new(10, 5);
    let row = table.row(&subject("list", 200));
    assert!(table.count(&row, call(10)));
    assert!(table.count(&table.row(&subject("list", 200)), call(30)));
    assert!(table.count(&table.row(&subject("list", 404)), call(7)));
    let (from, rows) = taken(&table, 100);
    assert_eq!((from, rows.len()), (5, 2));
    let (key, counts) = &rows[0];
    assert_eq!(
        (key.operation.as_str(), key.status),
        ("list", StatusClass::of(200))
    );
    assert_eq!(
        (counts.requests, counts.bytes_in, counts.bytes_out),
        (2, 2, 4)
    );
    assert_eq!(
        (counts.gateway.max(), counts.backend.max()),
        (Some(30), Some(15))
    );
    // A call that ends later counts where it ends, in the row that it holds.
    table.count(&row, call(1));
    let (from, rows) = taken(&table, 200);
    assert_eq!((from, rows.len(), rows[0].1.requests), (100, 1, 1));
    assert!(table.take(300).1.is_empty());
}

#[test]
fn more_rows_than_allowed_are_counted_together() {
    let table = Table::new(3, 0);
    let names: Vec<String> = (0..100).map(|number| format!("op{number}")).collect();
    let mut fitted = 0;
    for round in 0..2 {
        for name in &names {
            let row = table.row(&subject(name, 200));
            fitted += u64::from(table.count(&row, call(round)));
        }
    }
    // The rows that were there first keep counting.
    assert_eq!(fitted, 6);
    let (_, rows) = taken(&table, 0);
    assert_eq!(rows.len(), 4);
    assert_eq!(
        rows.iter().map(|(_, counts)| counts.requests).sum::<u64>(),
        200
    );
    let rest = rows
        .iter()
        .find(|(key, _)| key.operation == OVERFLOW)
        .unwrap();
    assert_eq!(rest.1.requests, 194);
    assert_eq!(
        (rest.0.api.as_str(), rest.0.plan.as_str()),
        ("pets", OVERFLOW)
    );
    // The next interval begins anew.
    assert!(table.count(&table.row(&subject("op99", 200)), call(1)));
    // As many are remembered as is allowed, with and without a row of their own.
    let known = table.known.borrow();
    assert!(known.own <= 6 && known.places.len() <= 3 * REMEMBERED);
    assert_eq!(known.rests.len(), 1);
}

/// The times of a call wait in the row before they come to the sketches; however many there are, none is left out.
#[test]
fn all_times_come_to_the_sketches() {
    let hour_us = 3_600_000_000;
    for count in [1, 27, 28, 29, 1000] {
        let table = Table::new(10, 0);
        let row = table.row(&subject("list", 200));
        for number in 1..=count {
            table.count(&row, call(number));
        }
        table.count(&row, call(2 * hour_us));
        let (_, rows) = taken(&table, 0);
        let counts = &rows[0].1;
        assert_eq!(
            (counts.requests, counts.gateway.count()),
            (count + 1, count + 1)
        );
        assert_eq!(counts.backend.count(), count.saturating_sub(10) + 1);
        assert_eq!(counts.gateway.max(), Some(2 * hour_us));
    }
}

#[test]
fn two_cores_are_added_up() {
    let mut sum = Counts::default();
    for _ in 0..2 {
        let table = Table::new(10, 0);
        let row = table.row(&subject("list", 200));
        (0..40).for_each(|us| {
            table.count(&row, call(us));
        });
        let (_, rows) = table.take(0);
        rows.into_iter()
            .for_each(|(_, tallied)| tallied.add_to(&mut sum));
    }
    assert_eq!((sum.requests, sum.gateway.count()), (80, 80));
    assert_eq!((sum.bytes_in, sum.gateway.max()), (80, Some(39)));
}

/// An operation keeps what its names are known by: two of one name are counted together nevertheless, in the end.
#[test]
fn a_mark_leads_to_the_row_of_its_names() {
    let table = Table::new(10, 0);
    let marks = [Mark::default(), Mark::default()];
    for mark in marks.iter().chain(&marks) {
        let subject = Subject {
            mark: Some(mark),
            ..subject("list", 200)
        };
        table.count(&table.row(&subject), call(1));
    }
    assert_eq!(table.known.borrow().places.len(), 1);
    let (_, rows) = taken(&table, 0);
    assert_eq!((rows.len(), rows[0].1.requests), (1, 4));
}

#[test]
fn a_series_is_looked_for_once() {
    let table = Table::new(1, 0);
    for (operation, series) in [("list", 7), ("show", 8)] {
        let subject = subject(operation, 200);
        let (row, found) = table.row_and_series(&subject, || series);
        assert_eq!(found, series);
        table.count(&row, call(1));
        let (_, found) = table.row_and_series(&subject, || unreachable!("it is remembered"));
        assert_eq!(found, series);
    }
}

fn taken(table: &Table, now_unix_ms: u64) -> (u64, Vec<(Arc<Key>, Counts)>) {
    let (from, rows) = table.take(now_unix_ms);
    let counts = |tallied: Tallied| {
        let mut counts = Counts::default();
        tallied.add_to(&mut counts);
        counts
    };
    let rows = rows
        .into_iter()
        .map(|(key, tallied)| (key, counts(tallied)));
    (from, rows.collect())
}
