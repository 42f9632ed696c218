//! Tells callers of a deprecated API that it is, and when it goes away.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderName, HeaderValue};
use policy::{Outcome, Policy, RequestCx, ResponseCx};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// The last second that an HTTP-date can name: the end of the year 9999.
const HTTP_DATE_MAX_UNIX_S: u64 = 253_402_300_799;

struct Running {
    deprecation: HeaderValue,
    sunset: Option<HeaderValue>,
}

/// A policy that adds `Deprecation` and, where the date is known, `Sunset` to every answer. `compile` puts it first in
/// the chain, so that refusals carry them too.
///
/// Source: RFC 9745 §2 (a date as a structured field: `@` and seconds), RFC 8594 §3 (an HTTP-date).
#[must_use]
pub fn policy(signals: &sync::model::Deprecation) -> Box<dyn Policy> {
    let sunset = signals.sunset_unix_s.map(|unix_s| {
        let at = UNIX_EPOCH + Duration::from_secs(unix_s.min(HTTP_DATE_MAX_UNIX_S));
        visible(&httpdate::fmt_http_date(at))
    });
    Box::new(Running {
        deprecation: visible(&format!("@{}", signals.since_unix_s)),
        sunset,
    })
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, letters and punctuation")
}

impl Policy for Running {
    fn on_request<'a>(&'a self, _: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::CONTINUE
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        cx.headers.insert(DEPRECATION, self.deprecation.clone());
        if let Some(sunset) = &self.sunset {
            cx.headers.insert(SUNSET, sunset.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use sync::model::Deprecation;

    use super::*;
    use crate::testing::Bench;

    fn answer(signals: &Deprecation) -> HeaderMap {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        bench.respond(&*policy(signals), &mut cx, 200, HeaderMap::new())
    }

    /// req: L2
    #[test]
    fn adds_both_headers() {
        let headers = answer(&Deprecation {
            since_unix_s: 1_688_169_599,
            sunset_unix_s: Some(1_814_399_999),
        });
        assert_eq!(headers["deprecation"], "@1688169599");
        assert_eq!(headers["sunset"], "Wed, 30 Jun 2027 23:59:59 GMT");
    }

    #[test]
    fn without_a_date_there_is_no_sunset() {
        let headers = answer(&Deprecation {
            since_unix_s: 1,
            sunset_unix_s: None,
        });
        assert!(headers.get("sunset").is_none());
    }

    #[test]
    fn a_date_beyond_the_calendar_does_not_panic() {
        let headers = answer(&Deprecation {
            since_unix_s: u64::MAX,
            sunset_unix_s: Some(u64::MAX),
        });
        assert_eq!(headers["sunset"], "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
