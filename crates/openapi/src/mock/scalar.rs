//! Strings and numbers.

use serde_json::{Number, Value};

use crate::mock::pattern;
use crate::schema::{View, types};
use tree::Node;

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one, which is above 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }
}

const WORDS: &[&str] = &[
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper",
    "kestrel", "lagoon", "maple", "north", "ocean", "prairie", "quartz", "river", "summit",
    "tundra",
];

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float becomes the nearest number that fits"
)]
/// A string that the schema allows, as far as formats and patterns are known.
pub(super) fn string(view: &View<'_>, length_max: usize, random: &mut Random) -> String {
    let limit = |number: Option<f64>, default: usize| {
        number.map_or(
            default,
            |number| if number < 0.0 { 0 } else { number as usize },
        )
    };
    let least = limit(view.highest("minLength"), 0).min(length_max);
    let most = limit(view.lowest("maxLength"), length_max).min(length_max);
    let fits = |text: &String| (least..=most).contains(&text.chars().count());
    let mut patterns = view.keywords("pattern").filter_map(Node::as_str);
    if let Some(found) = patterns
        .next()
        .and_then(|found| pattern::matching(found, least, most, random))
    {
        return found;
    }
    if let Some(text) = view
        .format()
        .and_then(|format| formatted(format, random))
        .filter(fits)
    {
        return text;
    }
    let mut text = WORDS[random.below(WORDS.len())].to_owned();
    while text.chars().count() < least {
        text.push('-');
        text.push_str(WORDS[random.below(WORDS.len())]);
    }
    text.chars().take(most).collect()
}

/// A string of a format; nothing for formats that are not known.
fn formatted(format: &str, random: &mut Random) -> Option<String> {
    let word = WORDS[random.below(WORDS.len())];
    let day = format!(
        "2026-{:02}-{:02}",
        1 + random.below(12),
        1 + random.below(28)
    );
    let time = format!(
        "{:02}:{:02}:{:02}Z",
        random.below(24),
        random.below(60),
        random.below(60)
    );
    Some(match format {
        "date-time" => format!("{day}T{time}"),
        "date" => day,
        "time" => time,
        "duration" => format!("P{}D", 1 + random.below(30)),
        "uuid" | "guid" => uuid(random),
        "email" | "idn-email" => format!("{word}@example.com"),
        "hostname" | "idn-hostname" => format!("{word}.example.com"),
        "ipv4" | "ip" => format!("192.0.2.{}", 1 + random.below(254)),
        "ipv6" => format!("2001:db8::{:x}", 1 + random.below(0xffff)),
        "uri" | "url" | "iri" | "uri-reference" | "iri-reference" => {
            format!("https://example.com/{word}")
        }
        "uri-template" => format!("https://example.com/{word}/{{id}}"),
        "json-pointer" => format!("/{word}"),
        "relative-json-pointer" => format!("1/{word}"),
        "regex" => format!("^{word}$"),
        // RFC 4648: four characters are three bytes.
        "byte" | "base64" | "base64url" => {
            ["aGVsbG8h", "d29ybGQh", "dG9sbHdh"][random.below(3)].to_owned()
        }
        "int32" | "int64" | "integer" => (1 + random.below(100)).to_string(),
        "decimal" | "double" | "float" => format!("{}.{:02}", random.below(100), random.below(100)),
        _ => return None,
    })
}

/// RFC 9562 version 4, as its bits look.
fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A number that the schema allows.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the width is at most 99, and a whole number is checked to fit"
)]
pub(super) fn number(view: &View<'_>, random: &mut Random) -> Value {
    let whole = view.types & types::FRACTION == 0;
    let step = view
        .keywords("multipleOf")
        .filter_map(|node| node.as_number()?.as_f64())
        .filter(|step| *step > 0.0)
        .reduce(f64::max)
        .unwrap_or(1.0);
    let small = if whole { step.max(1.0) } else { step };
    let lower = view.minimum();
    let upper = view.maximum();
    // Multiples of the step from `low` to `high`.
    let mut low = lower.map_or(f64::NEG_INFINITY, |bound| (bound.value / small).ceil());
    if lower.is_some_and(|bound| bound.exclusive && low * small <= bound.value) {
        low += 1.0;
    }
    let mut high = upper.map_or(f64::INFINITY, |bound| (bound.value / small).floor());
    if upper.is_some_and(|bound| bound.exclusive && high * small >= bound.value) {
        high -= 1.0;
    }
    let (low, high) = match (low.is_finite(), high.is_finite()) {
        (false, false) => (1.0, 100.0),
        (true, false) => (low.max(1.0), low.max(1.0) + 99.0),
        (false, true) => ((high - 99.0).max(high.min(1.0)), high),
        (true, true) => (low, high),
    };
    if low > high {
        // No multiple lies between the limits: half-way is the best there is.
        let middle = match (lower, upper) {
            (Some(lower), Some(upper)) => f64::midpoint(lower.value, upper.value),
            (Some(bound), None) | (None, Some(bound)) => bound.value,
            (None, None) => 1.0,
        };
        return Number::from_f64(middle).map_or(Value::Null, Value::Number);
    }
    let width = (high - low).min(99.0);
    let chosen = (low + random.below(width as usize + 1) as f64) * small;
    let rounded = (chosen * 1e9).round() / 1e9;
    let exact = if small < 1e-6 { chosen } else { rounded };
    if exact.fract() == 0.0 && exact.abs() < 9e15 {
        return Value::from(exact as i64);
    }
    Number::from_f64(exact).map_or(Value::Null, Value::Number)
}
