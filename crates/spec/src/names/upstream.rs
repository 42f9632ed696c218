//! The forms of what a backend's document holds: DNS names, paths, shares, statuses.

use super::{Fault, is_label, unit, wrong};
use crate::units::Percent;

/// A name to be looked up: labels of letters, digits, `-`, and `_` as in SRV names; not an address.
pub(super) fn dns_name(text: &str) -> Result<(), Fault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let rest = label.strip_prefix('_').unwrap_or(label);
        label.len() <= 63 && is_label(&rest.to_ascii_lowercase(), false)
    };
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return wrong(
            format!("`{text}` is an address"),
            "write it as `url: http://ADDRESS:PORT`",
        );
    }
    if name.len() <= super::NAME_MAX && name.split('.').all(label) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no DNS name"),
        "write it without scheme, port and path, as in `orders.internal` or `_http._tcp.orders.internal`",
    )
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains('#')
}

pub(super) fn path(text: &str) -> Result<(), Fault> {
    if is_path(text) && !text.contains('?') {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no path"),
        "begin it with `/`, without query, fragment and blanks, as in `/v1`",
    )
}

pub(super) fn check_path(text: &str) -> Result<(), Fault> {
    if is_path(text) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no path"),
        "begin it with `/`, without fragment and blanks, as in `/healthz`",
    )
}

pub(super) fn percent(text: &str) -> Result<(), Fault> {
    match text.parse::<Percent>() {
        Ok(share) if share.get() > 100 => wrong(
            format!("`{text}` is more than the whole"),
            "write at most `100%`",
        ),
        other => unit(other),
    }
}

pub(super) fn percent_over(text: &str) -> Result<(), Fault> {
    match text.parse::<Percent>() {
        Ok(share) if share.get() <= 100 => wrong(
            format!("`{text}` leaves no room above a fair share"),
            "write more than `100%`, as in `150%`",
        ),
        other => unit(other),
    }
}

/// The first and the last of the statuses that `200`, `2xx` or `200-399` stands for.
#[must_use]
pub fn status_range(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        let number: u16 = (text.len() == 3).then(|| text.parse().ok()).flatten()?;
        (100..600).contains(&number).then_some(number)
    };
    if let Some(class) = text.strip_suffix("xx") {
        let first = status(&format!("{class}00"))?;
        return Some((first, first + 99));
    }
    match text.split_once('-') {
        Some((first, last)) => {
            let range = (status(first)?, status(last)?);
            (range.0 <= range.1).then_some(range)
        }
        None => status(text).map(|only| (only, only)),
    }
}

pub(super) fn statuses(text: &str) -> Result<(), Fault> {
    if status_range(text).is_some() {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no status"),
        "write a status, a class or a range, as in `200`, `2xx`, `200-399`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_a_class_or_a_range() {
        for (text, expected) in [
            ("200", Some((200, 200))),
            ("2xx", Some((200, 299))),
            ("200-399", Some((200, 399))),
            ("399-200", None),
            ("0200", None),
            ("9xx", None),
            ("+20", None),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(status_range(text), expected, "{text}");
        }
    }

    #[test]
    fn names_to_look_up() {
        for good in [
            "a",
            "orders.internal",
            "orders.internal.",
            "_http._tcp.orders.internal",
            "A-b.C",
        ] {
            assert!(dns_name(good).is_ok(), "{good}");
        }
        for bad in [
            "", ".", "a..b", "10.0.0.1", "a:80", "http://a", "-a", "a/b", "__a", "ä",
        ] {
            assert!(dns_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_of_a_whole_and_above_one() {
        assert!(percent("100%").is_ok() && percent("101%").is_err() && percent("5").is_err());
        assert!(percent_over("101%").is_ok() && percent_over("100%").is_err());
        assert!(path("/v1").is_ok() && path("/v1?a").is_err() && path("v1").is_err());
        assert!(check_path("/v1?a=b").is_ok() && check_path("/a b").is_err());
    }
}
