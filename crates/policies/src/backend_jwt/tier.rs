//! What an application may call altogether, as the name of a tier.

use policy::{Measure, Plan, Window};

/// What limits nothing.
pub(super) const UNLIMITED: &str = "Unlimited";

/// The name that WSO2 gives to such a tier: `50PerMin`. Of an application's limits the quota; without one, the burst.
pub(super) fn name(limits: Option<&Plan>) -> String {
    let window = limits.and_then(|limits| limits.quota.or(limits.burst));
    window.map_or_else(|| UNLIMITED.to_owned(), of_window)
}

fn of_window(window: Window) -> String {
    let (count, ms) = (window.requests, window.window_ms);
    let what = match window.measure {
        Measure::Requests | Measure::Concurrency => "",
        Measure::Bytes => "Bytes",
        Measure::Events => "Events",
    };
    let units = [
        (86_400_000, "Day"),
        (3_600_000, "Hour"),
        (60_000, "Min"),
        (1000, "Sec"),
    ];
    let whole = units.iter().find(|(length, _)| ms % length == 0);
    let (length, unit) = whole.copied().unwrap_or((1, "Ms"));
    match ms / length {
        1 => format!("{count}{what}Per{unit}"),
        several => format!("{count}{what}Per{several}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(requests: u64, window_ms: u64, measure: Measure) -> Window {
        Window {
            requests,
            window_ms,
            measure,
        }
    }

    #[test]
    fn tiers_are_named_as_wso2_names_them() {
        for (requests, window_ms, measure, expected) in [
            (50, 60_000, Measure::Requests, "50PerMin"),
            (20, 1000, Measure::Requests, "20PerSec"),
            (1000, 3_600_000, Measure::Requests, "1000PerHour"),
            (100_000, 86_400_000, Measure::Requests, "100000PerDay"),
            (7, 300_000, Measure::Requests, "7Per5Min"),
            (7, 90_000, Measure::Requests, "7Per90Sec"),
            (7, 1500, Measure::Requests, "7Per1500Ms"),
            (1 << 20, 60_000, Measure::Bytes, "1048576BytesPerMin"),
            (9, 60_000, Measure::Events, "9EventsPerMin"),
        ] {
            assert_eq!(of_window(window(requests, window_ms, measure)), expected);
        }
    }

    #[test]
    fn the_quota_goes_before_the_burst() {
        let plan = |quota, burst| Plan {
            name: "shop".to_owned(),
            quota,
            burst,
        };
        let quota = window(100, 86_400_000, Measure::Requests);
        let burst = window(5, 1000, Measure::Requests);
        assert_eq!(name(Some(&plan(Some(quota), Some(burst)))), "100PerDay");
        assert_eq!(name(Some(&plan(None, Some(burst)))), "5PerSec");
        assert_eq!(name(Some(&plan(None, None))), UNLIMITED);
        assert_eq!(name(None), UNLIMITED);
    }
}
