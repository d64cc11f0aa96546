//! What people write for a host: a literal is read, and what is none is named as what it is.

use super::error::{Cause, HostError};
use super::model::{Family, Target};
use crate::simulator::SimSpec;
use std::net::{IpAddr, Ipv4Addr};

impl Target {
    /// Reads an address literal, in brackets or not; `None` if `name` may be a name. What can be
    /// neither is an error that says what it is. A scope is a name, which `index_of` looks up, or an
    /// index, if `is_there`. One that maps an IPv4 address into IPv6 is that IPv4 address.
    pub fn from_literal(
        name: &str,
        family: Family,
        (index_of, is_there): (
            impl FnOnce(&str) -> Result<u32, HostError>,
            impl FnOnce(u32) -> bool,
        ),
    ) -> Option<Result<Self, HostError>> {
        let inside = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let (text, scope) = match inside.unwrap_or(name).split_once('%') {
            Some((text, scope)) => (text, Some(scope)),
            None => (inside.unwrap_or(name), None),
        };
        let Ok(addr) = text.parse::<IpAddr>() else {
            return no_host(name).map(Err);
        };
        // It is never on a wire.
        let addr = addr.to_canonical();
        if !family.admits(addr) {
            let cause = Cause::OtherFamily { v4: addr.is_ipv4() };
            return Some(Err(HostError::new("resolve", name, cause)));
        }
        let scope = match scope {
            None => None,
            Some(_) if addr.is_ipv4() => return None,
            Some(scope) => match (index_of(scope), scope.parse()) {
                (Ok(index), _) => Some(index),
                (Err(_), Ok(index)) if is_there(index) => Some(index),
                (Err(error), _) => return Some(Err(error)),
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
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        return error("it is a URL".into(), format!("give the host alone: {}", host_of(host)));
    }
    if let Some((key, _)) = name.split_once('=') {
        return match SimSpec::knows(key) {
            true => error(format!("{key} is a key of --sim"), format!("write --sim={name}")),
            false => error("it has a = in it".into(), "give the host alone".into()),
        };
    }
    if name.contains(char::is_whitespace) {
        return error(
            "it has a space in it".into(),
            "give several hosts as words of their own".into(),
        );
    }
    if let Some(host) = name.strip_suffix(',').filter(|host| !host.contains(',')) {
        return error("it ends with a comma".into(), format!("remove the comma: {host}"));
    }
    if name.contains(',') {
        let words = name.split(',').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let hint = format!("give several hosts as words of their own: {words}");
        return error("it has a comma in it".into(), hint);
    }
    if let Some((network, len)) = name.split_once('/') {
        if !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit()) {
            return error("it is a network".into(), "give its hosts one by one".into());
        }
        return error("it has a path".into(), format!("give the host alone: {}", host_of(network)));
    }
    if let Some((_, host)) = name.rsplit_once('@') {
        let hint = format!("give the host alone: {}", host_of(host));
        return error("it has a user name in it".into(), hint);
    }
    let host = host_of(name);
    if host != name && !host.is_empty() {
        return error("it has a port".into(), format!("give the host alone: {host}"));
    }
    let (why, hint) = no_ipv4(name)?;
    error(why, hint)
}

/// What is wrong with an IPv4 address in another form than that of four decimal numbers, and what
/// to write: inet_aton(3), which getaddrinfo(3) uses, reads `1.2.3` as 1.2.0.3, and `010` as 8.
fn no_ipv4(name: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = name.split('.').collect();
    let hex = |part: &str| part.strip_prefix("0x").or(part.strip_prefix("0X")).is_some();
    let number = |part: &&str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits || hex(part) && part[2..].bytes().all(|b| b.is_ascii_hexdigit())
    };
    if parts.len() > 4 || !parts.iter().all(number) {
        return None;
    }
    let four = parts.len() == 4;
    let decimal = |part: &&&str| !hex(part) && part.parse::<u8>().is_ok();
    let octal = |part: &&&str| part.len() > 1 && part.starts_with('0');
    if let Some(part) = parts.iter().find(|part| four && !octal(part) && !decimal(part)) {
        let why = format!("{part} cannot be a part of an IPv4 address");
        return Some((why, "each of the four is 0 to 255".into()));
    }
    let (why, plain) = match parts.iter().find(octal) {
        Some(part) if hex(part) => (format!("{part} is hexadecimal"), None),
        Some(part) => {
            let shorter = |part: &&str| part.parse::<u8>().ok().map(|part| part.to_string());
            let plain: Option<Vec<String>> = parts.iter().map(shorter).collect();
            let why = format!("{part} begins with 0, which makes it octal in some programs");
            (why, plain.filter(|_| four).map(|parts| parts.join(".")))
        }
        None => ("an IPv4 address has four numbers".into(), None),
    };
    let other = inet_aton(&parts).map(|address| address.to_string());
    let hint = match (plain, other) {
        (Some(plain), Some(other)) if plain != other => {
            format!("write {plain}, or {other} if octal is meant")
        }
        (Some(plain), _) => format!("write {plain}"),
        (None, Some(other)) => format!("write {other} if that is meant"),
        (None, None) => "write it as four numbers, each 0 to 255, such as 10.0.0.2".into(),
    };
    Some((why, hint))
}

/// The address that inet_aton(3) reads: the last part fills what the others leave.
fn inet_aton(parts: &[&str]) -> Option<Ipv4Addr> {
    let value = |part: &str| match part.strip_prefix("0x").or(part.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let (last, front) = parts.split_last()?;
    let mut address = 0;
    for (at, part) in front.iter().enumerate() {
        let octet = u8::try_from(value(part)?).ok()?;
        address |= u32::from(octet) << (24 - 8 * at);
    }
    let last = value(last)?;
    let room = u32::MAX >> (8 * front.len());
    (last <= room).then(|| Ipv4Addr::from(address | last))
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
        Target::from_literal(name, family, (|name: &str| Err(missing(name)), |index| index == 3))
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
        let eth0 = (|_: &str| Ok(9), |_| true);
        let named = Target::from_literal("fe80::1%eth0", Family::Any, eth0).unwrap().unwrap();
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
        for name in ["fe80::1%no", "fe80::1%4"] {
            let scope = read(name, Family::Any).unwrap();
            assert!(matches!(scope.unwrap_err().cause(), Cause::NoSuchInterface), "{name}");
        }
    }

    #[test]
    fn an_ipv4_address_in_the_notation_of_ipv6_is_that_ipv4_address() {
        for name in ["::ffff:192.0.2.7", "[::ffff:c000:207]"] {
            let found = read(name, Family::Any).unwrap().unwrap();
            assert_eq!(found, Target { addr: [192, 0, 2, 7].into(), scope: None });
            assert!(read(name, Family::V4).unwrap().is_ok());
            let error = read(name, Family::V6).unwrap().unwrap_err();
            assert!(error.to_string().ends_with("it is IPv4, and -6 asks for IPv6"), "{error}");
        }
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
            ("10.0.0.2,", "it ends with a comma", "remove the comma: 10.0.0.2"),
            ("10.0.0.1,a,", "it has a comma in it", "words of their own: 10.0.0.1 a"),
            ("loss=5%", "loss is a key of --sim", "write --sim=loss=5%"),
            ("a=b", "it has a = in it", "the host alone"),
            ("root@10.0.0.2", "it has a user name in it", "give the host alone: 10.0.0.2"),
            ("http://me@a.example:80/", "it is a URL", "give the host alone: a.example"),
        ] {
            refused(name, why, hint);
        }
        for name in
            ["example.org", "localhost", "1.2.3.4.example.org", "1.2.3.4.5", "a_b", "2001:db8:::1"]
        {
            assert!(read(name, Family::Any).is_none(), "{name}");
        }
    }

    #[test]
    fn a_form_of_ipv4_that_programs_read_in_several_ways_is_refused() {
        for (name, why, hint) in [
            ("1.2.3", "an IPv4 address has four numbers", "write 1.2.0.3 if that is meant"),
            ("10.1", "an IPv4 address has four numbers", "write 10.0.0.1 if that is meant"),
            ("1", "an IPv4 address has four numbers", "write 0.0.0.1 if that is meant"),
            ("99999999999", "an IPv4 address has four numbers", "write it as four numbers"),
            (
                "010.0.0.2",
                "010 begins with 0, which makes it octal in some programs",
                "write 10.0.0.2, or 8.0.0.2 if octal is meant",
            ),
            (
                "10.0.0.09",
                "09 begins with 0, which makes it octal in some programs",
                "write 10.0.0.9",
            ),
            ("0x7f.1", "0x7f is hexadecimal", "write 127.0.0.1 if that is meant"),
            ("0x7f.0.0.1", "0x7f is hexadecimal", "write 127.0.0.1 if that is meant"),
        ] {
            refused(name, why, hint);
        }
        assert!(read("0.0.0.0", Family::Any).unwrap().is_ok());
    }

    #[track_caller]
    fn refused(name: &str, why: &str, hint: &str) {
        let error = read(name, Family::Any).unwrap_or_else(|| panic!("{name}")).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot resolve {name}: {why}"));
        assert!(error.hint().unwrap().contains(hint), "{name}: {:?}", error.hint());
    }
}
