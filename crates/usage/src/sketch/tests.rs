use super::*;

/// Times of many sizes, without a random source: squares and cubes of a walk, from 0 µs to hours.
fn times(count: u64) -> Vec<u64> {
    (0..count)
        .map(|n| {
            let step = n.wrapping_mul(2_654_435_761) % 100_000;
            match n % 3 {
                0 => step,
                1 => step * step / 7,
                _ => step * step * step / 1_000_003,
            }
        })
        .collect()
}

fn sketch(times: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    times.iter().for_each(|us| sketch.record(*us));
    sketch
}

/// The value at the rank that the sketch answers for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers"
)]
fn exact(sorted: &[u64], q: f64) -> u64 {
    sorted[(q * (sorted.len() - 1) as f64) as usize]
}

#[expect(clippy::cast_precision_loss, reason = "1% is what is asked")]
fn near(found: u64, exact: u64) -> bool {
    // Half a microsecond is what rounding to whole ones may cost.
    (found as f64 - exact as f64).abs() <= exact as f64 * 0.01 + 0.5
}

/// req: O2
#[test]
fn quantiles_are_within_one_percent() {
    let mut all = times(50_000);
    let sketch = sketch(&all);
    all.sort_unstable();
    for q in [0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let (found, exact) = (sketch.quantile(q).unwrap(), exact(&all, q));
        assert!(near(found, exact), "{q}: {found} is not {exact}");
    }
    assert_eq!(sketch.max(), all.last().copied());
    assert_eq!(sketch.count(), 50_000);
    assert_eq!(Sketch::default().quantile(0.5), None);
}

#[test]
fn merging_parts_is_recording_the_whole() {
    let all = times(10_000);
    for parts in [2, 7, 1_000] {
        let mut merged = Sketch::default();
        for part in all.chunks(all.len() / parts) {
            // As they arrive: written and read.
            merged.merge(&Sketch::read(&sketch(part).write()).unwrap());
        }
        let whole = sketch(&all);
        assert_eq!(merged.count(), whole.count());
        for q in [0.0, 0.5, 0.95, 0.99, 1.0] {
            assert_eq!(merged.quantile(q), whole.quantile(q), "{q}");
        }
    }
}

#[test]
fn a_sketch_is_written_and_read() {
    for count in [0, 1, 2, 5_000] {
        let sketch = sketch(&times(count));
        let text = serde_json::to_string(&sketch).unwrap();
        assert_eq!(serde_json::from_str::<Sketch>(&text).unwrap(), sketch);
    }
    assert_eq!(Sketch::read(&[2, 0]).unwrap_err(), SketchError::Version(2));
    assert!(Sketch::read(&[]).is_err());
    let mut cut = sketch(&times(100)).write();
    cut.truncate(cut.len() / 2);
    assert!(Sketch::read(&cut).is_err());
}

#[test]
fn a_sketch_of_another_accuracy_is_refused() {
    let mut other = DDSketch::new(Config::new(0.05, 2048, 1.0e-9));
    other.add(5.0);
    let mut bytes = vec![VERSION];
    bytes.extend(other.to_java_bytes());
    assert_eq!(Sketch::read(&bytes).unwrap_err(), SketchError::Accuracy);
}
