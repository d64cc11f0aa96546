//! What people write for a host: a literal is read, and what is none is named as what it is.

use super::error::{Cause, HostError};
use super::model::{Family, Target};
use std::net::IpAddr;

impl Target {
    /// Reads an address literal, in brackets or not; `None` if `name` may be a name. What can be
    /// neither is an error that says what it is. A scope is an index or a name, which `index_of`
    /// looks up.
    pub fn from_literal(
        name: &str,
        family: Family,
        index_of: impl FnOnce(&str) -> Result<u32, HostError>,
    ) -> Option<Result<Self, HostError>> {
        let inside = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let (text, scope) = match inside.unwrap_or(name).split_once('%') {
            Some((text, scope)) => (text, Some(scope)),
            None => (inside.unwrap_or(name), None),
        };
        let Ok(addr) = text.parse::<IpAddr>() else {
            return no_host(name).map(Err);
        };
        if !family.admits(addr) {
            let cause = Cause::OtherFamily { v4: addr.is_ipv4() };
            return Some(Err(HostError::new("resolve", name, cause)));
        }
        let scope = match scope {
            None => None,
            Some(_) if addr.is_ipv4() => return None,
            Some(scope) => match scope.parse().or_else(|_| index_of(scope)) {
                Ok(index) => Some(index),
                Err(error) => return Some(Err(error)),
            },
        };
        Some(Ok(Target { addr, scope }))
    }
}

/// What `name` is, where it can be neither an address nor a name.
fn no_host(name: &str) -> Option<HostError> {
    let error = |why: String, hint: String| {
        Some(HostError::new("resolve", name, Cause::NoHost(why)).with_hint(hint))
    };
    if let Some((_, rest)) = name.split_once("://") {
        let host = host_of(rest.split(['/', '?', '#']).next().unwrap_or_default());
        return error("it is a URL".into(), format!("give the host alone: {host}"));
    }
    if let Some((network, len)) = name.split_once('/') {
        if !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit()) {
            return error("it is a network".into(), "give its hosts one by one".into());
        }
        return error("it has a path".into(), format!("give the host alone: {}", host_of(network)));
    }
    let host = host_of(name);
    if host != name && !host.is_empty() {
        return error("it has a port".into(), format!("give the host alone: {host}"));
    }
    if name.contains(char::is_whitespace) {
        return error(
            "it has a space in it".into(),
            "give several hosts as words of their own".into(),
        );
    }
    let parts: Vec<&str> = name.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() == 4 && parts.iter().all(digits) {
        let part = parts.iter().find(|part| part.parse::<u8>().is_err())?;
        let why = format!("{part} cannot be a part of an IPv4 address");
        return error(why, "each of the four is 0 to 255".into());
    }
    None
}

/// A host without the port behind it: `host:80` and `[::1]:80`, but not `::1`.
fn host_of(text: &str) -> &str {
    if let Some((inside, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let whole = inside.parse::<IpAddr>().is_ok() && (rest.is_empty() || rest.starts_with(':'));
        return if whole { inside } else { text };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            host
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, family: Family) -> Option<Result<Target, HostError>> {
        let missing = |name: &str| HostError::new("find interface", name, Cause::NoSuchInterface);
        Target::from_literal(name, family, |name| Err(missing(name)))
    }

    #[test]
    fn a_literal_needs_no_name_service() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let v4 = read("192.0.2.7", Family::Any).unwrap().unwrap();
        assert_eq!(v4, Target { addr: ip("192.0.2.7"), scope: None });
        let scoped = read("fe80::1%3", Family::V6).unwrap().unwrap();
        assert_eq!(scoped, Target { addr: ip("fe80::1"), scope: Some(3) });
        let brackets = read("[2001:db8::1]", Family::Any).unwrap().unwrap();
        assert_eq!(brackets, Target { addr: ip("2001:db8::1"), scope: None });
        assert_eq!(read("[fe80::1%3]", Family::Any).unwrap().unwrap(), scoped);
        assert!(read("example.org", Family::Any).is_none());
        assert!(read("10.0.0.1%eth0", Family::Any).is_none());
        let named = Target::from_literal("fe80::1%eth0", Family::Any, |_| Ok(9)).unwrap().unwrap();
        assert_eq!(named.scope, Some(9));
    }

    #[test]
    fn a_literal_of_the_wrong_family_or_scope_is_refused() {
        for (name, family, want) in [
            ("192.0.2.7", Family::V6, "cannot resolve 192.0.2.7: it is IPv4, and -6 asks for IPv6"),
            ("::1", Family::V4, "cannot resolve ::1: it is IPv6, and -4 asks for IPv4"),
        ] {
            assert_eq!(read(name, family).unwrap().unwrap_err().to_string(), want);
        }
        let scope = read("fe80::1%no", Family::Any).unwrap();
        assert!(matches!(scope.unwrap_err().cause(), Cause::NoSuchInterface));
    }

    #[test]
    fn what_is_no_host_is_named_as_what_it_is() {
        for (name, why, hint) in [
            ("http://10.0.0.2/x", "it is a URL", "10.0.0.2"),
            ("https://[2001:db8::1]:443/", "it is a URL", "2001:db8::1"),
            ("https://example.org:8443", "it is a URL", "example.org"),
            ("10.0.0.2:80", "it has a port", "10.0.0.2"),
            ("example.org:80", "it has a port", "example.org"),
            ("[2001:db8::1]:80", "it has a port", "2001:db8::1"),
            ("10.0.0.0/24", "it is a network", "one by one"),
            ("2001:db8::/32", "it is a network", "one by one"),
            ("example.org/index", "it has a path", "example.org"),
            ("10.0.0.256", "256 cannot be a part of an IPv4 address", "0 to 255"),
            ("10.0.0.1 10.0.0.2", "it has a space in it", "words of their own"),
        ] {
            let error = read(name, Family::Any).unwrap_or_else(|| panic!("{name}")).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot resolve {name}: {why}"));
            assert!(error.hint().unwrap().contains(hint), "{name}: {:?}", error.hint());
        }
        for name in
            ["example.org", "localhost", "1.2.3.4.example.org", "10.1", "a_b", "2001:db8:::1"]
        {
            assert!(read(name, Family::Any).is_none(), "{name}");
        }
    }
}
