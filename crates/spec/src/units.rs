//! Values with a unit. A bare number is an error that shows the right spelling.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is no value with a unit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitError {
    /// There is a number and nothing else.
    #[error("`{0}` has no unit, write `{0}s` for seconds or `{0}m` for minutes")]
    DurationUnit(u64),
    /// Neither a number with a unit, nor a number.
    #[error(
        "`{0}` is no duration, write a whole number and one of the units ms, s, m, h, d, as in `30s`"
    )]
    Duration(String),
    /// Too long to be counted in milliseconds.
    #[error("`{0}` is too long, at most 36500d are accepted")]
    DurationTooLong(String),
    /// Not a whole number of hundredths.
    #[error("`{0}` is no share, write a whole number and `%`, as in `50%`")]
    Percent(String),
    /// Not a day of the calendar.
    #[error("`{0}` is no date, write year, month and day, as in `2027-06-30`")]
    Date(String),
    /// There is a number and nothing else.
    #[error("`{0}` has no unit, write `{0}Ki` for kibibytes or `{0}B` for bytes")]
    SizeUnit(u64),
    /// Neither a number with a unit, nor a number.
    #[error(
        "`{0}` is no size, write a whole number and one of the units B, Ki, Mi, Gi, as in `64Ki`"
    )]
    Size(String),
    /// Not a number, a slash and a length of time.
    #[error("`{0}` is no frequency, write how many in what time, as in `100/min` or `5/10s`")]
    Frequency(String),
    /// Not a size, a slash and a length of time.
    #[error(
        "`{0}` is no flow of bytes, write how many in what time, as in `10Mi/min` or `64Ki/10s`"
    )]
    Flow(String),
}

/// A length of time in whole milliseconds: `500ms`, `30s`, `5m`, `1h`, `7d`. Printed in the largest unit that fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Duration(u64);

/// Unit and its length in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A hundred years: sums of a duration and a time never overflow.
const DURATION_MS_MAX: u64 = 36_500 * 86_400_000;

impl Duration {
    /// So many milliseconds, at most 36,500 days.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(if ms < DURATION_MS_MAX {
            ms
        } else {
            DURATION_MS_MAX
        })
    }

    /// So many seconds, at most 36,500 days.
    #[must_use]
    pub const fn from_s(seconds: u64) -> Self {
        Self::from_ms(seconds.saturating_mul(1000))
    }

    /// Its length in milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Its length in seconds, rounded down.
    #[must_use]
    pub const fn as_s(self) -> u64 {
        self.0 / 1000
    }

    /// Whether it has no length.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (unit, length) = UNITS
            .into_iter()
            .find(|(_, length)| self.0.is_multiple_of(*length))
            .expect("everything is a multiple of one millisecond");
        write!(f, "{}{unit}", self.0 / length)
    }
}

impl FromStr for Duration {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let wrong = || UnitError::Duration(text.to_owned());
        if number.is_empty() {
            return Err(wrong());
        }
        let too_long = || UnitError::DurationTooLong(text.to_owned());
        let number: u64 = number.parse().map_err(|_| too_long())?;
        if unit.is_empty() {
            return Err(UnitError::DurationUnit(number));
        }
        let (_, length) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        number
            .checked_mul(length)
            .filter(|ms| *ms <= DURATION_MS_MAX)
            .map(Self)
            .ok_or_else(too_long)
    }
}

/// A share in whole hundredths: `50%`; at most 1000%.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Percent(u16);

impl Percent {
    /// So many hundredths, at most 1000.
    #[must_use]
    pub const fn new(hundredths: u16) -> Self {
        Self(if hundredths < 1000 { hundredths } else { 1000 })
    }

    /// The number before the `%`.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for Percent {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_suffix('%').unwrap_or_default();
        let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits
            .parse()
            .ok()
            .filter(|number| plain && *number <= 1000);
        let wrong = || UnitError::Percent(text.to_owned());
        number.map(Self).ok_or_else(wrong)
    }
}

/// A day of the calendar: `2027-06-30`. Midnight is that of UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date(jiff::civil::Date);

impl Date {
    /// When the day begins in UTC, in seconds since 1970; 0 for days before.
    #[must_use]
    pub fn unix_s(self) -> u64 {
        let days = (self.0 - jiff::civil::date(1970, 1, 1)).get_days();
        u64::try_from(days).unwrap_or(0) * 86_400
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Date {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UnitError::Date(text.to_owned());
        let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
        // jiff reads times and other spellings too.
        if date.to_string() == text {
            Ok(Self(date))
        } else {
            Err(wrong())
        }
    }
}

/// A number of bytes: `512B`, `64Ki`, `1Mi`, `1Gi`. Printed in the largest unit that fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Size(u64);

/// Units of sizes, the largest first.
const SIZES: [(&str, u64); 4] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("B", 1)];

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// How many bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let (unit, length) = SIZES
            .into_iter()
            .find(|(_, length)| self.0.is_multiple_of(*length))
            .expect("everything is a multiple of one byte");
        write!(f, "{}{unit}", self.0 / length)
    }
}

impl FromStr for Size {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let wrong = || UnitError::Size(text.to_owned());
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if unit.is_empty() {
            return Err(UnitError::SizeUnit(number));
        }
        let (_, length) = SIZES
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        number.checked_mul(length).map(Self).ok_or_else(wrong)
    }
}

/// How many in what time: `100/s`, `1000/min`, `20000/h`, `5/10s`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Frequency {
    /// How many.
    pub count: u64,
    /// In what time; never zero.
    pub per: Duration,
}

/// Times that have a name in frequencies.
const TIMES: [(&str, u64); 5] = [
    ("s", 1000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("week", 604_800_000),
];

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, per) = (self.count, self.per);
        match TIMES.iter().find(|(_, ms)| *ms == per.as_ms()) {
            Some((name, _)) => write!(f, "{count}/{name}"),
            None => write!(f, "{count}/{per}"),
        }
    }
}

impl FromStr for Frequency {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UnitError::Frequency(text.to_owned());
        let (count, time) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.parse().map_err(|_| wrong())?;
        let per = match TIMES.iter().find(|(name, _)| *name == time) {
            Some((_, ms)) => Duration::from_ms(*ms),
            None => time.parse().map_err(|_| wrong())?,
        };
        (!per.is_zero())
            .then_some(Self { count, per })
            .ok_or_else(wrong)
    }
}

/// How many bytes in what time: `10Mi/min`, `1Gi/d`, `64Ki/10s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// How many bytes.
    pub size: Size,
    /// In what time; never zero.
    pub per: Duration,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, per) = (self.size, self.per);
        match TIMES.iter().find(|(_, ms)| *ms == per.as_ms()) {
            Some((name, _)) => write!(f, "{size}/{name}"),
            None => write!(f, "{size}/{per}"),
        }
    }
}

impl FromStr for Flow {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UnitError::Flow(text.to_owned());
        let (size, _) = text.split_once('/').ok_or_else(wrong)?;
        let time = text.get(size.len()..).unwrap_or_default();
        let frequency: Frequency = format!("0{time}").parse().map_err(|_| wrong())?;
        Ok(Self {
            size: size.parse().map_err(|_| wrong())?,
            per: frequency.per,
        })
    }
}

macro_rules! as_text {
    ($name:ident, $format:literal, $example:literal, $expecting:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format, "examples": [$example]})
            }
        }
    };
}

as_text!(
    Duration,
    "tollway-duration",
    "30s",
    "a duration, as in `30s`"
);
as_text!(Percent, "tollway-percent", "50%", "a share, as in `50%`");
as_text!(
    Frequency,
    "tollway-frequency",
    "100/min",
    "how many in what time, as in `100/min`"
);
as_text!(
    Flow,
    "tollway-flow",
    "10Mi/min",
    "how many bytes in what time, as in `10Mi/min`"
);
as_text!(Date, "date", "2027-06-30", "a date, as in `2027-06-30`");
as_text!(Size, "tollway-size", "64Ki", "a size, as in `64Ki`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_say_how_many_bytes_in_what_time() {
        for (text, bytes, per_ms) in [
            ("10Mi/min", 10 << 20, 60_000),
            ("1Gi/d", 1 << 30, 86_400_000),
            ("64Ki/10s", 64 << 10, 10_000),
            ("0B/h", 0, 3_600_000),
        ] {
            let flow: Flow = text.parse().unwrap();
            assert_eq!((flow.size.as_bytes(), flow.per.as_ms()), (bytes, per_ms));
            assert_eq!(flow.to_string(), text);
        }
        for text in ["10Mi", "10/min", "Mi/min", "10Mi/0s", "10Mi/", "/min"] {
            assert!(text.parse::<Flow>().is_err(), "{text}");
        }
    }

    #[test]
    fn frequencies_say_how_many_in_what_time() {
        for (text, count, per_ms, printed) in [
            ("100/s", 100, 1000, "100/s"),
            ("100/min", 100, 60_000, "100/min"),
            ("100/1m", 100, 60_000, "100/min"),
            ("5/10s", 5, 10_000, "5/10s"),
            ("0/h", 0, 3_600_000, "0/h"),
            ("7/7d", 7, 604_800_000, "7/week"),
        ] {
            let frequency: Frequency = text.parse().unwrap();
            assert_eq!((frequency.count, frequency.per.as_ms()), (count, per_ms));
            assert_eq!(frequency.to_string(), printed);
        }
        for text in [
            "100", "100/", "/s", "-1/s", "1.5/s", "1/0s", "1/month", "1/s/s",
        ] {
            let wrong = text.parse::<Frequency>().unwrap_err();
            assert!(wrong.to_string().contains("100/min"), "{text}: {wrong}");
        }
    }

    #[test]
    fn durations_print_in_the_largest_unit() {
        for (text, ms, printed) in [
            ("500ms", 500, "500ms"),
            ("1000ms", 1000, "1s"),
            ("90s", 90_000, "90s"),
            ("120s", 120_000, "2m"),
            ("24h", 86_400_000, "1d"),
            ("0m", 0, "0s"),
            ("36500d", DURATION_MS_MAX, "36500d"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(
                (duration.as_ms(), duration.to_string().as_str()),
                (ms, printed)
            );
        }
    }

    #[test]
    fn a_bare_number_shows_the_spelling() {
        let error = |json: &str| {
            serde_json::from_str::<Duration>(json)
                .unwrap_err()
                .to_string()
        };
        assert!(error("30").starts_with("`30` has no unit, write `30s`"));
        assert!(error("\"30\"").starts_with("`30` has no unit, write `30s`"));
        for bad in [
            "\"\"",
            "\"s\"",
            "\"1.5s\"",
            "\"-1s\"",
            "\"1 s\"",
            "\"1S\"",
            "\"36501d\"",
            "\"99999999999999999999s\"",
        ] {
            assert!(serde_json::from_str::<Duration>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_have_a_sign() {
        for (text, expected) in [("0%", 0), ("50%", 50), ("1000%", 1000)] {
            let share: Percent = text.parse().unwrap();
            assert_eq!((share.get(), share.to_string().as_str()), (expected, text));
        }
        for bad in ["50", "%", "-1%", "+5%", "1.5%", "1001%", "00050%", "50 %"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes, printed) in [
            ("0B", 0, "0B"),
            ("512B", 512, "512B"),
            ("2048B", 2048, "2Ki"),
            ("64Ki", 65_536, "64Ki"),
            ("1024Mi", 1 << 30, "1Gi"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(
                (size.as_bytes(), size.to_string().as_str()),
                (bytes, printed)
            );
        }
        assert!(
            "64".parse::<Size>()
                .unwrap_err()
                .to_string()
                .contains("`64Ki`")
        );
        for bad in ["", "Ki", "64K", "64MB", "-1Ki", "99999999999Gi"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_are_days() {
        let date: Date = "2027-06-30".parse().unwrap();
        assert_eq!(
            (date.unix_s(), date.to_string().as_str()),
            (1_814_313_600, "2027-06-30")
        );
        for bad in [
            "2027-6-30",
            "2027-02-30",
            "2027-06-30T00:00",
            "soon",
            "20270630",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }
}
