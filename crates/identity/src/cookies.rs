//! Cookies of the pages.
//!
//! Under TLS their names begin with `__Host-`: browsers take such a cookie from us alone, for our host alone, over TLS
//! alone (RFC 6265bis §4.1.3.2). Where the public URL is plain `http` (a developer's machine) they are `tollway-session`
//! and `tollway-browser`, without `Secure`, since not every browser keeps a secure cookie of `http://localhost`.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// Which cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cookie {
    /// Names the session; new at each login.
    Session,
    /// Tells this browser from others, so that a form works in the one that it was made for.
    Browser,
}

/// How cookies are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    secure: bool,
}

impl Cookies {
    /// Those of the issuer with this URL.
    pub(crate) fn new(issuer: &str) -> Self {
        Self {
            secure: issuer.starts_with("https://"),
        }
    }

    fn name(self, cookie: Cookie) -> &'static str {
        match (cookie, self.secure) {
            (Cookie::Session, true) => "__Host-tollway-session",
            (Cookie::Session, false) => "tollway-session",
            (Cookie::Browser, true) => "__Host-tollway-browser",
            (Cookie::Browser, false) => "tollway-browser",
        }
    }

    /// The value that a browser sent. Two of one name are none: somebody has put one beside ours.
    pub(crate) fn get(self, request: &HeaderMap, cookie: Cookie) -> Option<&str> {
        let name = self.name(cookie);
        let mut values = request
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value);
        let value = values.next()?;
        let sound = (1..=128).contains(&value.len())
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (values.next().is_none() && sound).then_some(value)
    }

    /// Sets a cookie until the browser ends; the server forgets sooner. `SameSite=Lax`: the client's redirect brings it,
    /// another site's form does not.
    pub(crate) fn set(self, response: &mut HeaderMap, cookie: Cookie, value: &str) {
        self.write(response, cookie, value, "");
    }

    /// Takes a cookie back.
    pub(crate) fn clear(self, response: &mut HeaderMap, cookie: Cookie) {
        self.write(response, cookie, "", "; Max-Age=0");
    }

    fn write(self, response: &mut HeaderMap, cookie: Cookie, value: &str, end: &str) {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name(cookie);
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{end}");
        let text = HeaderValue::from_str(&text).expect("values are letters and digits");
        response.append(SET_COOKIE, text);
    }
}

/// Scheme, host and port of a URL, as browsers write an origin.
pub(crate) fn origin_of(url: &str) -> &str {
    let path = path_of(url);
    &url[..url.len() - path.len()]
}

/// The path of a URL that was checked when the platform started; without a slash at its end.
pub(crate) fn path_of(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    url[after..]
        .find('/')
        .map_or("", |at| &url[after + at..])
        .trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_for_us_alone() {
        let mut headers = HeaderMap::new();
        Cookies::new("https://id.example").set(&mut headers, Cookie::Session, "abc");
        assert_eq!(
            headers[SET_COOKIE],
            "__Host-tollway-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        let mut headers = HeaderMap::new();
        Cookies::new("http://localhost:9400").clear(&mut headers, Cookie::Browser);
        assert_eq!(
            headers[SET_COOKIE],
            "tollway-browser=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn a_cookie_is_read_when_there_is_one() {
        let cookies = Cookies::new("https://id.example");
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, value.parse().unwrap());
            }
            cookies.get(&headers, Cookie::Session).map(str::to_owned)
        };
        assert_eq!(
            read(&["a=b; __Host-tollway-session=x1; c=d"]),
            Some("x1".to_owned())
        );
        assert_eq!(
            read(&["a=b", "__Host-tollway-session=x1"]),
            Some("x1".to_owned())
        );
        for none in [
            "tollway-session=x1",
            "__Host-tollway-session=",
            "__Host-tollway-session=a.b",
            "__Host-tollway-session=a; __Host-tollway-session=b",
        ] {
            assert_eq!(read(&[none]), None, "{none}");
        }
    }

    #[test]
    fn urls_are_cut_into_origin_and_path() {
        assert_eq!(
            origin_of("https://id.example:8443/a/b"),
            "https://id.example:8443"
        );
        assert_eq!(path_of("https://id.example/a/b/"), "/a/b");
        assert_eq!(origin_of("http://localhost:1"), "http://localhost:1");
        assert_eq!(path_of("http://localhost:1/"), "");
    }
}
