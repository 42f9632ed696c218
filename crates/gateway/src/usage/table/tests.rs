use usage::OVERFLOW;

use super::*;

fn subject<'a>(operation: &'a str, status: u16) -> Subject<'a> {
    Subject {
        org: "default",
        environment: "production",
        api: "pets",
        operation,
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
    let (from, rows) = table.take(100);
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
    let (from, rows) = table.take(200);
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
    let (_, rows) = table.take(0);
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
    assert!(table.known.borrow().len() <= 7);
}
