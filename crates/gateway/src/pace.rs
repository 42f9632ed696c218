//! How a client keeps up while it is waited for: with the bytes of its body, or with taking its answer.
//!
//! Only time in which the client is the one who is waited for counts: a backend that is slow is not the client's fault.

/// What is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    /// Longest time without any byte, and the time after which the rate counts.
    pub(crate) silence_ms: u64,
    /// Bytes a second.
    pub(crate) rate_min: u64,
}

/// How fast bytes have come, or gone, so far.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pace {
    /// Since when the client is waited for, where it is.
    waiting_since_ms: Option<u64>,
    /// How long it was waited for before that.
    waited_ms: u64,
    bytes: u64,
}

impl Pace {
    /// From now on the client is waited for, if it was not.
    pub(crate) fn waits(&mut self, now_ms: u64) {
        self.waiting_since_ms.get_or_insert(now_ms);
    }

    /// So many bytes have passed.
    pub(crate) fn passed(&mut self, bytes: u64, now_ms: u64, rules: &Rules) {
        if let Some(since_ms) = self.waiting_since_ms.take() {
            self.waited_ms += now_ms.saturating_sub(since_ms);
        }
        self.bytes += bytes;
        // What was long ago counts for less: nobody sends much first to be slow for long.
        if self.waited_ms > 2 * rules.silence_ms {
            self.waited_ms /= 2;
            self.bytes /= 2;
        }
    }

    /// How long the client may go on like this: `None` = it is too slow, or else the milliseconds after which to look
    /// again.
    pub(crate) fn patience_ms(&self, now_ms: u64, rules: &Rules) -> Option<u64> {
        let Some(since_ms) = self.waiting_since_ms else {
            return Some(rules.silence_ms);
        };
        let silent_ms = now_ms.saturating_sub(since_ms);
        let waited_ms = self.waited_ms + silent_ms;
        let slow = waited_ms >= rules.silence_ms
            && self.bytes < rules.rate_min.saturating_mul(waited_ms) / 1000;
        if slow || silent_ms >= rules.silence_ms {
            return None;
        }
        // Beyond the first period a look from time to time is enough.
        let period_ms = rules.silence_ms.saturating_sub(waited_ms);
        let often_ms = rules.silence_ms / 4;
        Some(
            (rules.silence_ms - silent_ms)
                .min(period_ms.max(often_ms))
                .max(1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        silence_ms: 30_000,
        rate_min: 100,
    };

    /// Bytes a second come in steps of a second; after how many seconds it is too slow, of an hour.
    fn slow_after(bytes_a_second: u64, rules: &Rules) -> Option<u64> {
        let mut pace = Pace::default();
        for second in 0..3_600 {
            let now_ms = second * 1000;
            pace.waits(now_ms);
            if pace.patience_ms(now_ms + 999, rules).is_none() {
                return Some(second);
            }
            pace.passed(bytes_a_second, now_ms + 1000, rules);
        }
        None
    }

    /// req: S12
    #[test]
    fn who_drips_is_too_slow_and_who_keeps_up_is_not() {
        assert_eq!(slow_after(1, &RULES), Some(30));
        assert_eq!(slow_after(90, &RULES), Some(30));
        assert_eq!(slow_after(110, &RULES), None);
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        let rules = Rules {
            rate_min: 0,
            ..RULES
        };
        assert_eq!(slow_after(1, &rules), None);
        let mut pace = Pace::default();
        pace.waits(1_000);
        assert_eq!(pace.patience_ms(1_000, &rules), Some(30_000));
        assert_eq!(pace.patience_ms(30_999, &rules), Some(1));
        assert_eq!(pace.patience_ms(31_000, &rules), None);
    }

    #[test]
    fn what_was_sent_long_ago_does_not_last_for_ever() {
        let mut pace = Pace::default();
        pace.waits(0);
        pace.passed(1_000_000, 1_000, &RULES);
        let mut second = 1;
        while pace.patience_ms(second * 1000, &RULES).is_some() {
            pace.waits(second * 1000);
            second += 10;
            pace.passed(1, second * 1000, &RULES);
            pace.waits(second * 1000);
            assert!(second < 1_200, "never too slow");
        }
    }

    #[test]
    fn nobody_is_slow_who_is_not_waited_for() {
        let mut pace = Pace::default();
        pace.waits(0);
        pace.passed(1, 10, &RULES);
        assert!(pace.patience_ms(1 << 40, &RULES).is_some());
    }
}
