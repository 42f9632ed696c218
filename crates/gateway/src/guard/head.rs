//! One head, line by line: request line, fields, end. Trailers are read by the same rules, without a request line.

use std::ops::Range;

use memchr::memchr;
use policies::hop_by_hop;

use super::characters::{HOST, PATH, QUERY, TOKEN, is_all};
use super::{Exceeded, REFUSED, Rules, Violation};

/// How long the body of a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Body {
    None,
    Length(u64),
    Chunked,
    /// There is none, and behind the message may stand another protocol.
    Upgrade,
}

/// A head that is being read. All offsets are from its first byte.
pub(super) struct Head {
    section: Section,
    /// Lines up to here were checked.
    checked: usize,
    fields: usize,
    http_1_0: bool,
    /// The authority of a target in absolute-form.
    authority: Option<Range<usize>>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    /// `Upgrade: websocket`.
    upgrade: bool,
}

/// What the next line may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// The request line, or the one empty line that is tolerated before it (RFC 9112 §2.2).
    Begin,
    /// The request line.
    RequestLine,
    /// A field or the end.
    Fields,
    /// A trailer field or the end.
    Trailers,
}

const METHOD_BYTES_MAX: usize = 32;

impl Head {
    pub(super) fn request() -> Self {
        Self::new(Section::Begin)
    }

    pub(super) fn trailers() -> Self {
        Self::new(Section::Trailers)
    }

    fn new(section: Section) -> Self {
        Self {
            section,
            checked: 0,
            fields: 0,
            http_1_0: false,
            authority: None,
            host: None,
            length: None,
            chunked: false,
            upgrade: false,
        }
    }

    /// Checks the lines that are complete. `bytes` begins with the head's first byte at every call. Says how long the
    /// head is when it is complete.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        rules: &Rules,
    ) -> Result<Option<usize>, Violation> {
        loop {
            let start = self.checked;
            let Some(length) = memchr(b'\n', &bytes[start..]) else {
                return self.incomplete(bytes, rules).map(|()| None);
            };
            let end = start + length;
            if end >= self.bounds(rules).0 {
                return Err(self.too_long(rules));
            }
            let line = bytes[start..end]
                .strip_suffix(b"\r")
                .ok_or_else(|| Violation::framing("a line ends with LF alone, not with CRLF"))?;
            self.checked = end + 1;
            if self.line(line, start, rules)? {
                return Ok(Some(self.checked));
            }
        }
    }

    /// What can be said of a line that has not ended.
    fn incomplete(&self, bytes: &[u8], rules: &Rules) -> Result<(), Violation> {
        if bytes.len() > self.bounds(rules).0 {
            return Err(self.too_long(rules));
        }
        Ok(())
    }

    /// Whether nothing of it was looked at.
    pub(super) fn is_new(&self) -> bool {
        self.checked == 0
    }

    /// How many bytes and fields it may have, and what that limit is.
    fn bounds(&self, rules: &Rules) -> (usize, usize, Exceeded) {
        match self.section {
            Section::Trailers => (
                rules.trailer_bytes_max,
                rules.trailers_max,
                Exceeded::Trailers,
            ),
            Section::Begin | Section::RequestLine | Section::Fields => {
                (rules.head_bytes_max, rules.headers_max, Exceeded::Head)
            }
        }
    }

    fn too_long(&self, rules: &Rules) -> Violation {
        let (max, _, limit) = self.bounds(rules);
        let what = if limit == Exceeded::Trailers {
            "the trailers have"
        } else {
            "the head has"
        };
        Violation::exceeds(limit, format!("{what} more than {max} bytes"))
    }

    /// One line without its CRLF; true for the empty line at the end.
    fn line(&mut self, line: &[u8], start: usize, rules: &Rules) -> Result<bool, Violation> {
        match self.section {
            Section::Begin if line.is_empty() => self.section = Section::RequestLine,
            Section::Begin | Section::RequestLine => {
                self.request_line(line, start, rules)?;
                self.section = Section::Fields;
            }
            Section::Fields | Section::Trailers if line.is_empty() => return Ok(true),
            Section::Fields | Section::Trailers => {
                self.fields += 1;
                let (_, max, limit) = self.bounds(rules);
                if self.fields > max {
                    return Err(Violation::exceeds(limit, format!("more than {max} fields")));
                }
                self.field(line, start)?;
            }
        }
        Ok(false)
    }

    /// RFC 9112 §3: `method SP target SP version`, each once.
    fn request_line(&mut self, line: &[u8], start: usize, rules: &Rules) -> Result<(), Violation> {
        let malformed = || {
            Violation::framing(
                "the request line is not `method target version` with one space each",
            )
        };
        let method_end = memchr(b' ', line).ok_or_else(malformed)?;
        let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
        let target_end = memchr(b' ', rest).ok_or_else(malformed)?;
        let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !is_all(method, TOKEN) {
            return Err(Violation::framing(
                "the method is no token of at most 32 characters",
            ));
        }
        if method == REFUSED.as_bytes() {
            return Err(Violation::framing("the method is not for clients"));
        }
        self.http_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => {
                return Err(Violation::framing(
                    "the version is neither HTTP/1.1 nor HTTP/1.0",
                ));
            }
        };
        if target.len() > rules.target_bytes_max {
            let detail = format!(
                "the request target has {} bytes, at most {} are accepted",
                target.len(),
                rules.target_bytes_max
            );
            return Err(Violation::exceeds(Exceeded::Target, detail));
        }
        self.target(method, target, start + method_end + 1)
    }

    /// The four forms of RFC 9112 §3.2.
    fn target(&mut self, method: &[u8], target: &[u8], start: usize) -> Result<(), Violation> {
        if method == b"CONNECT" {
            return Err(Violation::framing(
                "CONNECT is not served: this is no forward proxy",
            ));
        }
        let path_start = match target {
            [b'/', ..] => 0,
            b"*" if method == b"OPTIONS" => return Ok(()),
            _ => {
                let scheme = ["http://", "https://"].into_iter().find(|scheme| {
                    target
                        .get(..scheme.len())
                        .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme.as_bytes()))
                });
                let Some(scheme) = scheme else {
                    return Err(Violation::framing(
                        "the request target is neither a path nor a URL",
                    ));
                };
                let rest = &target[scheme.len()..];
                let length = rest
                    .iter()
                    .position(|byte| b"/?".contains(byte))
                    .unwrap_or(rest.len());
                let begin = start + scheme.len();
                self.authority = Some(begin..begin + length);
                scheme.len() + length
            }
        };
        let rest = &target[path_start..];
        let path_end = memchr(b'?', rest).unwrap_or(rest.len());
        let (path, query) = rest.split_at(path_end);
        if !is_all(path, PATH) || !is_all(query, QUERY) {
            return Err(Violation::framing(
                "the request target holds a character that has to be percent-encoded",
            ));
        }
        Ok(())
    }

    /// RFC 9112 §5: a name, a colon at once, a value without control characters.
    fn field(&mut self, line: &[u8], start: usize) -> Result<(), Violation> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Violation::framing(
                "a line begins with white space (obs-fold)",
            ));
        }
        let Some(colon) = memchr(b':', line) else {
            return Err(Violation::framing("a field has no colon"));
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !is_all(name, TOKEN) {
            return Err(Violation::framing(
                "a field name is empty or holds a character that is not allowed, such as white space",
            ));
        }
        if has_control(value) {
            return Err(Violation::framing(
                "a field value holds a control character",
            ));
        }
        if self.section == Section::Trailers {
            return trailer(name);
        }
        match name.len() {
            7 if same(name, b"upgrade") => {
                self.upgrade |= trim(value).eq_ignore_ascii_case(b"websocket");
                Ok(())
            }
            4 if same(name, b"host") => self.host(value, start + colon + 1),
            10 if same(name, b"connection") => connection(value),
            14 if same(name, b"content-length") => self.content_length(name, value),
            17 if same(name, b"transfer-encoding") => self.transfer_encoding(name, value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8], start: usize) -> Result<(), Violation> {
        if self.host.is_some() {
            return Err(Violation::framing("more than one Host"));
        }
        let host = trim(value);
        if !is_host(host) {
            return Err(Violation::framing(
                "Host is no host name or address with an optional port",
            ));
        }
        let before = value.len() - value.trim_ascii_start().len();
        let begin = start + before;
        self.host = Some(begin..begin + host.len());
        Ok(())
    }

    fn content_length(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        no_underscore(name)?;
        if self.length.is_some() {
            return Err(Violation::framing("more than one Content-Length"));
        }
        let digits = trim(value);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Violation::framing(
                "Content-Length is not one number of digits alone",
            ));
        }
        // hyper reserves the greatest values for itself, and no body is 2⁶² bytes long.
        let number = number(digits).filter(|number| *number <= 1 << 62);
        self.length =
            Some(number.ok_or_else(|| Violation::framing("Content-Length is too great a number"))?);
        Ok(())
    }

    fn transfer_encoding(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        no_underscore(name)?;
        if self.chunked {
            return Err(Violation::framing("more than one Transfer-Encoding"));
        }
        if !trim(value).eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::framing(
                "Transfer-Encoding is not `chunked` alone",
            ));
        }
        self.chunked = true;
        Ok(())
    }

    /// What only shows when all fields are there. `bytes` begins with the head.
    pub(super) fn finish(&self, bytes: &[u8]) -> Result<Body, Violation> {
        if self.chunked && self.length.is_some() {
            return Err(Violation::framing(
                "Content-Length together with Transfer-Encoding",
            ));
        }
        if self.chunked && self.http_1_0 {
            return Err(Violation::framing("Transfer-Encoding in HTTP/1.0"));
        }
        if self.host.is_none() && !self.http_1_0 {
            return Err(Violation::framing("no Host"));
        }
        if let Some(authority) = &self.authority {
            let authority = &bytes[authority.clone()];
            let same = match &self.host {
                Some(host) => authority.eq_ignore_ascii_case(&bytes[host.clone()]),
                None => is_host(authority),
            };
            if !same {
                return Err(Violation::framing(
                    "Host differs from the host of the request target",
                ));
            }
        }
        // HTTP/1.0 has no upgrades (RFC 9110 §7.8): the field is of no meaning there.
        let upgrade = self.upgrade && !self.http_1_0;
        Ok(match (self.chunked, self.length) {
            (false, None | Some(0)) if upgrade => Body::Upgrade,
            _ if upgrade => {
                return Err(Violation::framing(
                    "a request for another protocol has a body",
                ));
            }
            (true, _) => Body::Chunked,
            (false, None | Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
        })
    }
}

/// Whether a field value holds a control character other than a tab (RFC 9110 §5.5).
fn has_control(value: &[u8]) -> bool {
    // Nearly all values hold nothing but the characters from space to tilde. To look for the byte that is furthest behind the
    // space is three vector instructions for 16 bytes; the last ones are looked at twice rather than one by one.
    let (chunks, _) = value.as_chunks::<8>();
    let furthest = match value.last_chunk::<8>() {
        Some(last) => furthest(chunks.as_flattened()).max(furthest(last)),
        None => furthest(value),
    };
    if furthest <= b'~' - b' ' {
        return false;
    }
    let control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    // A fold without early exit becomes vector code.
    value
        .iter()
        .fold(false, |found, byte| found | control(*byte))
}

/// How far behind the space the furthest byte is; what is before the space comes out as far behind.
fn furthest(bytes: &[u8]) -> u8 {
    let behind = |byte: &u8| byte.wrapping_sub(b' ');
    bytes
        .iter()
        .fold(0, |furthest, byte| furthest.max(behind(byte)))
}

/// A trailer may not frame, route or authenticate a message whose body has been read already (RFC 9110 §6.5.1).
fn trailer(name: &[u8]) -> Result<(), Violation> {
    let name = std::str::from_utf8(name)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if hop_by_hop::is_framing(&name) || hop_by_hop::is_protected(&name) {
        return Err(Violation::framing(format!(
            "the trailers hold the field {name}"
        )));
    }
    Ok(())
}

/// `Connection` may not name what frames, routes or authenticates (shared with [`hop_by_hop`]).
fn connection(value: &[u8]) -> Result<(), Violation> {
    for option in value.split(|byte| *byte == b',') {
        let option = trim(option);
        if option.is_empty() {
            continue;
        }
        if !is_all(option, TOKEN) {
            return Err(Violation::framing("Connection is no list of field names"));
        }
        let option = std::str::from_utf8(option).unwrap_or_default();
        if hop_by_hop::is_protected(option) {
            return Err(Violation::framing(format!(
                "Connection names the field {option}"
            )));
        }
    }
    Ok(())
}

/// Some backends cannot tell `content_length` from `content-length`; no honest client sends it.
fn no_underscore(name: &[u8]) -> Result<(), Violation> {
    if name.contains(&b'_') {
        return Err(Violation::framing(
            "a framing field is written with an underscore",
        ));
    }
    Ok(())
}

/// Case does not matter, and an underscore counts as a hyphen.
fn same(name: &[u8], known: &[u8]) -> bool {
    let fold = |byte: u8| {
        if byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.iter()
        .zip(known)
        .all(|(byte, known)| fold(*byte) == *known)
}

/// What these digits say; `None` where it is too great.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// `uri-host [":" port]` (RFC 9110 §7.2), without what no host name has: user names, percent signs, commas.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(close) = memchr(b']', rest) else {
                return false;
            };
            let address = std::str::from_utf8(&rest[..close]).unwrap_or_default();
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (&host[..=close], &rest[close + 1..])
        }
        _ => host.split_at(memchr(b':', host).unwrap_or(host.len())),
    };
    let name_ok = name.first() == Some(&b'[') || (!name.is_empty() && is_all(name, HOST));
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] => {
            !digits.is_empty()
                && digits.iter().all(u8::is_ascii_digit)
                && number(digits).is_some_and(|port| port <= u64::from(u16::MAX))
        }
        _ => false,
    };
    name_ok && port_ok
}

#[cfg(test)]
mod tests;
